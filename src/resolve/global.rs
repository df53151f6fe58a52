//! VaultAuthGlobal: what it supplies to the VaultAuths that refer to it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::auth::find;
use super::{Denied, Lookup, ObjectRef, allows};
use crate::api::{MergeRule, VaultAuth, VaultAuthGlobal, VaultAuthGlobalSpec, VaultAuthSpec};

/// Name of the VaultAuthGlobal, VaultAuth and VaultConnection that are used by those that name none.
const DEFAULT: &str = "default";

/// The settings of a VaultAuth, with what its VaultAuthGlobal supplies.
#[derive(Clone, Debug)]
pub struct Merged<'a> {
    /// The settings.
    pub spec: Cow<'a, VaultAuthSpec>,
    /// The VaultAuthGlobal, if there is one.
    pub global: Option<GlobalVersion>,
}

/// One version of a VaultAuthGlobal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalVersion {
    /// The object.
    pub id: ObjectRef,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// Finds the VaultAuthGlobal of a VaultAuth and merges the two. Without a reference the settings stay as they are.
pub fn merged<'a>(object: &'a VaultAuth, lookup: &impl Lookup) -> Result<Merged<'a>, Denied> {
    if object.spec.vault_auth_global_ref.is_none() {
        return Ok(Merged { spec: Cow::Borrowed(&object.spec), global: None });
    }
    let auth_id = ObjectRef::of(&object.metadata);
    let (id, global) = global_of(object, &auth_id, lookup)?;
    let allowed = &global.spec.allowed_namespaces;
    let is_default = &*id.name == DEFAULT && &*id.namespace == lookup.operator_namespace();
    // The default is open to all namespaces, unless its owner lists some.
    let open = is_default && allowed.is_empty();
    if !open && !allows(&id.namespace, allowed, &auth_id.namespace) {
        return Err(Denied::NotAllowed(format!(
            "target namespace {:?} is not allowed by kind=VaultAuthGlobal obj={id}, allowedNamespaces={allowed:?}",
            &*auth_id.namespace
        )));
    }
    let mut spec = merge(&object.spec, &global.spec, &auth_id, &id)?;
    if &*auth_id.name == DEFAULT && &*auth_id.namespace == lookup.operator_namespace() {
        // As in VSO: the default VaultAuth uses the default VaultConnection unless it names one by itself.
        spec.vault_connection_ref.clone_from(&object.spec.vault_connection_ref);
    }
    let meta = &global.metadata;
    let (uid, generation) = (meta.uid.clone().unwrap_or_default(), meta.generation.unwrap_or_default());
    Ok(Merged { spec: Cow::Owned(spec), global: Some(GlobalVersion { id, uid, generation }) })
}

/// Where the VaultAuthGlobal of a VaultAuth is looked for, in this order. Empty without a reference, or with one that
/// cannot be understood.
pub fn global_candidates(object: &VaultAuth, operator_namespace: &str) -> Vec<ObjectRef> {
    let Some(reference) = &object.spec.vault_auth_global_ref else { return vec![] };
    let own = object.metadata.namespace.as_deref().unwrap_or("");
    match (&reference.name, &reference.namespace) {
        (Some(name), namespace) => vec![ObjectRef::new(namespace.as_deref().unwrap_or(own), name.as_str())],
        (None, _) if reference.allow_default != Some(true) => vec![],
        (None, Some(namespace)) => vec![ObjectRef::new(namespace.as_str(), DEFAULT)],
        (None, None) if own == operator_namespace => vec![ObjectRef::new(own, DEFAULT)],
        (None, None) => vec![ObjectRef::new(own, DEFAULT), ObjectRef::new(operator_namespace, DEFAULT)],
    }
}

