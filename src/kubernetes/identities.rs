//! What stands on the objects that a cloud identity is tied to, and in ConfigMaps.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::ObjectMeta;

use super::KubernetesError;
use super::error::with_timeout;

/// Metadata of a service account, if there is one of that name.
pub async fn service_account(
    client: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<Option<ObjectMeta>, KubernetesError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let what = format!("get ServiceAccount {namespace}/{name}");
    Ok(with_timeout(&what, api.get_metadata_opt(name)).await?.map(|account| account.metadata))
}

/// Metadata of a ConfigMap, if there is one of that name.
pub async fn config_map(
    client: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<Option<ObjectMeta>, KubernetesError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let what = format!("get ConfigMap {namespace}/{name}");
    Ok(with_timeout(&what, api.get_metadata_opt(name)).await?.map(|map| map.metadata))
}

/// What a ConfigMap holds as text, if there is one of that name.
pub async fn config_map_data(
    client: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, KubernetesError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let what = format!("get ConfigMap {namespace}/{name}");
    Ok(with_timeout(&what, api.get_opt(name)).await?.map(|map| map.data.unwrap_or_default()))
}
