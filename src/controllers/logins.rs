//! Turns the plan of a login into a login request, with a fresh token of the service account.

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::cluster::service_account_token;
use crate::resolve::AuthPlan;
use crate::vault::{Login, LoginSource};

/// Logs in as a plan says.
pub(super) struct PlannedLogin {
    pub client: kube::Client,
    pub plan: AuthPlan,
}

#[async_trait::async_trait]
impl LoginSource for PlannedLogin {
    async fn login(&self) -> Result<Login, String> {
        let plan = &self.plan;
        let k = &plan.kubernetes;
        let token = service_account_token(
            &self.client,
            &plan.credential_namespace,
            &k.service_account,
            &k.audiences,
            k.expiration_seconds,
        )
        .await
        .map_err(|e| e.to_string())?;
        // Further parameters come first: they cannot displace the role or the credential.
        let mut body: Map<String, Value> =
            plan.params.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        body.insert("role".into(), Value::from(k.role.as_str()));
        body.insert("jwt".into(), Value::from(token.token.expose_secret()));
        Ok(Login {
            mount: plan.mount.clone(),
            namespace: plan.vault_namespace.clone(),
            headers: plan.headers.clone(),
            body,
            credential_uid: token.service_account_uid,
        })
    }
}
