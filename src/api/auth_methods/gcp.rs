//! Method `gcp`: a GCP identity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, CredentialObject, InvalidSetting, LoginSettings, Method, MethodConfig, first, object_name, required,
};
use crate::api::common::non_empty;

/// Settings of method `gcp`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigGcp {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Service account with workload identity, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub workload_identity_service_account: Option<String>,
    /// Region of the GKE cluster. Asked of the metadata server when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the GKE cluster. Asked of the metadata server when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// ID of the GCP project. Asked of the metadata server when unset.
    #[serde(rename = "projectID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}

/// Vault's `gcp` auth method, of type `iam`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpLogin {
    /// Vault role.
    pub role: String,
    /// Which identity it is.
    pub source: GcpSource,
}

/// Which identity of Google is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GcpSource {
    /// That of a service account of a GKE cluster.
    WorkloadIdentity(GcpWorkloadIdentity),
    /// That of the Google service account whose key (JSON) stands in a Secret. Only stores have that.
    Key {
        /// Name of the Secret.
        secret: String,
        /// The key of it.
        key: String,
    },
}

/// A service account of a GKE cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpWorkloadIdentity {
    /// Name of the service account that is bound to a GCP service account.
    pub service_account: String,
    /// Region of the cluster; asked of the metadata server when unset, as the next two.
    pub region: Option<String>,
    /// Name of the cluster.
    pub cluster_name: Option<String>,
    /// ID of the project.
    pub project_id: Option<String>,
}

impl MethodConfig for VaultAuthConfigGcp {
    const LABEL: &'static str = "GCP";

    fn or(&self, other: &Self) -> Self {
        Self {
            role: first(&self.role, &other.role),
            workload_identity_service_account: first(
                &self.workload_identity_service_account,
                &other.workload_identity_service_account,
            ),
            region: first(&self.region, &other.region),
            cluster_name: first(&self.cluster_name, &other.cluster_name),
            project_id: first(&self.project_id, &other.project_id),
        }
    }

    fn check(&self) -> Result<Method, InvalidSetting> {
        const MEMBER: &str = "workloadIdentityServiceAccount";
        let role = required(&self.role, "role")?;
        let service_account = required(&self.workload_identity_service_account, MEMBER)?;
        let source = GcpSource::WorkloadIdentity(GcpWorkloadIdentity {
            service_account: object_name(&service_account, MEMBER)?,
            region: self.region.clone(),
            cluster_name: self.cluster_name.clone(),
            project_id: self.project_id.clone(),
        });
        Ok(Method::Gcp(GcpLogin { role, source }))
    }
}

impl LoginSettings for GcpLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Gcp
    }

    fn credential(&self) -> CredentialObject<'_> {
        match &self.source {
            GcpSource::WorkloadIdentity(identity) => CredentialObject::ServiceAccount(&identity.service_account),
            GcpSource::Key { secret, .. } => CredentialObject::Secret(secret),
        }
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role, source } = self;
        add(role);
        match source {
            GcpSource::WorkloadIdentity(identity) => {
                let GcpWorkloadIdentity { service_account, region, cluster_name, project_id } = identity;
                add(service_account);
                for option in [region, cluster_name, project_id] {
                    add(option.as_deref().unwrap_or(""));
                }
            }
            // No service account has an empty name.
            GcpSource::Key { secret, key } => ["", "key", secret, key].into_iter().for_each(add),
        }
    }
}
