//! The login methods, one file each: the block of the method in VaultAuth and VaultAuthGlobal, how two blocks combine,
//! what a complete block must have, and what identifies a login. How the credential is obtained stands in the file of
//! the same name in `credentials`.
//!
//! No member of a block is required, as in VSO: a VaultAuth may leave any of them to a VaultAuthGlobal. The check comes
//! after the two are combined.

mod app_role;
mod aws;
mod cert;
mod gcp;
mod jwt;
mod kubernetes;
mod no_login;
mod password;
mod token;
mod token_request;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reference::is_object_name;

pub use app_role::{AppRoleLogin, RoleId, VaultAuthConfigAppRole};
pub use aws::{AssumedRole, AwsKeys, AwsLogin, AwsSource, VaultAuthConfigAws};
pub use cert::CertLogin;
pub use gcp::{GcpLogin, GcpSource, GcpWorkloadIdentity, VaultAuthConfigGcp};
pub use jwt::{JwtLogin, JwtSource, VaultAuthConfigJwt};
pub use kubernetes::{KubernetesLogin, VaultAuthConfigKubernetes};
pub use no_login::NoLogin;
pub use password::{Directory, PasswordLogin};
pub use token::{TokenLogin, TokenSecretRef, VaultAuthConfigToken};
pub use token_request::TokenRequestSpec;

/// The login methods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum AuthMethod {
    /// A token of a Kubernetes service account, checked by Vault against the API server.
    #[serde(rename = "kubernetes")]
    Kubernetes,
    /// A JSON web token, of a service account or from a Secret.
    #[serde(rename = "jwt")]
    Jwt,
    /// Role ID and secret ID.
    #[serde(rename = "appRole")]
    AppRole,
    /// An AWS identity.
    #[serde(rename = "aws")]
    Aws,
    /// A GCP identity.
    #[serde(rename = "gcp")]
    Gcp,
    /// A fixed token from a Secret, for servers without a login. Not known to VSO.
    #[serde(rename = "token")]
    Token,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

impl AuthMethod {
    /// The value as it stands in a manifest.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Jwt => "jwt",
            Self::AppRole => "appRole",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Token => "token",
            Self::Unknown(other) => other,
        }
    }

    /// Whether the credential is sent to an auth mount of Vault, which answers with a token.
    pub fn needs_mount(&self) -> bool {
        !matches!(self, Self::Token)
    }
}

impl std::fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The checked settings of a login. Secrets and service accounts are in the namespace of the object that needs the
/// login, never in that of the VaultAuth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// A service account's token that Vault has the API server review.
    Kubernetes(KubernetesLogin),
    /// A JSON web token that Vault checks by itself.
    Jwt(JwtLogin),
    /// Role ID and secret ID.
    AppRole(AppRoleLogin),
    /// An AWS identity.
    Aws(AwsLogin),
    /// A GCP identity.
    Gcp(GcpLogin),
    /// A fixed token.
    Token(TokenLogin),
    /// Name and password. Only stores have it.
    Password(PasswordLogin),
    /// A client certificate. Only stores have it.
    Cert(CertLogin),
    /// Requests carry no token. Only stores have it.
    NoLogin(NoLogin),
}

impl Method {
    /// What the methods have in common.
    pub fn settings(&self) -> &dyn LoginSettings {
        match self {
            Method::Kubernetes(login) => login,
            Method::Jwt(login) => login,
            Method::AppRole(login) => login,
            Method::Aws(login) => login,
            Method::Gcp(login) => login,
            Method::Token(login) => login,
            Method::Password(login) => login,
            Method::Cert(login) => login,
            Method::NoLogin(login) => login,
        }
    }

    /// See [`AuthMethod::needs_mount`].
    pub fn needs_mount(&self) -> bool {
        self.settings().method().needs_mount()
    }
}

/// What is known of the checked settings of any method.
pub trait LoginSettings {
    /// The method.
    fn method(&self) -> AuthMethod;

    /// The object whose UID stands for the credential in VSO's cache key.
    fn credential(&self) -> CredentialObject<'_>;

    /// The names of the Secrets that hold what the credential has beside that object.
    fn further_secrets(&self) -> Vec<&str> {
        vec![]
    }

    /// Gives every setting to `add`, in an order from which no two logins of a method can be taken for one.
    /// Implementations destructure the settings without `..`, so that a setting that is added is not forgotten.
    fn digest(&self, add: &mut dyn FnMut(&str));
}

/// An object that a credential is taken from, by its name in the namespace of the object that needs the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialObject<'a> {
    /// A service account.
    ServiceAccount(&'a str),
    /// A Secret.
    Secret(&'a str),
    /// What the operator's own pod has. VSO takes the UID of the ConfigMap `kube-root-ca.crt` beside it.
    Operator,
    /// There is no credential.
    None,
}

/// The block of a method.
pub(super) trait MethodConfig: Clone + Default {
    /// How error messages spell the method.
    const LABEL: &'static str;

    /// These settings, and those of `other` where there are none.
    fn or(&self, other: &Self) -> Self;

    /// The login that the settings stand for.
    fn check(&self) -> Result<Method, InvalidSetting>;
}

/// A setting is missing or cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct InvalidSetting(pub(super) String);

/// The first that is set.
fn first<T: Clone>(own: &Option<T>, other: &Option<T>) -> Option<T> {
    own.as_ref().or(other.as_ref()).cloned()
}

/// The first that is not empty.
fn first_list(own: &[String], other: &[String]) -> Vec<String> {
    if own.is_empty() { other.to_vec() } else { own.to_vec() }
}

/// The value of a member that must be there.
fn required(value: &Option<String>, member: &str) -> Result<String, InvalidSetting> {
    value.clone().ok_or_else(|| InvalidSetting(format!("empty {member}")))
}

/// The name of an object, which becomes part of a URL of the API server.
fn object_name(name: &str, member: &str) -> Result<String, InvalidSetting> {
    if is_object_name(name) {
        return Ok(name.to_owned());
    }
    Err(InvalidSetting(format!("{member} {name:?} is not the name of an object")))
}
