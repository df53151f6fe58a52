//! From an object to what is read, and how often.

use std::time::Duration;

use super::auth::{auth, find};
use super::{AuthPlan, Denied, Lookup, ObjectRef, ResolvedTransformation, transformation};
use crate::api::{SecretEngine, VaultStaticSecret};
use crate::gocompat::GoDuration;

/// How the owner of a Secret gets its data. `S` is what only its kind has to know.
#[derive(Clone, Debug)]
pub struct Plan<S> {
    /// The login.
    pub auth: AuthPlan,
    /// Vault namespace to read in; empty for the root.
    pub vault_namespace: String,
    /// API path without `/v1/`.
    pub path: String,
    /// What becomes of the data.
    pub transformation: ResolvedTransformation,
    /// What only the kind has to know.
    pub source: S,
}

/// How a VaultStaticSecret is read, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticRead {
    /// KV v2: the version wanted, 0 for the latest. `None` for KV v1.
    pub version: Option<i64>,
    /// `None`: read once per change of the object, never on a schedule.
    pub refresh: Option<Duration>,
}

/// VSO's interval where `refreshAfter` is unset and drift is looked for.
const DEFAULT_REFRESH: Duration = Duration::from_secs(60);

/// Resolves a VaultStaticSecret.
pub fn static_secret(object: &VaultStaticSecret, lookup: &impl Lookup) -> Result<Plan<StaticRead>, Denied> {
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
    let refresh = refresh.or(hmac.then_some(DEFAULT_REFRESH)).map(|interval| interval.max(lookup.min_refresh_after()));

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
        SecretEngine::KvV1 => (format!("{mount}/{path}"), None),
        SecretEngine::KvV2 => (format!("{mount}/data/{path}"), Some(spec.version.unwrap_or(0))),
        SecretEngine::Unknown(other) => return Err(Denied::Invalid(format!("unsupported secret type {other:?}"))),
    };

    let auth_id = ObjectRef::resolve(spec.vault_auth_ref.as_deref(), namespace, lookup.operator_namespace())
        .map_err(|e| Denied::Reference(format!("vaultAuthRef: {e}")))?;
    let found = find(&auth_id, "VaultAuth", &format!("{namespace}/{name}"), lookup, || lookup.auth(&auth_id))?;
    let auth = auth(&found, namespace, lookup)?;
    let transformation = transformation(&spec.destination.transformation, &ObjectRef::new(namespace, name), lookup)?;
    let own = spec.namespace.as_deref().unwrap_or("").trim_matches('/');
    let vault_namespace = if own.is_empty() { auth.login.vault_namespace.clone() } else { own.to_owned() };
    Ok(Plan { auth, vault_namespace, path, transformation, source: StaticRead { version, refresh } })
}
