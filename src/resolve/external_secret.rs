//! From an ExternalSecret to the stores that it reads, and how often.

use std::time::Duration;

use super::{Denied, GeneratorLookup, GeneratorPlan, StorePlan, generator, store_key, store_of};
use crate::api::external_secrets::secret_store::StoreRef;
use crate::api::external_secrets::{ExternalSecret, RefreshPolicy};
use crate::api::{Key, ObjectRef};
use crate::gocompat::GoDuration;

/// Where an entry of `spec.dataFrom` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntrySource {
    /// One of the stores.
    Store(usize),
    /// One of the generators.
    Generator(usize),
}

/// What an ExternalSecret reads.
#[derive(Clone, Debug)]
pub struct ExternalPlan {
    /// The stores.
    pub stores: Vec<StorePlan>,
    /// The generators.
    pub generators: Vec<GeneratorPlan>,
    /// Which of the stores each entry of `spec.data` reads.
    pub data: Vec<usize>,
    /// Where each entry of `spec.dataFrom` comes from.
    pub data_from: Vec<EntrySource>,
    /// When the stores are read again.
    pub policy: RefreshPolicy,
    /// `None`: only once.
    pub interval: Option<Duration>,
}

impl ExternalPlan {
    /// Whether the stores are read again while the object stays as it is.
    pub fn is_periodic(&self) -> bool {
        self.interval.is_some() && matches!(self.policy, RefreshPolicy::Periodic | RefreshPolicy::Unknown(_))
    }
}

/// How often an object with this `spec.refreshInterval` is due, `min` at the least. `None`: not by the time.
///
/// # Errors
/// It is no duration.
pub(super) fn refresh_interval(text: Option<&str>, min: Duration) -> Result<Option<Duration>, Denied> {
    /// ESO's default, which its schema has.
    const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);

    let Some(text) = text else { return Ok(Some(DEFAULT_INTERVAL)) };
    let parsed =
        GoDuration::parse(text).map_err(|error| Denied::Invalid(format!("spec.refreshInterval {text:?}: {error}")))?;
    Ok((parsed.0 > 0).then(|| parsed.as_std().max(min)))
}

/// Resolves an ExternalSecret. `None`: another operator serves one of its stores.
///
/// # Errors
/// What of it, or of a store, cannot work or is not allowed.
pub fn external_secret(
    object: &ExternalSecret,
    min_interval: Duration,
    lookup: &impl GeneratorLookup,
) -> Result<Option<ExternalPlan>, Denied> {
    let spec = &object.spec;
    let id = ObjectRef::of(&object.metadata);
    let mut stores: Vec<(Key, StorePlan)> = vec![];
    let mut index = |own: Option<&StoreRef>, member: &str| -> Result<Option<usize>, Denied> {
        let reference = own.filter(|own| own.name.is_some()).or(spec.secret_store_ref.as_ref());
        let Some(reference) = reference else {
            let text = format!("{member} has no store: set spec.secretStoreRef, or sourceRef.storeRef of the entry");
            return Err(Denied::Reference(text));
        };
        let key = store_key(reference, &id.namespace);
        if let Some(known) = stores.iter().position(|(known, _)| *known == key) {
            return Ok(Some(known));
        }
        let Some(plan) = store_of(reference, &id.namespace, lookup)? else { return Ok(None) };
        stores.push((key, plan));
        Ok(Some(stores.len() - 1))
    };
    let (mut data, mut data_from, mut generators) = (vec![], vec![], vec![]);
    for (i, entry) in spec.data_from.iter().enumerate() {
        let source = entry.source_ref.as_ref();
        if let Some(reference) = source.and_then(|source| source.generator_ref.as_ref()) {
            let Some(plan) = generator(reference, &id.namespace, lookup)? else { return Ok(None) };
            generators.push(plan);
            data_from.push(EntrySource::Generator(generators.len() - 1));
            continue;
        }
        let Some(store) = index(source.and_then(|s| s.store_ref.as_ref()), &format!("spec.dataFrom[{i}]"))? else {
            return Ok(None);
        };
        data_from.push(EntrySource::Store(store));
    }
    for (i, row) in spec.data.iter().enumerate() {
        let source = row.source_ref.as_ref();
        let Some(store) = index(source.and_then(|s| s.store_ref.as_ref()), &format!("spec.data[{i}]"))? else {
            return Ok(None);
        };
        data.push(store);
    }
    let policy = spec.refresh_policy.clone().unwrap_or_default();
    if let RefreshPolicy::Unknown(other) = &policy {
        return Err(Denied::Invalid(format!("spec.refreshPolicy {other:?} is not known")));
    }
    let interval = refresh_interval(spec.refresh_interval.as_deref(), min_interval)?;
    let stores = stores.into_iter().map(|(_, plan)| plan).collect();
    Ok(Some(ExternalPlan { stores, generators, data, data_from, policy, interval }))
}
