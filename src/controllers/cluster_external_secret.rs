//! ClusterExternalSecret: an ExternalSecret in each of many namespaces.

use std::sync::Arc;

use super::fan_out::FanOut;
use super::listing::WatchGroup;
use super::stores::Stores;
use crate::api::external_secrets::fan_out::{FanOutCondition, InnerMetadata, NamespaceFailure, Selection};
use crate::api::external_secrets::{
    ClusterExternalSecret, ClusterExternalSecretStatus, ExternalSecret, ExternalSecretSpec,
};
use crate::kubernetes::Store;

impl FanOut for ClusterExternalSecret {
    type Inner = ExternalSecret;
    const FINALIZER: Option<&'static str> = Some("externalsecrets.external-secrets.io/clusterexternalsecret-cleanup");
    const NAMESPACE_FINALIZER: Option<&'static str> = Some("externalsecrets.external-secrets.io/ces-");
    const EXISTS: &'static str = "external secret already exists in namespace";
    const TAKES_BACK: bool = false;

    fn inner_name(&self) -> &str {
        self.inner_name()
    }

    fn inner_metadata(&self) -> &InnerMetadata {
        &self.spec.external_secret_metadata
    }

    fn inner_spec(&self) -> &ExternalSecretSpec {
        &self.spec.external_secret_spec
    }

    fn selection(&self) -> Selection<'_> {
        let spec = &self.spec;
        let selectors = spec.namespace_selector.iter().chain(&spec.namespace_selectors).collect();
        Selection { selectors, namespaces: &spec.namespaces }
    }

    fn refresh_time(&self) -> Option<&str> {
        self.spec.refresh_time.as_deref()
    }

    fn provisioned(&self) -> Vec<String> {
        self.status.as_ref().map_or(vec![], |status| status.provisioned_namespaces.clone())
    }

    fn is_ready(&self) -> Option<bool> {
        self.is_ready()
    }

    fn status_after(
        &self,
        provisioned: Vec<String>,
        failed: Vec<NamespaceFailure>,
        failure: Option<&str>,
    ) -> ClusterExternalSecretStatus {
        ClusterExternalSecretStatus {
            external_secret_name: Some(self.inner_name().to_owned()),
            failed_namespaces: failed,
            provisioned_namespaces: provisioned,
            conditions: vec![FanOutCondition::ready(failure)],
        }
    }

    fn objects(stores: &Stores) -> &Arc<Store<Self>> {
        &stores.cluster_external_secrets
    }

    fn inner_objects(stores: &Stores) -> &Arc<Store<ExternalSecret>> {
        &stores.external_secrets
    }

    fn inner_watches(stores: &Stores) -> &WatchGroup {
        &stores.external_secret_watches
    }
}
