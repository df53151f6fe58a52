//! What is done with the Secret of an ExternalSecret, from its policies, what the Secret has to be and what it is.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::managed_fields::ManagedFields;
use super::{Data, hash, per_object, restart};
use crate::api::external_secrets::target::Target;
use crate::api::external_secrets::{CreationPolicy, DeletionPolicy};

mod error;
mod owner;

pub use error::TargetError;
pub use owner::Owner;

pub use super::hash::ANNOTATION_DATA_HASH;

/// Label of a Secret that an ExternalSecret fills.
pub const LABEL_MANAGED: &str = "reconcile.external-secrets.io/managed";
/// Label of a Secret that an ExternalSecret owns: a digest of namespace and name.
pub const LABEL_OWNER: &str = "reconcile.external-secrets.io/created-by";
/// Annotation of a Secret with [`Wanted::inputs`] of each ExternalSecret. ESO compares no annotation of the Secret but
/// that of the data.
const ANNOTATION_INPUTS: &str = "vso.secrets.hashicorp.com/inputs-mac";
/// The value of [`LABEL_MANAGED`].
const MANAGED: &str = "true";
/// Type of a Secret for which none is wanted.
const DEFAULT_TYPE: &str = "Opaque";

/// What the Secret has to hold and carry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The data.
    pub data: Data,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The type, if one is wanted.
    pub type_: Option<String>,
    /// Finalizers to add.
    pub finalizers: Vec<String>,
    /// Whether workloads restart when the data changes.
    pub restarts: bool,
    /// MAC of what the data was made from, if the templates would make other data of it the next time.
    pub inputs: Option<String>,
}

/// What is done with the Secret. Every Secret to write has the version that it replaces.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// Nothing.
    Leave,
    /// It is made.
    Create(Box<Secret>),
    /// It is replaced.
    Update(Box<Secret>),
    /// It is deleted.
    Delete,
}

/// What the ExternalSecret has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The Secret is as it has to be.
    Synced,
    /// The Secret stays, although the store holds nothing any more.
    Retained,
    /// The Secret is deleted, since the store holds nothing any more.
    Deleted,
    /// There is no Secret to merge into.
    Missing,
    /// The Secret is not as it has to be.
    Failed(TargetError),
}

/// What is done, and what it leads to.
#[derive(Clone, PartialEq)]
pub struct Plan {
    /// What is done with the Secret.
    pub action: Action,
    /// What the ExternalSecret has to say when that is done.
    pub outcome: Outcome,
}

impl Plan {
    fn leave(outcome: Outcome) -> Self {
        Self { action: Action::Leave, outcome }
    }

    fn fail(error: TargetError) -> Self {
        Self::leave(Outcome::Failed(error))
    }
}

fn creation_policy(target: &Target) -> Result<CreationPolicy, TargetError> {
    match &target.creation_policy {
        None => Ok(CreationPolicy::Owner),
        Some(CreationPolicy::Unknown(name)) if name.is_empty() => Ok(CreationPolicy::Owner),
        Some(CreationPolicy::Unknown(name)) => Err(TargetError::Policy(name.clone())),
        Some(policy) => Ok(policy.clone()),
    }
}

fn is_merged(policy: &CreationPolicy) -> bool {
    matches!(policy, CreationPolicy::Merge | CreationPolicy::CreateOrMerge)
}

/// What is done if the stores hold nothing. `None`: the Secret is written with no data.
pub fn on_no_data(owner: &Owner<'_>, target: &Target, now: Option<&Secret>) -> Option<Plan> {
    match &target.deletion_policy {
        Some(DeletionPolicy::Merge) => None,
        Some(DeletionPolicy::Delete) => Some(delete(owner, target, now)),
        Some(DeletionPolicy::Unknown(name)) if !name.is_empty() => Some(Plan::fail(TargetError::Policy(name.clone()))),
        None | Some(DeletionPolicy::Retain | DeletionPolicy::Unknown(_)) => Some(Plan::leave(Outcome::Retained)),
    }
}

