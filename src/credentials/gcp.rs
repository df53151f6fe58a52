//! Method `gcp`: a token of a Google service account, by workload identity, or signed with the key of the account.

use std::time::SystemTime;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::cloud::{GkeSettings, SignedToken, signed_token};
use super::service_account::required_annotation;
use super::{AuthMethodLogin, LoginParams, secret, service_account};
use crate::api::auth_methods::{GcpLogin, GcpSource, GcpWorkloadIdentity, TokenRequestSpec};
use crate::vault::CredentialError;

/// Annotation of GKE's workload identity.
const ACCOUNT: &str = "iam.gke.io/gcp-service-account";
/// Lifetime of the token that is exchanged at once.
const TOKEN_SECONDS: i64 = 600;

/// Role and token.
pub(super) async fn params(login: &AuthMethodLogin, gcp: &GcpLogin) -> Result<LoginParams, CredentialError> {
    match &gcp.source {
        GcpSource::WorkloadIdentity(identity) => of_workload(login, &gcp.role, identity).await,
        GcpSource::Key { secret, key } => {
            let found = secret::value(login, secret, key).await?;
            let SignedToken { token, account } =
                signed_token(found.secret.expose_secret(), &gcp.role, SystemTime::now())?;
            let account = format!("{} {} {account}", found.uid, found.version);
            Ok(of_token(&gcp.role, token.expose_secret(), found.uid, account))
        }
    }
}

fn of_token(role: &str, token: &str, credential_uid: String, account: String) -> LoginParams {
    let members = vec![("role", Value::from(role)), ("jwt", Value::from(token))];
    LoginParams { members, credential_uid, account: Some(account), lockout_key: None }
}

/// An ID token, by workload identity.
async fn of_workload(
    login: &AuthMethodLogin,
    role: &str,
    workload: &GcpWorkloadIdentity,
) -> Result<LoginParams, CredentialError> {
    let account = service_account::metadata(login, &workload.service_account).await?;
    let google = required_annotation(login, &account, ACCOUNT).map_err(|error| {
        // Vault takes a token that Google has signed for one of its service accounts. Federation alone gives none.
        CredentialError::Unusable(format!(
            "{error}; workload identity federation without a Google service account is not supported: name one in the \
             annotation, or use method jwt with the cluster as its issuer"
        ))
    })?;
    let settings = GkeSettings {
        project: workload.project_id.as_deref(),
        location: workload.region.as_deref(),
        cluster: workload.cluster_name.as_deref(),
    };
    let cluster = login.cloud.gke_cluster(&settings).await?;
    let spec = TokenRequestSpec {
        service_account: workload.service_account.clone(),
        audiences: vec![cluster.pool()],
        expiration_seconds: TOKEN_SECONDS,
    };
    let token = service_account::token(login, &spec).await?;
    let identity = login.cloud.gcp_identity(&cluster, &token.secret, google, role).await?;
    let account = format!("{} {google}", token.uid);
    Ok(of_token(role, identity.expose_secret(), token.uid, account))
}
