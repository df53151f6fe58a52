//! Turns the plan of a login into a login request, with a credential obtained for it. One file per source of credentials.

mod aws;
mod gcp;
mod secret;
mod service_account;

use std::sync::Arc;

use kube::api::ObjectMeta;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::Context;
use crate::cluster;
use crate::resolve::{AppRoleLogin, AuthPlan, JwtLogin, JwtSource, KubernetesLogin, Method};
use crate::vault::{Cloud, Login, LoginSource};

/// Logs in as a plan says.
pub(super) struct PlannedLogin {
    client: kube::Client,
    plan: AuthPlan,
    cloud: Arc<Cloud>,
    operator_namespace: String,
}

/// A proof of identity, and the object that it was taken from.
struct Credential {
    secret: SecretString,
    /// UID of the service account or Secret.
    uid: String,
    /// Changes with the Secret; empty for the token of a service account, which is new each time.
    version: String,
}

/// What a method adds to the body of the login.
struct Claim {
    members: Vec<(&'static str, Value)>,
    credential_uid: String,
    /// See [`Login::lockable`].
    lockable: Option<String>,
}

#[async_trait::async_trait]
impl LoginSource for PlannedLogin {
    fn path(&self) -> String {
        format!("auth/{}/login", self.plan.mount.trim_matches('/'))
    }

    async fn login(&self) -> Result<Login, String> {
        let plan = &self.plan;
        let claim = self.claim().await?;
        // Further parameters come first: they cannot displace the role or the credential.
        let mut body: Map<String, Value> =
            plan.params.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        body.extend(claim.members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(Login {
            namespace: plan.vault_namespace.clone(),
            headers: plan.headers.clone(),
            body,
            credential_uid: claim.credential_uid,
            lockable: claim.lockable,
        })
    }
}

impl PlannedLogin {
    /// For this plan.
    pub fn new(context: &Context, plan: AuthPlan) -> Self {
        let operator_namespace = context.settings.operator_namespace.clone();
        Self { client: context.client.clone(), plan, cloud: context.cloud.clone(), operator_namespace }
    }

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
                let lockable = Some(format!("{} {}", secret_id.uid, secret_id.version));
                Ok(Claim { lockable, ..claim(("role_id", role_id), "secret_id", secret_id) })
            }
            Method::Aws(settings) => aws::claim(self, settings).await,
            Method::Gcp(settings) => gcp::claim(self, settings).await,
        }
    }

    /// What is written on the service account that a cloud identity is tied to.
    async fn account(&self, name: &str) -> Result<ObjectMeta, String> {
        let namespace = &self.plan.credential_namespace;
        let found = cluster::service_account(&self.client, namespace, name).await.map_err(|e| e.to_string())?;
        found.ok_or_else(|| format!("ServiceAccount {namespace}/{name} does not exist"))
    }
}

fn claim((name, value): (&'static str, &str), proof: &'static str, credential: Credential) -> Claim {
    let secret = Value::from(credential.secret.expose_secret());
    let members = vec![(name, Value::from(value)), (proof, secret)];
    Claim { members, credential_uid: credential.uid, lockable: None }
}

/// An annotation that says something.
fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}
