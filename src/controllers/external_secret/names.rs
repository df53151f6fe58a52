//! What of the cluster an ExternalSecret is made of: a change of it is a reason to look again.

use std::sync::Arc;

use crate::api::ObjectRef;
use crate::api::external_secrets::ExternalSecret;
use crate::controllers::named::{self, Name, Source};
use crate::controllers::store_names;
use crate::resolve::{EntrySource, ExternalPlan, StoreSource};

/// The Secrets and ConfigMaps that an ExternalSecret reads, and the credentials that are those of its namespace. What
/// an object reads only once, or only when it changes itself, is not concerned. Nor is what one with a generator reads:
/// each look at it would make new data.
pub(super) fn names(object: &ExternalSecret, plan: &ExternalPlan) -> Vec<Name> {
    let mut names: Vec<Name> =
        plan.stores.iter().filter(|store| store.is_referent).flat_map(store_names::names).collect();
    if plan.is_periodic() && plan.generators.is_empty() {
        names.extend(contents(object, plan));
    }
    names
}

fn contents(object: &ExternalSecret, plan: &ExternalPlan) -> Vec<Name> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let mut names: Vec<Name> = named::of_template(namespace, object.spec.target.template.as_ref()).collect();
    let stores: Vec<Option<Source>> = plan
        .stores
        .iter()
        .map(|store| match &store.source {
            StoreSource::Kubernetes(store) => Some(Source::Store(Arc::new((**store).clone()))),
            StoreSource::Vault(_) => None,
        })
        .collect();
    let mut read = |store: usize, name: Option<&str>| {
        let (Some(source), StoreSource::Kubernetes(of)) = (&stores[store], &plan.stores[store].source) else { return };
        names.push((source.clone(), name.map(|name| ObjectRef::new(&*of.namespace, name))));
    };
    for (entry, source) in object.spec.data_from.iter().zip(&plan.data_from) {
        let EntrySource::Store(store) = source else { continue };
        read(*store, entry.extract.as_ref().map(|extract| extract.key.as_str()));
    }
    for (row, store) in object.spec.data.iter().zip(&plan.data) {
        read(*store, Some(&row.remote_ref.key));
    }
    names
}
