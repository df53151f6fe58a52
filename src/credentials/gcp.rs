//! Method `gcp`: an ID token of a Google service account, by workload identity.

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::cloud::GkeSettings;
use super::service_account::required_annotation;
use super::{AuthMethodLogin, LoginParams, service_account};
use crate::api::auth_methods::{GcpLogin, TokenRequestSpec};
use crate::vault::CredentialError;

/// Annotation of GKE's workload identity.
const ACCOUNT: &str = "iam.gke.io/gcp-service-account";
/// Lifetime of the token that is exchanged at once.
const TOKEN_SECONDS: i64 = 600;

/// Role and ID token.
pub(super) async fn params(login: &AuthMethodLogin, gcp: &GcpLogin) -> Result<LoginParams, CredentialError> {
    let account = service_account::metadata(login, &gcp.service_account).await?;
    let google = required_annotation(login, &account, ACCOUNT).map_err(|error| {
        // Vault takes a token that Google has signed for one of its service accounts. Federation alone gives none.
        CredentialError::Unusable(format!(
            "{error}; workload identity federation without a Google service account is not supported: name one in the \
             annotation, or use method jwt with the cluster as its issuer"
        ))
    })?;
    let settings = GkeSettings {
        project: gcp.project_id.as_deref(),
        location: gcp.region.as_deref(),
        cluster: gcp.cluster_name.as_deref(),
    };
    let cluster = login.cloud.gke_cluster(&settings).await?;
    let spec = TokenRequestSpec {
        service_account: gcp.service_account.clone(),
        audiences: vec![cluster.pool()],
        expiration_seconds: TOKEN_SECONDS,
    };
    let token = service_account::token(login, &spec).await?;
    let identity = login.cloud.gcp_identity(&cluster, &token.secret, google, &gcp.role).await?;
    let members = vec![("role", Value::from(gcp.role.as_str())), ("jwt", Value::from(identity.expose_secret()))];
    let account = Some(format!("{} {google}", token.uid));
    Ok(LoginParams { members, credential_uid: token.uid, account, lockout_key: None })
}
