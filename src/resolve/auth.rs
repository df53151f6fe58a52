//! From a VaultAuth to the login that it stands for.

use sha2::{Digest as _, Sha256};

use super::method::method;
use super::{ConnectionPlan, Denied, Lookup, Method, ObjectRef, allows, connection, merged};
use crate::api::VaultAuth;

/// How a token is obtained: a checked VaultAuth with its connection, for one namespace that uses it.
#[derive(Clone, Debug)]
pub struct AuthPlan {
    /// The VaultAuth.
    pub id: ObjectRef,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Where to log in.
    pub connection: ConnectionPlan,
    /// Vault namespace of the login, and of the reads of objects that name no other; empty for the root.
    pub vault_namespace: String,
    /// Auth mount without `auth/`.
    pub mount: String,
    /// Further parameters of the login.
    pub params: Vec<(String, String)>,
    /// Headers of the login request.
    pub headers: Vec<(String, String)>,
    /// The method.
    pub method: Method,
    /// Namespace of the object that uses the login; its Secrets and service accounts are here.
    pub credential_namespace: String,
}

impl AuthPlan {
    /// A digest over everything that decides which token a login gives. Logins with equal digests on the same server
    /// are the same login.
    pub fn identity(&self, server: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        let server = server.to_string();
        for text in [&server, &self.vault_namespace, &self.mount, &self.credential_namespace] {
            add(text);
        }
        self.method.settings(&mut add);
        for (name, value) in self.params.iter().chain(&self.headers) {
            add(name);
            add(value);
        }
        add(&self.params.len().to_string());
        hash.finalize().into()
    }

    /// Upstream's key of the client in `status.vaultClientMeta`: readers of the status, and upstream itself after a way
    /// back, find the objects of a client by it. `credential_uid` is the UID of the service account or Secret.
    pub fn cache_key(&self, credential_uid: &str) -> Option<String> {
        let c = &self.connection;
        let uids = [self.uid.as_str(), c.uid.as_str(), credential_uid];
        if uids.iter().any(|u| u.len() != 36) {
            return None;
        }
        let input = format!("{}-{}.{}-{}.{}", self.uid, self.generation, c.uid, c.generation, credential_uid);
        let digest = Sha256::digest(input.as_bytes());
        let method = self.method.name().to_lowercase();
        Some(format!("{method}-{}{}", hex::encode(&digest[..7]), hex::encode(&digest[28..])))
    }
}

/// Resolves a VaultAuth for use by an object of `target` namespace.
pub fn auth(object: &VaultAuth, target: &str, lookup: &impl Lookup) -> Result<AuthPlan, Denied> {
    let meta = &object.metadata;
    let id = ObjectRef::of(meta);
    let operator_namespace = lookup.operator_namespace();

    // The default VaultAuth is there for everybody, unless its owner says for whom.
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
    let mount = spec.mount.clone();
    let mount = mount.ok_or_else(|| invalid("spec.mount is empty; set it to the path of the auth method"))?;
    if spec.headers.keys().any(|name| name.eq_ignore_ascii_case("x-vault-token")) {
        return Err(invalid("the header X-Vault-Token cannot be set"));
    }

    let connection_id = ObjectRef::resolve(spec.vault_connection_ref.as_deref(), &id.namespace, operator_namespace)
        .map_err(|e| Denied::Reference(format!("vaultConnectionRef of VaultAuth {id}: {e}")))?;
    let found = find(&connection_id, "VaultConnection", &id.to_string(), lookup, || lookup.connection(&connection_id))?;
    let allowed = &found.spec.allowed_namespaces;
    if !allowed.is_empty() && !allows(&connection_id.namespace, allowed, &id.namespace) {
        return Err(Denied::NotAllowed(format!(
            "namespace {:?} of VaultAuth {id} is not allowed by kind=VaultConnection obj={connection_id}, allowedNamespaces={allowed:?}",
            &*id.namespace,
        )));
    }
    let pairs =
        |map: &std::collections::BTreeMap<String, String>| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(AuthPlan {
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        connection: connection(&found)?,
        vault_namespace: spec.namespace.clone().unwrap_or_default().trim_matches('/').to_owned(),
        mount,
        params: pairs(&spec.params),
        headers: pairs(&spec.headers),
        method,
        credential_namespace: target.to_owned(),
        id,
    })
}

/// Finds a referenced object, and tells "does not exist" from "is not watched".
pub(super) fn find<T>(
    id: &ObjectRef,
    kind: &str,
    referrer: &str,
    lookup: &impl Lookup,
    get: impl FnOnce() -> Option<T>,
) -> Result<T, Denied> {
    if !lookup.serves(&id.namespace) {
        return Err(Denied::NotAllowed(format!(
            "{kind} {id}, named by {referrer}, is in a namespace that this operator does not watch"
        )));
    }
    get().ok_or_else(|| Denied::Missing(format!("{kind} {id}, named by {referrer}, does not exist")))
}
