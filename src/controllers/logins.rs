//! Turns the plan of a login into a login request, with a credential obtained for it. One file per source of credentials.

mod secret;
mod service_account;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::resolve::{AppRoleLogin, AuthPlan, JwtLogin, JwtSource, KubernetesLogin, Method};
use crate::vault::{Login, LoginSource};

/// Logs in as a plan says.
pub(super) struct PlannedLogin {
    pub client: kube::Client,
    pub plan: AuthPlan,
}

/// A proof of identity, and the object that it was taken from.
struct Credential {
    secret: SecretString,
    /// UID of the service account or Secret.
    uid: String,
}

/// What a method adds to the body of the login.
struct Claim {
    members: Vec<(&'static str, Value)>,
    credential_uid: String,
}

#[async_trait::async_trait]
impl LoginSource for PlannedLogin {
    async fn login(&self) -> Result<Login, String> {
        let plan = &self.plan;
        let claim = self.claim().await?;
        // Further parameters come first: they cannot displace the role or the credential.
        let mut body: Map<String, Value> =
            plan.params.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        body.extend(claim.members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(Login {
            mount: plan.mount.clone(),
            namespace: plan.vault_namespace.clone(),
            headers: plan.headers.clone(),
            body,
            credential_uid: claim.credential_uid,
        })
    }
}

impl PlannedLogin {
    /// Obtains the credential. Always from the namespace of the object that needs the login.
    async fn claim(&self) -> Result<Claim, String> {
        let (client, namespace) = (&self.client, self.plan.credential_namespace.as_str());
        match &self.plan.method {
            Method::Kubernetes(KubernetesLogin { role, account })
            | Method::Jwt(JwtLogin { role, source: JwtSource::ServiceAccount(account) }) => {
                let token = service_account::token(client, namespace, account).await?;
                Ok(claim(("role", role), "jwt", token))
            }
            Method::Jwt(JwtLogin { role, source: JwtSource::Secret(name) }) => {
                let token = secret::value(client, namespace, name, "jwt").await?;
                Ok(claim(("role", role), "jwt", token))
            }
            Method::AppRole(AppRoleLogin { role_id, secret }) => {
                let secret_id = secret::value(client, namespace, secret, "id").await?;
                Ok(claim(("role_id", role_id), "secret_id", secret_id))
            }
            method @ (Method::Aws(_) | Method::Gcp(_)) => {
                Err(format!("not supported yet: auth method {:?} of VaultAuth {}", method.name(), self.plan.id))
            }
        }
    }
}

fn claim((name, value): (&'static str, &str), proof: &'static str, credential: Credential) -> Claim {
    let secret = Value::from(credential.secret.expose_secret());
    Claim { members: vec![(name, Value::from(value)), (proof, secret)], credential_uid: credential.uid }
}