fn delete(owner: &Owner<'_>, target: &Target, now: Option<&Secret>) -> Plan {
    match creation_policy(target) {
        Ok(CreationPolicy::Owner) => match now {
            None => Plan::leave(Outcome::Deleted),
            Some(secret) if owner.controls(&secret.metadata) => {
                Plan { action: Action::Delete, outcome: Outcome::Deleted }
            }
            Some(_) => Plan::fail(TargetError::NotOwned),
        },
        Ok(_) => Plan::fail(TargetError::DeletePolicy),
        Err(error) => Plan::fail(error),
    }
}

/// Whether a Secret belongs to the ExternalSecret, which fills another by now.
pub fn is_orphan(owner: &Owner<'_>, target: &Target, target_name: &str, secret: &ObjectMeta) -> bool {
    let label = secret.labels.as_ref().and_then(|labels| labels.get(LABEL_OWNER));
    creation_policy(target) == Ok(CreationPolicy::Owner)
        && secret.name.as_deref() != Some(target_name)
        && label.is_some_and(|label| *label == owner.hash())
        && owner.controls(secret)
}

/// Whether nothing has changed the Secret since it was written, so that it can stay until the next refresh.
pub fn is_valid(target: &Target, now: Option<&Secret>) -> bool {
    if target.creation_policy == Some(CreationPolicy::Orphan) {
        return true;
    }
    now.is_some_and(holds_what_was_written)
}

fn holds_what_was_written(secret: &Secret) -> bool {
    let label = secret.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_MANAGED));
    let digest = hash::of_data(&data_of(secret));
    label.is_some_and(|label| label == MANAGED) && annotation(secret, ANNOTATION_DATA_HASH) == Some(digest.as_str())
}

/// Whether a Secret holds what the templates of the ExternalSecret have made of inputs with this MAC
/// ([`Wanted::inputs`]).
pub fn is_made_from(secret: &Secret, name: &str, inputs: &str) -> bool {
    per_object::get(&secret.metadata, ANNOTATION_INPUTS, name).as_deref() == Some(inputs)
        && holds_what_was_written(secret)
}

fn annotation<'a>(secret: &'a Secret, name: &str) -> Option<&'a str> {
    secret.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Takes off the Secret what is recorded on it of ExternalSecrets that do not fill it any more.
pub fn forget_others(secret: &mut Secret, fills: impl Fn(&str) -> bool) {
    for annotation in [ANNOTATION_INPUTS, restart::ANNOTATION_RESTARTED] {
        per_object::retain(&mut secret.metadata, annotation, &fills);
    }
}

/// What is done so that the Secret of this name becomes what is wanted.
pub fn plan(owner: &Owner<'_>, target: &Target, name: &str, now: Option<&Secret>, wanted: &Wanted) -> Plan {
    match creation_policy(target) {
        Err(error) => Plan::fail(error),
        Ok(CreationPolicy::None) => Plan::leave(Outcome::Synced),
        Ok(CreationPolicy::Merge) if now.is_none() => Plan::leave(Outcome::Missing),
        Ok(policy) => write(owner, &policy, target.immutable, name, now, wanted).unwrap_or_else(|error| {
            let makes_keys = target.template.as_ref().is_some_and(|template| !template.template_from.is_empty());
            Plan::fail(if makes_keys && matches!(error, TargetError::Key(_)) { TargetError::MadeKey } else { error })
        }),
    }
}

