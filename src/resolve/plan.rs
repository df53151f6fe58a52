//! From an object to what is read, and how often.

use std::time::Duration;

use super::auth::{auth, find};
use super::{AuthPlan, Denied, Lookup, ObjectRef, PlanError, ResolvedTransformation, transformation};
use crate::api::{Destination, SecretEngine, SecretOwner, VaultStaticSecret};
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
    /// What of the path stands in the spec although the operator adds it, and what to do. Most likely it is a mistake.
    pub superfluous: Option<&'static str>,
}

/// VSO's interval where `refreshAfter` is unset and drift is looked for.
const DEFAULT_REFRESH: Duration = Duration::from_secs(60);

/// Resolves a VaultStaticSecret. Where several things are wrong, the first that VSO would find is told.
pub fn static_secret(object: &VaultStaticSecret, lookup: &impl Lookup) -> Result<Plan<StaticRead>, PlanError> {
    let spec = &object.spec;
    let id = ObjectRef::of(&object.metadata);
    let auth = auth_of(spec.vault_auth_ref.as_deref(), &id, lookup)?;
    let refresh = refresh_after(spec.refresh_after.as_deref())?;
    let refresh = refresh.or(spec.hmac_secret_data.unwrap_or(true).then_some(DEFAULT_REFRESH));
    let refresh = refresh.map(|interval| interval.max(lookup.min_refresh_after()));
    let transformation = transformation(&spec.destination.transformation, &id, lookup)?;
    let (mount, path) = mount_and_path(&spec.mount, &spec.path)?;
    let superfluous = superfluous(&spec.kind, mount, path);
    let (path, version) = match &spec.kind {
        SecretEngine::KvV1 => (format!("{mount}/{path}"), None),
        SecretEngine::KvV2 => (format!("{mount}/data/{path}"), Some(spec.version.unwrap_or(0))),
        SecretEngine::Unknown(other) => return Err(PlanError::Invalid(format!("unsupported secret type {other:?}"))),
    };
    check_destination(&spec.destination)?;
    let vault_namespace = vault_namespace(spec.namespace.as_deref(), &auth);
    Ok(Plan { auth, vault_namespace, path, transformation, source: StaticRead { version, refresh, superfluous } })
}

/// `spec.mount` and `spec.path`, without slashes at their ends.
pub(super) fn mount_and_path<'a>(mount: &'a str, path: &'a str) -> Result<(&'a str, &'a str), PlanError> {
    let (mount, path) = (mount.trim_matches('/'), path.trim_matches('/'));
    if mount.is_empty() || path.is_empty() {
        return Err(PlanError::Invalid("spec.mount and spec.path must both be set".into()));
    }
    Ok((mount, path))
}

/// Fails if a destination cannot be a Secret that the operator may write.
pub(super) fn check_destination(destination: &Destination) -> Result<(), PlanError> {
    if destination.name.is_empty() {
        return Err(PlanError::Destination("invalid Destination, err=invalid objectKey, empty name".into()));
    }
    if destination.type_.as_deref() == Some("kubernetes.io/service-account-token") {
        let text = "spec.destination.type: kubernetes.io/service-account-token is not allowed";
        return Err(PlanError::Destination(text.into()));
    }
    Ok(())
}

/// The Vault namespace that `spec.namespace` names. Empty: none.
pub fn own_namespace(namespace: Option<&str>) -> &str {
    namespace.unwrap_or("").trim_matches('/')
}

/// The Vault namespace to read in: `spec.namespace` or that of the login.
pub fn vault_namespace(own: Option<&str>, auth: &AuthPlan) -> String {
    match own_namespace(own) {
        "" => auth.login.vault_namespace.clone(),
        own => own.to_owned(),
    }
}

/// What names the topmost Vault namespace in a status. Vault lets no other namespace have this name.
const ROOT_NAMESPACE: &str = "root";

/// A Vault namespace as a status has it: one that is left out is not known.
pub fn recorded_namespace(namespace: &str) -> String {
    if namespace.is_empty() { ROOT_NAMESPACE.to_owned() } else { namespace.to_owned() }
}

/// The Vault namespace that a status has recorded. `now`: the one that the spec leads to, for what was recorded
/// without.
pub fn namespace_of<'a>(recorded: Option<&'a str>, now: &'a str) -> &'a str {
    match recorded {
        Some(ROOT_NAMESPACE) => "",
        recorded => recorded.unwrap_or(now),
    }
}

/// The value of `spec.refreshAfter`. `None`: never.
pub(super) fn refresh_after(text: Option<&str>) -> Result<Option<Duration>, PlanError> {
    let Some(text) = text else { return Ok(None) };
    Ok(Some(interval(text)?).filter(|interval| !interval.is_zero()))
}

/// What mount and path have of what the operator adds. A path that was copied from a policy has `data`, and one that
/// was copied from a command has the mount.
fn superfluous(engine: &SecretEngine, mount: &str, path: &str) -> Option<&'static str> {
    let is_v2 = matches!(engine, SecretEngine::KvV2);
    if is_v2 && path.starts_with("data/") {
        Some("spec.path begins with data/, which the operator adds for kv-v2: take it out")
    } else if is_v2 && mount.ends_with("/data") {
        Some("spec.mount ends with /data, which the operator adds for kv-v2: take it out")
    } else if path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/')) {
        Some("spec.path begins with spec.mount, which stands before it anyway: take it out")
    } else {
        None
    }
}

/// The login that an object uses.
pub(super) fn auth_of(reference: Option<&str>, user: &ObjectRef, lookup: &impl Lookup) -> Result<AuthPlan, Denied> {
    let id = ObjectRef::resolve(reference, &user.namespace, lookup.operator_namespace())
        .map_err(|e| Denied::Reference(format!("vaultAuthRef: {e}")))?;
    let found = find(&id, "VaultAuth", user, lookup, || lookup.auth(&id))?;
    auth(&found, &user.namespace, lookup)
}

/// The login of an object, whatever else of it is wrong.
///
/// # Errors
/// If it has none.
pub fn login_of(owner: &dyn SecretOwner, lookup: &impl Lookup) -> Result<AuthPlan, Denied> {
    auth_of(owner.vault_auth_ref(), &owner.id(), lookup)
}

/// The value of `refreshAfter`.
fn interval(text: &str) -> Result<Duration, PlanError> {
    let invalid = |why: String| {
        let text = format!("Field validation failed, err=invalid value {text:?} for .spec.refreshAfter, {why}");
        PlanError::Invalid(text)
    };
    let parsed = GoDuration::parse(text).map_err(|e| invalid(e.to_string()))?;
    if parsed.0 < 0 { Err(invalid("it must not be negative".into())) } else { Ok(parsed.as_std()) }
}
