//! From a VaultAuth to the login that it stands for.

use std::collections::BTreeMap;

use super::{AuthPlan, Denied, LoginOwner, LoginPlan, Lookup, ObjectRef, allows, connection, merged};
use crate::api::MethodError;
use crate::api::auth_methods::{CredentialObject, Method};
use crate::api::{CustomObject as _, VaultAuth, VaultAuthSpec};

/// Resolves a VaultAuth for use by an object of `target` namespace.
pub fn auth(object: &VaultAuth, target: &str, lookup: &impl Lookup) -> Result<AuthPlan, Denied> {
    let meta = &object.metadata;
    let id = ObjectRef::of(meta);
    let operator_namespace = lookup.operator_namespace();

    // The default VaultAuth is open to all namespaces, unless its owner lists some.
    let is_default = &*id.name == "default" && &*id.namespace == operator_namespace;
    let allowed = &object.spec.allowed_namespaces;
    let open = is_default && allowed.is_empty();
    if !open && !allows(&id.namespace, allowed, target) {
        return Err(Denied::NotAllowed(format!(
            "target namespace {target:?} is not allowed by kind=VaultAuth obj={id}, allowedNamespaces={allowed:?}"
        )));
    }
    let merged = merged(object, lookup)?;
    let spec = &*merged.spec;
    let method = method(spec, &id)?;
    let invalid = |what: &str| Denied::Invalid(format!("invalid configuration of VaultAuth {id}: {what}"));
    if method.settings().credential() == CredentialObject::Operator
        && &*id.namespace != operator_namespace
        && !lookup.allows_ambient_cloud_identity()
    {
        // Otherwise every tenant that may create a VaultAuth could send a proof of this identity to any server.
        return Err(Denied::NotAllowed(format!(
            "VaultAuth {id} would use the operator's own cloud identity, which is for VaultAuths in namespace \
             {operator_namespace:?}: set spec.aws.secretRef or spec.aws.irsaServiceAccount, or name a VaultAuth of that \
             namespace that allows this one, or start the operator with --allow-ambient-cloud-identity"
        )));
    }
    let needs_mount = method.needs_mount();
    if needs_mount && spec.mount.is_none() {
        return Err(invalid("spec.mount is empty; set it to the path of the auth method"));
    }
    if spec.headers.keys().any(|name| name.eq_ignore_ascii_case("x-vault-token")) {
        return Err(invalid("the header X-Vault-Token cannot be set"));
    }

    let connection_id = ObjectRef::resolve(spec.vault_connection_ref.as_deref(), &id.namespace, operator_namespace)
        .map_err(|e| Denied::Reference(format!("vaultConnectionRef of VaultAuth {id}: {e}")))?;
    let found = find(&connection_id, "VaultConnection", &id, lookup, || lookup.connection(&connection_id))?;
    let allowed = &found.spec.allowed_namespaces;
    if !allowed.is_empty() && !allows(&connection_id.namespace, allowed, &id.namespace) {
        return Err(Denied::NotAllowed(format!(
            "namespace {:?} of VaultAuth {id} is not allowed by kind=VaultConnection obj={connection_id}, allowedNamespaces={allowed:?}",
            &*id.namespace,
        )));
    }
    // Without a login there is nothing to send them with: VaultAuths that differ in them share a session.
    let pairs = |map: &BTreeMap<String, String>| {
        if needs_mount { map.iter().map(|(k, v)| (k.clone(), v.clone())).collect() } else { vec![] }
    };
    Ok(AuthPlan {
        owner: LoginOwner {
            kind: VaultAuth::KIND,
            id,
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
        },
        login: LoginPlan {
            connection: connection(&found)?,
            vault_namespace: spec.namespace.clone().unwrap_or_default().trim_matches('/').to_owned(),
            mount: spec.mount.clone().filter(|_| needs_mount).unwrap_or_default(),
            params: pairs(&spec.params),
            headers: pairs(&spec.headers),
            method,
            credential_namespace: target.to_owned(),
        },
    })
}

/// The method of a VaultAuth, after it was completed by a VaultAuthGlobal.
fn method(spec: &VaultAuthSpec, id: &ObjectRef) -> Result<Method, Denied> {
    let Some(method) = &spec.method else {
        return Err(Denied::Invalid(format!("VaultAuth {id} has no spec.method")));
    };
    spec.login(method).map_err(|error| {
        Denied::Invalid(match &error {
            MethodError::NotConfigured(method) => format!("{error}: VaultAuth {id} has no spec.{method}"),
            MethodError::Invalid { .. } | MethodError::Unknown(_) => format!("{error} (VaultAuth {id})"),
        })
    })
}

/// Finds a referenced object, and tells "does not exist" from "is not watched".
pub(super) fn find<T>(
    id: &ObjectRef,
    kind: &str,
    referrer: &dyn std::fmt::Display,
    lookup: &impl Lookup,
    get: impl FnOnce() -> Option<T>,
) -> Result<T, Denied> {
    if !lookup.watches_namespace(&id.namespace) {
        return Err(Denied::NotAllowed(format!(
            "{kind} {id}, named by {referrer}, is in a namespace that this operator does not watch"
        )));
    }
    get().ok_or_else(|| Denied::Missing(format!("{kind} {id}, named by {referrer}, does not exist")))
}