fn write(
    owner: &Owner<'_>,
    policy: &CreationPolicy,
    immutable: bool,
    name: &str,
    now: Option<&Secret>,
    wanted: &Wanted,
) -> Result<Plan, TargetError> {
    let mut next = now.cloned().unwrap_or_default();
    next.metadata.managed_fields = None;
    next.metadata.name = Some(name.to_owned());
    next.metadata.namespace = Some(owner.namespace.to_owned());
    owner.set(&mut next.metadata, *policy == CreationPolicy::Owner)?;
    // What exists and has to be immutable stays as it is.
    if now.is_none() || !immutable {
        let managed = ManagedFields::of(&now.cloned().unwrap_or_default().metadata, &hash::field_manager(owner.name));
        fill(&mut next, &managed, is_merged(policy), wanted);
        // Of what another client has changed, no record is good: the digest that is written now would vouch for it.
        let recorded = now.filter(|now| holds_what_was_written(now)).map(|now| &now.metadata);
        per_object::set(recorded, &mut next.metadata, ANNOTATION_INPUTS, owner.name, wanted.inputs.clone());
        error::check_data(next.data.as_ref())?;
        error::check_labels(&wanted.labels)?;
        error::check_privilege(now, &next)?;
    }
    if immutable {
        next.immutable = Some(true);
    }
    let Some(now) = now else {
        mark(&mut next, owner, policy);
        restart::carry_over(None, &mut next.metadata, owner.name, wanted.restarts);
        return Ok(Plan { action: Action::Create(Box::new(next)), outcome: Outcome::Synced });
    };
    let mut outcome = Outcome::Synced;
    if now.immutable == Some(true) && (type_of(&next) != type_of(now) || data_of(&next) != data_of(now)) {
        (next.type_, next.data) = (now.type_.clone(), now.data.clone());
        per_object::set(Some(&now.metadata), &mut next.metadata, ANNOTATION_INPUTS, owner.name, None);
        outcome = Outcome::Failed(TargetError::Immutable);
    } else if type_of(&next) != type_of(now) {
        return Err(TargetError::TypeChange { now: type_of(now), wanted: type_of(&next) });
    }
    mark(&mut next, owner, policy);
    restart::carry_over(Some(&now.metadata), &mut next.metadata, owner.name, wanted.restarts);
    let action = if is_equal(now, &next) { Action::Leave } else { Action::Update(Box::new(next)) };
    Ok(Plan { action, outcome })
}

/// Takes what the field manager has set out of the Secret, and puts in what is wanted.
fn fill(secret: &mut Secret, managed: &ManagedFields, merged: bool, wanted: &Wanted) {
    let data = secret.data.get_or_insert_default();
    if merged {
        data.retain(|key, _| !managed.keys.contains(key));
    } else {
        data.clear();
    }
    data.extend(wanted.data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))));
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.retain(|name, _| !managed.labels.contains(name));
    labels.extend(wanted.labels.clone());
    let annotations = secret.metadata.annotations.get_or_insert_default();
    annotations.retain(|name, _| !managed.annotations.contains(name));
    // Another object that merges into the Secret asks for other restarts: each would write its own for ever.
    let wanted_here = wanted.annotations.iter().filter(|(name, _)| !merged || *name != restart::ANNOTATION_TARGETS);
    annotations.extend(wanted_here.map(|(name, text)| (name.clone(), text.clone())));
    if let Some(wanted) = &wanted.type_ {
        secret.type_ = Some(wanted.clone());
    } else if secret.type_.is_none() {
        secret.type_ = Some(DEFAULT_TYPE.to_owned());
    }
    let finalizers = secret.metadata.finalizers.get_or_insert_default();
    for wanted in &wanted.finalizers {
        if !finalizers.contains(wanted) {
            finalizers.push(wanted.clone());
        }
    }
}

/// Sets what tells to which ExternalSecret the Secret belongs, and which data it was given.
fn mark(secret: &mut Secret, owner: &Owner<'_>, policy: &CreationPolicy) {
    let digest = hash::of_data(&data_of(secret));
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.insert(LABEL_MANAGED.to_owned(), MANAGED.to_owned());
    if *policy == CreationPolicy::Owner {
        labels.insert(LABEL_OWNER.to_owned(), owner.hash());
    } else {
        labels.remove(LABEL_OWNER);
    }
    secret.metadata.annotations.get_or_insert_default().insert(ANNOTATION_DATA_HASH.to_owned(), digest);
}

/// The data of a Secret.
pub fn data_of(secret: &Secret) -> Data {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn type_of(secret: &Secret) -> String {
    secret.type_.clone().unwrap_or_else(|| DEFAULT_TYPE.to_owned())
}

/// Whether a write would change nothing.
fn is_equal(now: &Secret, next: &Secret) -> bool {
    let (old, new) = (&now.metadata, &next.metadata);
    data_of(now) == data_of(next)
        && type_of(now) == type_of(next)
        && now.immutable.unwrap_or(false) == next.immutable.unwrap_or(false)
        && old.labels.clone().unwrap_or_default() == new.labels.clone().unwrap_or_default()
        && old.annotations.clone().unwrap_or_default() == new.annotations.clone().unwrap_or_default()
        && old.owner_references.clone().unwrap_or_default() == new.owner_references.clone().unwrap_or_default()
        && old.finalizers.clone().unwrap_or_default() == new.finalizers.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests;
