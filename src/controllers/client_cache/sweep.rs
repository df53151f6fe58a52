//! Deleting stored clients that nothing can use any more: of VaultAuths, VaultConnections and stores that are gone or
//! have another generation, of credentials that were replaced, and of logins that no object uses. VSO leaves most of
//! them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::api::ObjectMeta;
use tokio_util::sync::CancellationToken;

use super::super::controller::StartedWatches;
use super::{ClientCache, Known, Owner};
use crate::kubernetes::{KubernetesError, Leadership, StoredFor};
use crate::settings::Persistence;
use crate::telemetry::StorageOperation;
use crate::util::shrink;

/// Changes come in groups.
const SETTLE: Duration = Duration::from_secs(5);
/// After the API server refused, or while objects are not listed.
const RETRY_DELAY: Duration = Duration::from_secs(30);

/// Runs until `stop`; does something only while this process leads. What `watches` have not listed is not gone: nothing
/// is swept before all have.
pub(in super::super) async fn maintain(
    cache: Arc<ClientCache>,
    watches: StartedWatches,
    mut leads: Leadership,
    stop: CancellationToken,
) {
    let persistent = cache.persistence != Persistence::None;
    cache.outputs.metrics.client.enforce_encryption(cache.persistence == Persistence::Encrypted);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            led = leads.wait_for(|leads| *leads) => if led.is_err() { return },
        }
        cache.leads.store(true, Ordering::Relaxed);
        loop {
            let listed = watches.required.iter().all(|watch| watch.synced());
            let stores_listed = watches.optional.iter().all(|watch| watch.synced());
            let result = if !persistent {
                purge(&cache).await
            } else if listed {
                sweep(&cache, stores_listed).await
            } else {
                Ok(())
            };
            let again = async {
                match &result {
                    Err(_) => tokio::time::sleep(RETRY_DELAY).await,
                    Ok(()) if persistent && !listed => tokio::time::sleep(RETRY_DELAY).await,
                    Ok(()) if persistent => {
                        cache.changed.notified().await;
                        tokio::time::sleep(SETTLE).await;
                    }
                    Ok(()) => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = leads.wait_for(|leads| !*leads) => break,
                () = again => {}
            }
        }
        cache.leads.store(false, Ordering::Relaxed);
    }
}

/// Nothing is to be stored: what was is deleted.
async fn purge(cache: &ClientCache) -> Result<(), KubernetesError> {
    retain(cache, StorageOperation::Purge, |_| false).await
}

async fn sweep(cache: &ClientCache, stores_listed: bool) -> Result<(), KubernetesError> {
    let known = &cache.stores;
    let version = |meta: &ObjectMeta| (meta.uid.clone(), meta.generation);
    let mut auths: HashMap<_, _> = known.auths.all().iter().map(|auth| version(&auth.metadata)).collect();
    let mut connections: HashMap<_, _> = known.connections.all().iter().map(|c| version(&c.metadata)).collect();
    // A store is both, and so is a generator.
    for both in [&mut auths, &mut connections] {
        both.extend(known.secret_stores.all().iter().map(|store| version(&store.metadata)));
        both.extend(known.cluster_secret_stores.all().iter().map(|store| version(&store.metadata)));
        both.extend(known.vault_generators.all().iter().map(|generator| version(&generator.metadata)));
    }
    let used: HashSet<_> = known.logins_in_use().chain(known.store_logins_in_use()).collect();
    forget_unused(&mut cache.stored.lock(), &used);
    retain(cache, StorageOperation::Prune, |stored| {
        let current = |known: &HashMap<Option<String>, Option<i64>>, (uid, generation): &(String, i64)| {
            known.get(&Some(uid.clone())) == Some(&Some(*generation))
        };
        if stored.of_store && !stores_listed {
            return true;
        }
        let owner = (stored.auth.0.clone(), stored.provider_namespace.clone());
        current(&auths, &stored.auth)
            && current(&connections, &stored.connection)
            && used.contains(&owner)
            && cache.stored.lock().get(&owner).is_none_or(|known| known.key == stored.key)
    })
    .await
}

/// Forgets what is stored for VaultAuths that are gone, and for namespaces that use them no more.
fn forget_unused(stored: &mut HashMap<Owner, Known>, used: &HashSet<Owner>) {
    stored.retain(|owner, _| used.contains(owner));
    shrink(stored);
}

async fn retain(
    cache: &ClientCache,
    operation: StorageOperation,
    keep: impl Fn(&StoredFor) -> bool,
) -> Result<(), KubernetesError> {
    let result = cache.storage().retain(keep).await;
    match &result {
        Ok((left, deleted)) => {
            cache.outputs.metrics.client.storage_length.set(i64::try_from(*left).unwrap_or(i64::MAX));
            if *deleted > 0 {
                cache.outputs.metrics.client.storage(operation, true, u64::try_from(*deleted).unwrap_or(u64::MAX));
                tracing::info!(deleted, left, "deleted stored Vault clients that are of no use");
            }
        }
        Err(error) => {
            cache.outputs.metrics.client.storage(operation, false, 0);
            tracing::warn!(%error, "stored Vault clients that are of no use could not be deleted");
        }
    }
    result.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_logins_that_are_not_used_is_forgotten() {
        let owner = |i: usize| (format!("uid-{i}"), "ns".to_owned());
        let known = |i: usize| Known { key: format!("key-{i}"), serial: 1 };
        let mut stored: HashMap<_, _> = (0..20_000).map(|i| (owner(i), known(i))).collect();
        let used: HashSet<_> = [owner(3), owner(30_000)].into();
        forget_unused(&mut stored, &used);
        assert_eq!(stored.keys().collect::<Vec<_>>(), [&owner(3)]);
        assert!(stored.capacity() < 2000, "{}", stored.capacity());
    }
}
