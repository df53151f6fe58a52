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

/// Vault's `gcp` auth method, of type `iam`, by workload identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpLogin {
    /// Vault role.
    pub role: String,
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
        Ok(Method::Gcp(GcpLogin {
            role,
            service_account: object_name(&service_account, MEMBER)?,
            region: self.region.clone(),
            cluster_name: self.cluster_name.clone(),
            project_id: self.project_id.clone(),
        }))
    }
}

impl LoginSettings for GcpLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Gcp
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::ServiceAccount(&self.service_account)
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role, service_account, region, cluster_name, project_id } = self;
        add(role);
        add(service_account);
        for option in [region, cluster_name, project_id] {
            add(option.as_deref().unwrap_or(""));
        }
    }
}
