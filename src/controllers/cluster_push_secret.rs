//! ClusterPushSecret: a PushSecret in each of many namespaces.

use std::sync::Arc;

use super::fan_out::FanOut;
use super::listing::WatchGroup;
use super::stores::Stores;
use crate::api::external_secrets::fan_out::{FanOutCondition, InnerMetadata, NamespaceFailure, Selection};
use crate::api::external_secrets::{ClusterPushSecret, ClusterPushSecretStatus, PushSecret, PushSecretSpec};
use crate::kubernetes::Store;

impl FanOut for ClusterPushSecret {
    type Inner = PushSecret;
    /// ESO puts none on, neither here nor on namespaces.
    const FINALIZER: Option<&'static str> = None;
    const NAMESPACE_FINALIZER: Option<&'static str> = None;
    const EXISTS: &'static str = "push secret already exists in namespace";
    const TAKES_BACK: bool = true;

    fn inner_name(&self) -> &str {
        self.inner_name()
    }

    fn inner_metadata(&self) -> &InnerMetadata {
        &self.spec.push_secret_metadata
    }

    fn inner_spec(&self) -> &PushSecretSpec {
        &self.spec.push_secret_spec
    }

    fn selection(&self) -> Selection<'_> {
        Selection { selectors: self.spec.namespace_selectors.iter().collect(), namespaces: &[] }
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
    ) -> ClusterPushSecretStatus {
        ClusterPushSecretStatus {
            push_secret_name: Some(self.inner_name().to_owned()),
            failed_namespaces: failed,
            provisioned_namespaces: provisioned,
            conditions: vec![FanOutCondition::ready(failure)],
        }
    }

    fn objects(stores: &Stores) -> &Arc<Store<Self>> {
        &stores.cluster_push_secrets
    }

    fn inner_objects(stores: &Stores) -> &Arc<Store<PushSecret>> {
        &stores.push_secrets
    }

    fn inner_watches(stores: &Stores) -> &WatchGroup {
        &stores.push_secret_watches
    }
}
