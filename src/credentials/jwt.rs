//! Method `jwt`: a JSON web token that Vault checks by itself.

use super::{AuthMethodLogin, LoginParams, secret, service_account};
use crate::api::auth_methods::{JwtLogin, JwtSource};
use crate::vault::CredentialError;

/// Role and token.
pub(super) async fn params(login: &AuthMethodLogin, settings: &JwtLogin) -> Result<LoginParams, CredentialError> {
    let token = match &settings.source {
        JwtSource::ServiceAccount(account) => service_account::token(login, account).await?,
        JwtSource::Secret { name, key } => secret::value(login, name, key).await?,
    };
    Ok(LoginParams::new(("role", &settings.role), "jwt", &token))
}
