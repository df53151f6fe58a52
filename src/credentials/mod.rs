//! Proofs of identity for Vault, made from what Kubernetes and the clouds supply: one file per login method. The
//! settings of each method stand in the file of that name in `api/auth_methods`.
//!
//! Secrets and service accounts are always those of the namespace of the object that needs the login.

mod app_role;
mod aws;
mod cert;
mod cloud;
mod gcp;
mod jwt;
mod kubernetes;
mod password;
mod secret;
mod service_account;
mod token;

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::api::auth_methods::Method;
use crate::kubernetes::{ErrorKind, KubernetesError};
use crate::resolve::LoginPlan;
use crate::vault::{CredentialError, CredentialProvider, LoginRequest, Proof};

pub use cloud::{Cloud, CloudError};

/// Proves an identity by the login method of a VaultAuth.
pub struct AuthMethodLogin {
    client: kube::Client,
    cloud: Arc<Cloud>,
    operator_namespace: String,
    plan: LoginPlan,
}

/// A credential, and the object that it was taken from.
struct Credential {
    secret: SecretString,
    /// UID of the service account or Secret.
    uid: String,
    /// Changes with the Secret; empty for the token of a service account, which is new each time.
    version: String,
}

/// What a method adds to the body of the login.
struct LoginParams {
    members: Vec<(&'static str, Value)>,
    credential_uid: String,
    /// See [`LoginRequest::account`].
    account: Option<String>,
    /// See [`LoginRequest::lockout_key`].
    lockout_key: Option<String>,
}

impl AuthMethodLogin {
    /// The login of this plan. The operator's namespace identifies what the operator itself is at a cloud.
    pub fn new(client: kube::Client, cloud: Arc<Cloud>, operator_namespace: &str, plan: LoginPlan) -> Self {
        Self { client, cloud, operator_namespace: operator_namespace.to_owned(), plan }
    }

    fn request(&self, params: LoginParams) -> LoginRequest {
        let plan = &self.plan;
        // Parameters of the VaultAuth come first: they cannot displace the role or the credential.
        let mut body: Map<String, Value> =
            plan.params.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        body.extend(params.members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        LoginRequest {
            path: login_path(plan),
            namespace: plan.vault_namespace.clone(),
            headers: plan.headers.clone(),
            body,
            credential_uid: params.credential_uid,
            account: params.account,
            lockout_key: params.lockout_key,
        }
    }
}

#[async_trait::async_trait]
impl CredentialProvider for AuthMethodLogin {
    fn login_path(&self) -> Option<String> {
        self.plan.method.needs_mount().then(|| login_path(&self.plan))
    }

    async fn proof(&self) -> Result<Proof, CredentialError> {
        let params = match &self.plan.method {
            Method::Kubernetes(settings) => kubernetes::params(self, settings).await?,
            Method::Jwt(settings) => jwt::params(self, settings).await?,
            Method::AppRole(settings) => app_role::params(self, settings).await?,
            Method::Aws(settings) => aws::params(self, settings).await?,
            Method::Gcp(settings) => gcp::params(self, settings).await?,
            Method::Cert(settings) => cert::params(self, settings).await?,
            Method::Password(settings) => password::params(self, settings).await?,
            Method::Token(settings) => return token::token(self, settings).await.map(Proof::Token),
            Method::NoLogin(_) => return Ok(Proof::Token(token::none())),
        };
        Ok(Proof::Login(self.request(params)))
    }
}

impl LoginParams {
    /// The name of a role, and a credential.
    fn new((name, value): (&'static str, &str), member: &'static str, credential: &Credential) -> Self {
        let secret = Value::from(credential.secret.expose_secret());
        let members = vec![(name, Value::from(value)), (member, secret)];
        let account = credential.version.is_empty().then(|| credential.uid.clone());
        Self { members, credential_uid: credential.uid.clone(), account, lockout_key: None }
    }
}

impl From<KubernetesError> for CredentialError {
    fn from(error: KubernetesError) -> Self {
        match error.kind {
            ErrorKind::Unavailable => Self::Unavailable(error.to_string()),
            _ => Self::Unusable(error.to_string()),
        }
    }
}

impl From<CloudError> for CredentialError {
    fn from(error: CloudError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn login_path(plan: &LoginPlan) -> String {
    let path = format!("auth/{}/login", plan.mount.trim_matches('/'));
    match &plan.method {
        Method::Password(login) => format!("{path}/{}", utf8_percent_encode(&login.username, NON_ALPHANUMERIC)),
        _ => path,
    }
}
