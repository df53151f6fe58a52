//! Method `appRole`: role ID and secret ID.

use super::{AuthMethodLogin, LoginParams, secret};
use crate::api::auth_methods::AppRoleLogin;
use crate::vault::CredentialError;

/// Role ID and secret ID. Vault locks a role after some wrong secret IDs.
pub(super) async fn params(login: &AuthMethodLogin, settings: &AppRoleLogin) -> Result<LoginParams, CredentialError> {
    let secret_id = secret::value(login, &settings.secret, &settings.key).await?;
    let params = LoginParams::new(("role_id", &settings.role_id), "secret_id", &secret_id);
    Ok(LoginParams { lockout_key: Some(format!("{} {}", secret_id.uid, secret_id.version)), ..params })
}
