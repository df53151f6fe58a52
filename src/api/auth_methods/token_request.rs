//! Tokens of service accounts, which several methods send.

use super::{InvalidSetting, object_name};

/// A token that says nothing of its lifetime lives this long, in seconds.
const DEFAULT_SECONDS: i64 = 600;

/// A token to ask the API server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequestSpec {
    /// Name of the service account.
    pub service_account: String,
    /// Audiences of its token; empty for the API server's own.
    pub audiences: Vec<String>,
    /// Lifetime of the token in seconds.
    pub expiration_seconds: i64,
}

impl TokenRequestSpec {
    /// Reads the members of a block.
    pub(super) fn new(account: &str, audiences: &[String], seconds: Option<i64>) -> Result<Self, InvalidSetting> {
        Ok(Self {
            service_account: object_name(account, "serviceAccount")?,
            audiences: audiences.to_vec(),
            expiration_seconds: seconds.unwrap_or(DEFAULT_SECONDS),
        })
    }

    pub(super) fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { service_account, audiences, expiration_seconds } = self;
        add(service_account);
        add(&expiration_seconds.to_string());
        add(&audiences.len().to_string());
        audiences.iter().for_each(|audience| add(audience));
    }
}
