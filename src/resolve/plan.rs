//! The chain VaultStaticSecret -> VaultAuth -> VaultConnection.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{ConnectionPlan, Denied, Gathered, Lookup, ObjectRef, allows, connection, transformation};
use crate::api::duration::GoDuration;
use crate::api::{AuthMethod, SecretEngine, VaultAuth, VaultStaticSecret};

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
    /// The method; only one is supported so far.
    pub kubernetes: KubernetesLogin,
    /// Namespace of the object that uses the login; the service account lives here.
    pub credential_namespace: String,
}

/// Vault's `kubernetes` auth method.
#[derive(Clone, Debug)]
pub struct KubernetesLogin {
    /// Vault role.
    pub role: String,
    /// Name of the service account that logs in.
    pub service_account: String,
    /// Audiences of its token; empty for the API server's own.
    pub audiences: Vec<String>,
    /// Lifetime of the token in seconds.
    pub expiration_seconds: i64,
}

/// How a VaultStaticSecret gets its data, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The login.
    pub auth: AuthPlan,
    /// Vault namespace to read in; empty for the root.
    pub vault_namespace: String,
    /// API path without `/v1/`.
    pub path: String,
    /// KV v2: the version wanted, 0 for the latest.
    pub version: i64,
    /// `None`: read once per change of the object, never on a schedule.
    pub refresh: Option<Duration>,
    /// What becomes of the data.
    pub transformation: Gathered,
}

/// Upstream's interval where `refreshAfter` is unset and drift is looked for.
const DEFAULT_REFRESH: Duration = Duration::from_secs(60);

impl AuthPlan {
    /// A digest over everything that decides which token a login gives. Logins with equal digests on the same server
    /// are the same login.
    pub fn identity(&self, server: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        let k = &self.kubernetes;
        for text in [
            &server.to_string(),
            &self.vault_namespace,
            &self.mount,
            "kubernetes",
            &k.role,
            &self.credential_namespace,
            &k.service_account,
            &k.expiration_seconds.to_string(),
            &k.audiences.len().to_string(),
        ] {
            add(text);
        }
        k.audiences.iter().for_each(|a| add(a));
        for (name, value) in self.params.iter().chain(&self.headers) {
            add(name);
            add(value);
        }
        add(&self.params.len().to_string());
        hash.finalize().into()
    }

    /// Upstream's key of the client in `status.vaultClientMeta`: readers of the status, and upstream itself after a way
    /// back, find the objects of a client by it. `credential_uid` is the UID of the service account.
    pub fn cache_key(&self, credential_uid: &str) -> Option<String> {
        let c = &self.connection;
        let uids = [self.uid.as_str(), c.uid.as_str(), credential_uid];
        if uids.iter().any(|u| u.len() != 36) {
            return None;
        }
        let input = format!("{}-{}.{}-{}.{}", self.uid, self.generation, c.uid, c.generation, credential_uid);
        let digest = Sha256::digest(input.as_bytes());
        let hex: String = digest[..7].iter().chain(&digest[28..]).map(|b| format!("{b:02x}")).collect();
        Some(format!("kubernetes-{hex}"))
    }
}

