//! The kinds that the operator reconciles: a row for each. Nothing else names them.

use std::sync::Arc;

use super::controller::Controller;
use super::dynamic_secret::DynamicSecrets;
use super::external_secret::ExternalSecrets;
use super::fan_out::{FanOut, FanOuts};
use super::feeds::Feeds;
use super::pipeline::{Pipeline, Shared};
use super::pki_secret::PkiSecrets;
use super::push_secret::PushSecrets;
use super::reloader::Reloader;
use super::secret_store::SecretStores;
use super::secret_transformation::SecretTransformations;
use super::static_secret::StaticSecrets;
use super::store_access::StoreAccess;
use super::stores::OwnerStore;
use super::unsupported::{Unsupported, UnsupportedKind};
use super::vault_auth::VaultAuths;
use super::vault_connection::VaultConnections;
use crate::api::external_secrets::{ClusterExternalSecret, ClusterPushSecret};
use crate::api::{CSISecrets, VaultDynamicSecret, VaultPKISecret, VaultStaticSecret};
use crate::kubernetes::Store;
use crate::providers::ClusterClients;
use crate::settings::Settings;

/// The stores of the kinds that fill a Secret.
#[derive(Default)]
pub(super) struct Owners {
    static_secrets: Arc<Store<VaultStaticSecret>>,
    dynamic_secrets: Arc<Store<VaultDynamicSecret>>,
    pki_secrets: Arc<Store<VaultPKISecret>>,
}

impl Owners {
    /// A row for each kind.
    pub fn stores(&self) -> Vec<Arc<dyn OwnerStore>> {
        vec![self.static_secrets.clone(), self.dynamic_secrets.clone(), self.pki_secrets.clone()]
    }
}

/// A row for each kind.
pub(super) fn controllers(owners: &Owners, shared: &Arc<Shared>, settings: &Settings) -> Vec<Arc<dyn Controller>> {
    let (vault, outputs) = (shared.vault.clone(), shared.outputs.clone());
    let (stores, dependents) = (shared.stores.clone(), shared.vault.dependents.clone());
    let pod_uid = settings.pod.uid.clone();
    let mut controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(VaultConnections { vault: vault.clone(), outputs: outputs.clone() }),
        Arc::new(VaultAuths { vault, outputs: outputs.clone() }),
        Arc::new(SecretTransformations {
            stores,
            dependents,
            transformations: shared.renderer.transformations.clone(),
            outputs,
        }),
        Arc::new(Pipeline::new(StaticSecrets, owners.static_secrets.clone(), shared.clone())),
        Arc::new(Pipeline::new(DynamicSecrets { pod_uid }, owners.dynamic_secrets.clone(), shared.clone())),
        Arc::new(Pipeline::new(
            PkiSecrets { outputs: shared.outputs.clone() },
            owners.pki_secrets.clone(),
            shared.clone(),
        )),
        unsupported::<CSISecrets>(shared),
    ];
    if settings.external_secrets {
        controllers.extend(external_secrets(shared, settings));
    }
    if settings.reloader {
        controllers.extend(Reloader::controllers(
            settings,
            shared.mac_key.clone(),
            shared.rollouts.clone(),
            shared.outputs.clone(),
            shared.work.clone(),
        ));
    }
    controllers
}

/// A row for each kind of `external-secrets.io`.
fn external_secrets(shared: &Arc<Shared>, settings: &Settings) -> Vec<Arc<dyn Controller>> {
    let (vault, outputs, stores) = (shared.vault.clone(), shared.outputs.clone(), &shared.stores);
    let calls = outputs.metrics.external_secrets.as_ref().map(|metrics| metrics.provider_calls());
    let clients = ClusterClients::new(settings.backoff, calls);
    let feeds = Feeds::new(outputs.client.clone(), shared.work.clone(), stores.scopes.clone());
    let access = StoreAccess { vault: vault.clone(), clients, feeds: Arc::new(feeds), outputs: outputs.clone() };
    let access = Arc::new(access);
    let turns = shared.renderer.turns.clone();
    let (store, cluster_store) = (stores.secret_stores.clone(), stores.cluster_secret_stores.clone());
    let mut controllers: Vec<Arc<dyn Controller>> = vec![
        Arc::new(SecretStores::new(store, access.clone())),
        Arc::new(SecretStores::new(cluster_store, access.clone())),
        Arc::new(PushSecrets::new(access.clone(), turns.clone(), settings.backoff, settings.min_refresh_after)),
        Arc::new(ExternalSecrets::new(
            access,
            turns,
            shared.mac_key.clone(),
            shared.rollouts.clone(),
            settings.backoff,
            settings.min_refresh_after,
        )),
    ];
    if settings.cluster_external_secrets {
        controllers.push(fan_out::<ClusterExternalSecret>(shared, settings));
    }
    if settings.cluster_push_secrets {
        controllers.push(fan_out::<ClusterPushSecret>(shared, settings));
    }
    controllers
}

fn fan_out<K: FanOut>(shared: &Shared, settings: &Settings) -> Arc<dyn Controller> {
    let (stores, work) = (shared.stores.clone(), shared.work.clone());
    Arc::new(FanOuts::<K>::new(stores, work, shared.outputs.clone(), settings.backoff))
}

fn unsupported<K: UnsupportedKind>(shared: &Shared) -> Arc<dyn Controller> {
    let dependents = shared.vault.dependents.clone();
    Arc::new(Unsupported::<K> { store: Arc::default(), dependents, outputs: shared.outputs.clone() })
}
