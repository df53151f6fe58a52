//! What the login methods `aws` and `gcp` need from the clouds: credentials, and proofs of identity made with them.
//!
//! Nothing here is sent to Vault; what is made here goes into the body of a login. The texts of errors name the step,
//! the host and the status, and never a key or a token.

mod default_chain;
mod gke;
mod google_key;
mod http;
mod sigv4;
mod sts;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tokio::sync::{Mutex, OnceCell};

pub use aws_credential_types::Credentials as AwsCredentials;

pub use self::gke::GkeSettings;
pub use self::google_key::{SignedToken, signed_token};
pub use self::http::CloudError;
pub use self::sigv4::aws_proof;
pub use self::sts::Sts;

/// The way to the clouds: HTTP clients, made when they are first needed, the variables of the process that say where it
/// runs, and the credentials of the node or pod that the operator runs on, shared by all logins that use them.
pub struct Cloud {
    variables: HashMap<String, String>,
    /// The client for services on the Internet, through the proxy of the environment.
    internet: OnceCell<reqwest::Client>,
    /// The client for metadata servers on the link, never through a proxy.
    link_local: OnceCell<reqwest::Client>,
    default_credentials: Mutex<Option<default_chain::Known>>,
}

impl Cloud {
    /// The identities that the variables of the process name.
    pub fn from_environment() -> Self {
        Self::new(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))))
    }

    /// The identities that these variables name. Only those that the SDKs of AWS and Google define are looked at.
    pub fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let ours = |name: &str| name.starts_with("AWS_") || name == "GCE_METADATA_HOST";
        Self {
            variables: variables.filter(|(name, value)| ours(name) && !value.is_empty()).collect(),
            internet: OnceCell::new(),
            link_local: OnceCell::new(),
            default_credentials: Mutex::new(None),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    async fn internet(&self) -> Result<&reqwest::Client, CloudError> {
        self.internet.get_or_try_init(|| async { http::client(http::Reach::Internet) }).await
    }

    async fn link_local(&self) -> Result<&reqwest::Client, CloudError> {
        self.link_local.get_or_try_init(|| async { http::client(http::Reach::LinkLocal) }).await
    }
}
