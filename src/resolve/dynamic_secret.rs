//! From a VaultDynamicSecret to how its credentials are obtained.

use std::time::Duration;

use serde_json::{Value, json};

use super::plan::{auth_of, check_destination, mount_and_path, refresh_after, vault_namespace};
use super::{Lookup, ObjectRef, Plan, PlanError, transformation};
use crate::api::VaultDynamicSecret;
use crate::api::dynamic_secret::{RequestHttpMethod, VaultDynamicSecretSpec};

/// Part of a lease, in percent, after which it is renewed where `renewalPercent` is unset.
const DEFAULT_RENEWAL_PERCENT: u32 = 67;
const MAX_RENEWAL_PERCENT: u32 = 90;

/// How the credentials of a VaultDynamicSecret are obtained, and when they are renewed.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicRead {
    /// Body of the PUT that asks for them. `None`: a GET.
    pub body: Option<Value>,
    /// Part of the lease, in percent, after which it is renewed; from 0 to 90.
    pub renewal_percent: u32,
    /// Without a lease: how often to ask again. `None`: never.
    pub refresh: Option<Duration>,
    /// The answer may have static credentials, which Vault rotates by itself.
    pub static_credentials: bool,
    /// What of the spec has no effect.
    pub remarks: Vec<&'static str>,
}

/// Resolves a VaultDynamicSecret. Where several things are wrong, the first that VSO would find is told.
pub fn dynamic_secret(object: &VaultDynamicSecret, lookup: &impl Lookup) -> Result<Plan<DynamicRead>, PlanError> {
    let spec = &object.spec;
    let id = ObjectRef::of(&object.metadata);
    let auth = auth_of(spec.vault_auth_ref.as_deref(), &id, lookup)?;
    let transformation = transformation(&spec.destination.transformation, &id, lookup)?;
    let (mount, path) = mount_and_path(&spec.mount, &spec.path)?;
    let refresh = refresh_after(spec.refresh_after.as_deref())?;
    let refresh = refresh.map(|interval| interval.max(lookup.min_refresh_after()));
    let get = matches!(spec.request_http_method, Some(RequestHttpMethod::Get));
    let mut remarks = vec![];
    if get && !spec.params.is_empty() {
        remarks.push("spec.params are sent with PUT, and not with GET as spec.requestHTTPMethod says");
    }
    let body = match &spec.request_http_method {
        _ if !spec.params.is_empty() => Some(json!(spec.params)),
        None | Some(RequestHttpMethod::Get) => None,
        Some(RequestHttpMethod::Post | RequestHttpMethod::Put) => Some(Value::Null),
        Some(RequestHttpMethod::Unknown(other)) => {
            return Err(PlanError::Invalid(format!("unsupported spec.requestHTTPMethod {other:?}")));
        }
    };
    check_destination(&spec.destination)?;
    let vault_namespace = vault_namespace(spec.namespace.as_deref(), &auth);
    let source = DynamicRead {
        body,
        renewal_percent: renewal_percent(spec),
        refresh,
        static_credentials: spec.allow_static_creds,
        remarks,
    };
    Ok(Plan { auth, vault_namespace, path: format!("{mount}/{path}"), transformation, source })
}

/// Part of the lease, in percent, after which it is renewed; from 0 to 90.
pub fn renewal_percent(spec: &VaultDynamicSecretSpec) -> u32 {
    let percent = spec.renewal_percent.map(|percent| u32::try_from(percent.max(0)).unwrap_or(u32::MAX));
    percent.unwrap_or(DEFAULT_RENEWAL_PERCENT).min(MAX_RENEWAL_PERCENT)
}
