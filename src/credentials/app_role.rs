//! Method `appRole`: role ID and secret ID.

use secrecy::ExposeSecret as _;

use super::{AuthMethodLogin, LoginParams, secret};
use crate::api::auth_methods::{AppRoleLogin, RoleId};
use crate::vault::CredentialError;

/// Role ID and secret ID. Vault locks a role after some wrong secret IDs.
pub(super) async fn params(login: &AuthMethodLogin, settings: &AppRoleLogin) -> Result<LoginParams, CredentialError> {
    let secret_id = secret::value(login, &settings.secret, &settings.key).await?;
    let role_id = match &settings.role_id {
        RoleId::Text(role_id) => role_id.clone(),
        RoleId::Secret { name, key } => {
            let role_id = secret::value(login, name, key).await?.secret;
            role_id.expose_secret().trim().to_owned()
        }
    };
    let params = LoginParams::new(("role_id", &role_id), "secret_id", &secret_id);
    Ok(LoginParams { lockout_key: Some(format!("{} {}", secret_id.uid, secret_id.version)), ..params })
}
