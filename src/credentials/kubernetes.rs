//! Method `kubernetes`: a service account's token that Vault has the API server review.

use super::{AuthMethodLogin, LoginParams, service_account};
use crate::api::auth_methods::KubernetesLogin;
use crate::vault::CredentialError;

/// Role and token.
pub(super) async fn params(
    login: &AuthMethodLogin,
    settings: &KubernetesLogin,
) -> Result<LoginParams, CredentialError> {
    let token = service_account::token(login, &settings.account).await?;
    Ok(LoginParams::new(("role", &settings.role), "jwt", &token))
}