/// Resolves a VaultAuth for use by an object of `target` namespace.
pub fn auth(object: &VaultAuth, target: &str, lookup: &impl Lookup) -> Result<AuthPlan, Denied> {
    let meta = &object.metadata;
    let id = ObjectRef::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""));
    let spec = &object.spec;
    let operator_namespace = lookup.operator_namespace();

    // The default VaultAuth is there for everybody, unless its owner says for whom.
    let is_default = &*id.name == "default" && &*id.namespace == operator_namespace;
    let open = is_default && spec.allowed_namespaces.is_empty();
    if !open && !allows(&id.namespace, &spec.allowed_namespaces, target) {
        return Err(Denied::NotAllowed(format!(
            "target namespace {target:?} is not allowed by kind=VaultAuth obj={id}, allowedNamespaces={:?}",
            spec.allowed_namespaces
        )));
    }
    if spec.vault_auth_global_ref.is_some() {
        return Err(Denied::NotSupported(format!("spec.vaultAuthGlobalRef of VaultAuth {id}")));
    }
    let method = match &spec.method {
        Some(AuthMethod::Kubernetes) => spec.kubernetes.as_ref(),
        Some(other) => return Err(Denied::NotSupported(format!("auth method {:?} of VaultAuth {id}", other.as_str()))),
        None => return Err(Denied::Invalid(format!("VaultAuth {id} has no spec.method; set it to kubernetes"))),
    };
    let invalid =
        |what: &str| Denied::Invalid(format!("invalid kubernetes auth configuration of VaultAuth {id}: {what}"));
    let method = method.ok_or_else(|| invalid("kubernetes auth method not configured, spec.kubernetes is missing"))?;
    let role = method.role.clone().ok_or_else(|| invalid("empty role"))?;
    let service_account = method.service_account.clone().ok_or_else(|| invalid("empty serviceAccount"))?;
    let mount =
        spec.mount.clone().ok_or_else(|| invalid("spec.mount is empty; set it to the path of the auth method"))?;
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
        kubernetes: KubernetesLogin {
            role,
            service_account,
            audiences: method.audiences.clone(),
            expiration_seconds: method.token_expiration_seconds.unwrap_or(600),
        },
        credential_namespace: target.to_owned(),
        id,
    })
}

/// Resolves a VaultStaticSecret.
pub fn static_secret(object: &VaultStaticSecret, lookup: &impl Lookup) -> Result<Plan, Denied> {
    let spec = &object.spec;
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let name = object.metadata.name.as_deref().unwrap_or("");

    let hmac = spec.hmac_secret_data.unwrap_or(true);
    let refresh = match &spec.refresh_after {
        None => None,
        Some(text) => {
            let invalid = |why: String| {
                Denied::Invalid(format!(
                    "Field validation failed, err=invalid value {text:?} for .spec.refreshAfter, {why}"
                ))
            };
            let parsed = GoDuration::parse(text).map_err(|e| invalid(e.to_string()))?;
            if parsed.0 < 0 {
                return Err(invalid("it must not be negative".into()));
            }
            Some(parsed.as_std()).filter(|d| !d.is_zero())
        }
    };
    let refresh = refresh.or(hmac.then_some(DEFAULT_REFRESH));

    if spec.destination.name.is_empty() {
        return Err(Denied::Invalid("invalid Destination, err=invalid objectKey, empty name".into()));
    }
    if spec.destination.type_.as_deref() == Some("kubernetes.io/service-account-token") {
        return Err(Denied::Invalid(
            "spec.destination.type: kubernetes.io/service-account-token is not allowed".into(),
        ));
    }
    let (mount, path) = (spec.mount.trim_matches('/'), spec.path.trim_matches('/'));
    if mount.is_empty() || path.is_empty() {
        return Err(Denied::Invalid("spec.mount and spec.path must both be set".into()));
    }
    let (path, version) = match &spec.kind {
        SecretEngine::KvV1 => (format!("{mount}/{path}"), 0),
        SecretEngine::KvV2 => (format!("{mount}/data/{path}"), spec.version.unwrap_or(0)),
        SecretEngine::Unknown(other) => return Err(Denied::Invalid(format!("unsupported secret type {other:?}"))),
    };

    let auth_id = ObjectRef::resolve(spec.vault_auth_ref.as_deref(), namespace, lookup.operator_namespace())
        .map_err(|e| Denied::Reference(format!("vaultAuthRef: {e}")))?;
    let found = find(&auth_id, "VaultAuth", &format!("{namespace}/{name}"), lookup, || lookup.auth(&auth_id))?;
    let auth = auth(&found, namespace, lookup)?;
    let transformation = transformation(&spec.destination.transformation, &ObjectRef::new(namespace, name), lookup)?;
    let own = spec.namespace.as_deref().unwrap_or("").trim_matches('/');
    let vault_namespace = if own.is_empty() { auth.vault_namespace.clone() } else { own.to_owned() };
    Ok(Plan { auth, vault_namespace, path, version, refresh, transformation })
}

/// Finds a referenced object, and tells "does not exist" from "is not watched".
fn find<T>(
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
