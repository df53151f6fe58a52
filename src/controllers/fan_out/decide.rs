//! What has to become of the objects that one object makes in many namespaces. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::Resource as _;
use kube::api::ObjectMeta;
use kube::core::object::HasSpec as _;

use super::{FanOut, has_finalizer};
use crate::api::external_secrets::fan_out::{NamespaceFailure, Selection};
use crate::kubernetes::NamespaceState;
use crate::resolve;

/// What has to be written, and what is said of it.
pub(super) struct Decision<K> {
    /// The writes, by namespace.
    pub steps: Vec<(String, Step<K>)>,
    /// The namespaces that have what they have to have.
    pub right: Vec<String>,
    /// The namespaces with an object of that name that is another's.
    pub failed: Vec<NamespaceFailure>,
    /// The namespaces that lose ESO's finalizer.
    pub release: Vec<String>,
}

/// A write.
pub(super) enum Step<K> {
    /// There is no such object.
    Create(K),
    /// The object says something else.
    Replace(K),
    /// The object is not wanted any more.
    Delete(Arc<K>),
}

/// Annotation with which a person asks for a refresh.
const FORCE_SYNC: &str = "external-secrets.io/force-sync";

/// Compares what is wanted with what there is. `inner` has all objects of the inner kind.
///
/// An object is only deleted in a namespace that is known and is not meant: a namespace that no list has shown says
/// nothing.
///
/// # Errors
/// What of the object makes no sense. Nothing is to be changed then.
pub(super) fn decide<K: FanOut>(
    object: &K,
    namespaces: &[(String, Arc<NamespaceState>)],
    inner: &[Arc<K::Inner>],
) -> Result<Decision<K::Inner>, String> {
    let selection = object.selection();
    for (index, selector) in selection.selectors.iter().enumerate() {
        check(selector).map_err(|why| format!("selector {index} of the namespaces: {why}"))?;
    }
    let (mut there, mut owned) = (HashMap::<&str, &Arc<K::Inner>>::new(), vec![]);
    for known in inner {
        let meta = known.meta();
        let namespace = meta.namespace.as_deref().unwrap_or("");
        if meta.name.as_deref() == Some(object.inner_name()) {
            there.insert(namespace, known);
        }
        if is_owned(meta, object) {
            owned.push((namespace, known));
        }
    }
    let mut decision = Decision { steps: vec![], right: vec![], failed: vec![], release: vec![] };
    let is_former = |known: &K::Inner| known.meta().name.as_deref() != Some(object.inner_name());
    let with_former: HashSet<&str> = owned.iter().filter(|(_, known)| is_former(known)).map(|(of, _)| *of).collect();
    let mut meant = HashMap::<&str, bool>::new();
    for (namespace, state) in namespaces {
        let is_meant = !state.terminating && is_selected(&selection, namespace, state);
        meant.insert(namespace, is_meant || state.terminating);
        if !is_meant {
            if has_finalizer::<K>(state, name_of(object.meta())) {
                decision.release.push(namespace.clone());
            }
            continue;
        }
        let wanted = wanted(object, namespace);
        match there.get(namespace.as_str()) {
            // What it does would be taken back. The end of the former one is a change, and then it is made.
            None if K::TAKES_BACK && with_former.contains(namespace.as_str()) => {}
            None => decision.steps.push((namespace.clone(), Step::Create(wanted))),
            Some(known) if !is_owned(known.meta(), object) => {
                decision
                    .failed
                    .push(NamespaceFailure { namespace: namespace.clone(), reason: Some(K::EXISTS.to_owned()) });
            }
            // Its end is a change, and then another one is made.
            Some(known) if known.meta().deletion_timestamp.is_some() => {}
            Some(known) => match replacement::<K>(known, &wanted) {
                None => decision.right.push(namespace.clone()),
                Some(replacement) => decision.steps.push((namespace.clone(), Step::Replace(replacement))),
            },
        }
    }
    for (namespace, known) in owned {
        let stays = match meant.get(namespace) {
            // It goes with its namespace, or nothing is known.
            None => true,
            Some(false) => false,
            Some(true) if !is_former(known) => true,
            // It stays until the one of the new name is there, which may be another's, or goes first.
            Some(true) => there.get(namespace).map_or(!K::TAKES_BACK, |new| !is_owned(new.meta(), object)),
        };
        if !stays && known.meta().deletion_timestamp.is_none() {
            decision.steps.push((namespace.to_owned(), Step::Delete(known.clone())));
        }
    }
    Ok(decision)
}

