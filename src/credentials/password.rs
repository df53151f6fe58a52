//! Methods `userpass` and `ldap`: a name, which is part of the path of the login, and a password.

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{AuthMethodLogin, LoginParams, secret};
use crate::api::auth_methods::PasswordLogin;
use crate::vault::CredentialError;

/// The password. Vault and directories lock a user after some wrong ones.
pub(super) async fn params(login: &AuthMethodLogin, settings: &PasswordLogin) -> Result<LoginParams, CredentialError> {
    let password = secret::value(login, &settings.secret, &settings.key).await?;
    let members = vec![("password", Value::from(password.secret.expose_secret()))];
    let lockout_key = Some(format!("{} {}", password.uid, password.version));
    Ok(LoginParams { members, credential_uid: password.uid, account: None, lockout_key })
}