fn global_of(
    object: &VaultAuth,
    auth_id: &ObjectRef,
    lookup: &impl Lookup,
) -> Result<(ObjectRef, std::sync::Arc<VaultAuthGlobal>), Denied> {
    let reference = object.spec.vault_auth_global_ref.clone().unwrap_or_default();
    if reference.allow_default == Some(true) && !lookup.allows_default_globals() {
        return Err(Denied::NotAllowed(format!(
            "default vault auth is not allowed by kind=VaultAuth obj={auth_id}: global=false"
        )));
    }
    let candidates = global_candidates(object, lookup.operator_namespace());
    match &candidates[..] {
        [] => {
            Err(Denied::Reference(format!("invalid VaultAuthGlobalRef for {auth_id}: invalid objectKey, empty name")))
        }
        [id] if reference.name.is_some() => {
            let found = find(id, "VaultAuthGlobal", &auth_id, lookup, || lookup.global(id))?;
            Ok((id.clone(), found))
        }
        several => {
            let found = several.iter().find_map(|id| Some((id.clone(), lookup.global(id)?)));
            let namespaces: Vec<&str> = several.iter().map(|id| &*id.namespace).collect();
            found.ok_or_else(|| {
                let text = format!("default vault auth not found in namespaces={namespaces:?}: global=true");
                Denied::Missing(format!("{text} (VaultAuth {auth_id})"))
            })
        }
    }
}

/// The settings of the VaultAuth where it has some, else those of the method's block in the VaultAuthGlobal, else those
/// that the VaultAuthGlobal has for all methods.
fn merge(
    own: &VaultAuthSpec,
    global: &VaultAuthGlobalSpec,
    auth_id: &ObjectRef,
    global_id: &ObjectRef,
) -> Result<VaultAuthSpec, Denied> {
    let invalid = |what: String| Denied::Invalid(format!("invalid merge: {what}"));
    let method = first(&own.method, &global.default_auth_method).ok_or_else(|| {
        invalid(format!(
            "no auth method set in VaultAuth {auth_id} and no default method set in VaultAuthGlobal {global_id}"
        ))
    })?;
    let mut merged = own.clone();
    let Some(of_method) = merged.merge_method(global, &method) else {
        let text = format!("global auth method {method} is not configured in VaultAuthGlobal {global_id}");
        return Err(invalid(format!("{text}, nor in VaultAuth {auth_id}")));
    };
    merged.mount = first(&first(&own.mount, &of_method.mount), &global.default_mount);
    if merged.mount.is_none() && method.needs_mount() {
        let text = format!("mount is not set in VaultAuth {auth_id} after merge with VaultAuthGlobal {global_id}");
        return Err(invalid(text));
    }
    merged.method = Some(method);
    merged.namespace = first(&first(&own.namespace, &of_method.namespace), &global.default_vault_namespace);
    merged.vault_connection_ref = first(&own.vault_connection_ref, &global.vault_connection_ref);
    let strategy = own.vault_auth_global_ref.as_ref().and_then(|r| r.merge_strategy.clone()).unwrap_or_default();
    let unknown = |what: &str, rule: &str| invalid(format!("unsupported {what} merge strategy {rule:?}"));
    merged.params = map(strategy.params.as_ref(), [&global.params, &of_method.params, &own.params])
        .map_err(|rule| unknown("params", rule))?;
    merged.headers = map(strategy.headers.as_ref(), [&global.headers, &of_method.headers, &own.headers])
        .map_err(|rule| unknown("headers", rule))?;
    Ok(merged)
}

/// Combines maps, the strongest last. `Err` is a rule that does not exist.
fn map<'r>(
    rule: Option<&'r MergeRule>,
    [general, of_method, own]: [&BTreeMap<String, String>; 3],
) -> Result<BTreeMap<String, String>, &'r str> {
    match rule {
        None | Some(MergeRule::None) => Ok(own.clone()),
        Some(MergeRule::Union) => {
            Ok([general, of_method, own].into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
        }
        Some(MergeRule::Replace) => {
            Ok([own, of_method, general].into_iter().find(|m| !m.is_empty()).cloned().unwrap_or_default())
        }
        Some(MergeRule::Unknown(other)) => Err(other),
    }
}

/// The first that is set.
fn first<T: Clone>(own: &Option<T>, other: &Option<T>) -> Option<T> {
    own.as_ref().or(other.as_ref()).cloned()
}
