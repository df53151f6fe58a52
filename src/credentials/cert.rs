//! Method `cert`: the connection has shown the certificate. The login names the role that it is for.

use serde_json::Value;

use super::{AuthMethodLogin, LoginParams, secret};
use crate::api::auth_methods::CertLogin;
use crate::vault::CredentialError;

/// The role, if one is named.
pub(super) async fn params(login: &AuthMethodLogin, settings: &CertLogin) -> Result<LoginParams, CredentialError> {
    let CertLogin { role, secret } = settings;
    let members = if role.is_empty() { vec![] } else { vec![("name", Value::from(role.as_str()))] };
    let credential_uid = secret::fetch(login, secret).await?.metadata.uid.unwrap_or_default();
    Ok(LoginParams { members, credential_uid, account: None, lockout_key: None })
}