fn name_of(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or("")
}

fn is_selected(selection: &Selection<'_>, namespace: &str, state: &NamespaceState) -> bool {
    selection.namespaces.iter().any(|named| named == namespace)
        || selection.selectors.iter().any(|selector| resolve::selects(selector, &state.labels))
}

/// What is wrong with a selector.
fn check(selector: &LabelSelector) -> Result<(), String> {
    for requirement in selector.match_expressions.iter().flatten() {
        let has_values = requirement.values.as_ref().is_some_and(|values| !values.is_empty());
        let needs_values = match requirement.operator.as_str() {
            "In" | "NotIn" => true,
            "Exists" | "DoesNotExist" => false,
            other => return Err(format!("{other:?} is not a valid label selector operator")),
        };
        if needs_values != has_values {
            let (operator, what) = (&requirement.operator, if needs_values { "needs values" } else { "has no values" });
            return Err(format!("operator {operator} {what}, key {:?}", requirement.key));
        }
    }
    Ok(())
}

/// Whether an object was made by this one: ESO goes by kind and name, so that one that was made again takes its own
/// over.
fn is_owned<K: FanOut>(meta: &ObjectMeta, object: &K) -> bool {
    let group = |api_version: &str| api_version.split('/').next().unwrap_or("").to_owned();
    meta.owner_references.iter().flatten().any(|owner| {
        owner.controller.unwrap_or(false)
            && owner.kind == K::KIND.as_str()
            && group(&owner.api_version) == group(K::KIND.api_version())
            && owner.name == name_of(object.meta())
    })
}

/// The object that a namespace has to have.
fn wanted<K: FanOut>(object: &K, namespace: &str) -> K::Inner {
    let metadata = object.inner_metadata();
    let mut annotations = metadata.annotations.clone();
    if let Some(value) = object.meta().annotations.as_ref().and_then(|own| own.get(FORCE_SYNC)) {
        annotations.insert(FORCE_SYNC.to_owned(), value.clone());
    }
    let some = |map: BTreeMap<String, String>| (!map.is_empty()).then_some(map);
    let mut wanted = K::Inner::default();
    *wanted.meta_mut() = ObjectMeta {
        name: Some(object.inner_name().to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: some(metadata.labels.clone()),
        annotations: some(annotations),
        owner_references: Some(vec![OwnerReference {
            api_version: K::KIND.api_version().to_owned(),
            kind: K::KIND.as_str().to_owned(),
            name: name_of(object.meta()).to_owned(),
            uid: object.meta().uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    };
    *wanted.spec_mut() = object.inner_spec().clone();
    wanted
}

/// The object as it has to be, if it is not. Other owners and finalizers stay.
fn replacement<K: FanOut>(known: &K::Inner, wanted: &K::Inner) -> Option<K::Inner> {
    let (meta, want) = (known.meta(), wanted.meta());
    let map = |map: &Option<BTreeMap<String, String>>| map.clone().unwrap_or_default();
    let own = want.owner_references.iter().flatten().next();
    let is_own = |owner: &&OwnerReference| own.is_some_and(|own| own.uid == owner.uid);
    let is_right = known.spec() == wanted.spec()
        && map(&meta.labels) == map(&want.labels)
        && map(&meta.annotations) == map(&want.annotations)
        && meta.owner_references.iter().flatten().any(|owner| is_own(&owner));
    if is_right {
        return None;
    }
    let mut new = known.clone();
    let others = meta.owner_references.iter().flatten().filter(|owner| !owner.controller.unwrap_or(false));
    let owners = others.chain(own).cloned().collect();
    *new.spec_mut() = wanted.spec().clone();
    *new.meta_mut() = ObjectMeta {
        labels: want.labels.clone(),
        annotations: want.annotations.clone(),
        owner_references: Some(owners),
        managed_fields: None,
        ..meta.clone()
    };
    Some(new)
}

#[cfg(test)]
mod tests;
