//! Method `gcp`: an ID token of a Google service account, by workload identity.

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::{Claim, PlannedLogin, annotation, service_account};
use crate::resolve::{GcpLogin, TokenOf};
use crate::vault::GkeSettings;

/// Annotation of GKE's workload identity.
const ACCOUNT: &str = "iam.gke.io/gcp-service-account";
/// Lifetime of the token that is exchanged at once.
const TOKEN_SECONDS: i64 = 600;

/// Role and ID token.
pub(super) async fn claim(login: &PlannedLogin, gcp: &GcpLogin) -> Result<Claim, String> {
    let namespace = &login.plan.credential_namespace;
    let name = &gcp.service_account;
    let account = login.account(name).await?;
    let google = annotation(&account, ACCOUNT)
        .ok_or_else(|| format!("missing {ACCOUNT:?} annotation on ServiceAccount {namespace}/{name}"))?;
    let settings = GkeSettings {
        project: gcp.project_id.as_deref(),
        location: gcp.region.as_deref(),
        cluster: gcp.cluster_name.as_deref(),
    };
    let cluster = login.cloud.gke_cluster(&settings).await.map_err(|e| e.to_string())?;
    let wish =
        TokenOf { service_account: name.clone(), audiences: vec![cluster.pool()], expiration_seconds: TOKEN_SECONDS };
    let token = service_account::token(&login.client, namespace, &wish).await?;
    let identity = login.cloud.gcp_identity(&cluster, &token.secret, google, &gcp.role).await;
    let identity = identity.map_err(|e| e.to_string())?;
    let members = vec![("role", Value::from(gcp.role.as_str())), ("jwt", Value::from(identity.expose_secret()))];
    Ok(Claim { members, credential_uid: token.uid, lockable: None })
}
