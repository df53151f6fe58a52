//! Why a Secret is not as it has to be.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use crate::external_secret::check::{BOOTSTRAP_TOKEN, SERVICE_ACCOUNT_NAME, SERVICE_ACCOUNT_TOKEN};

/// Longest key that Kubernetes accepts, in bytes.
const MAX_KEY_BYTES: usize = 253;
/// Longest value that a label may have, in bytes.
const MAX_LABEL_BYTES: usize = 63;
/// What all values of a Secret together may be long, in bytes. Kubernetes does not count the keys.
const MAX_DATA_BYTES: usize = 1 << 20;

/// Why a Secret is not as it has to be. It quotes no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another ExternalSecret controls the Secret.
    #[error("target is owned by another ExternalSecret: {0}")]
    OwnedByAnother(String),
    /// Another object controls the Secret.
    #[error("failed to take ownership of target secret: {0} is its controller already")]
    Controlled(String),
    /// The store holds nothing, and the Secret is not that of the ExternalSecret.
    #[error("could not delete secret: it does not belong to this ExternalSecret")]
    NotOwned,
    /// The store holds nothing, and only an owner may delete.
    #[error("could not delete secret: creationPolicy is not Owner")]
    DeletePolicy,
    /// The Secret cannot be changed.
    #[error("could not update secret, target is immutable")]
    Immutable,
    /// The type of a Secret cannot be changed.
    #[error("could not update secret: it has type {now}, which cannot become {wanted}")]
    TypeChange {
        /// What the Secret has.
        now: String,
        /// What it should have.
        wanted: String,
    },
    /// Kubernetes makes a credential of the Secret.
    #[error("could not update secret: an ExternalSecret may not make Secrets of type {0}")]
    Privileged(&'static str),
    /// Kubernetes does not accept the key.
    #[error(
        "could not update secret: {0:?} is no key of a Secret: it may have 253 letters of ASCII, digits, '-', '.' and '_'"
    )]
    Key(String),
    /// Kubernetes does not accept such a key, which is not told: a template may have made it of a secret.
    #[error(
        "could not update secret: spec.target.template.templateFrom makes a key that is no key of a Secret: it may have 253 \
         letters of ASCII, digits, '-', '.' and '_'"
    )]
    MadeKey,
    /// Kubernetes does not accept the value of the label, which is not told: a template may have made it of a secret.
    #[error(
        "could not update secret: the value of label {0:?} is none that a label may have: 63 letters of ASCII, digits, '-', '.' \
         and '_', with a letter or a digit at both ends"
    )]
    Label(String),
    /// Kubernetes does not accept so much data.
    #[error("could not update secret: its values take {0} bytes, and a Secret holds {MAX_DATA_BYTES}")]
    TooLarge(usize),
    /// There is no such policy.
    #[error("policy {0} is not supported")]
    Policy(String),
}

/// Whether Kubernetes takes the data.
pub(super) fn check_data(data: Option<&BTreeMap<String, ByteString>>) -> Result<(), TargetError> {
    let mut bytes = 0;
    for (key, value) in data.into_iter().flatten() {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let fits = (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(is_allowed);
        // These would be directories in a volume.
        if !fits || key == "." || key.starts_with("..") {
            return Err(TargetError::Key(key[..key.floor_char_boundary(MAX_KEY_BYTES)].to_owned()));
        }
        bytes += value.0.len();
    }
    if bytes > MAX_DATA_BYTES { Err(TargetError::TooLarge(bytes)) } else { Ok(()) }
}

/// Whether Kubernetes takes the values of the labels. It would quote one that it refuses.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), TargetError> {
    let fits = |value: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let ends = [value.bytes().next(), value.bytes().last()];
        value.len() <= MAX_LABEL_BYTES
            && value.bytes().all(inner)
            && ends.into_iter().flatten().all(|byte| byte.is_ascii_alphanumeric())
    };
    match labels.iter().find(|(_, value)| !fits(value)) {
        Some((name, _)) => Err(TargetError::Label(name.clone())),
        None => Ok(()),
    }
}

/// Whether Kubernetes would make a credential of the Secret that the author of an ExternalSecret need not have: a
/// bootstrap token, or the token of a service account that the Secret does not name yet.
pub(super) fn check_privilege(now: Option<&Secret>, next: &Secret) -> Result<(), TargetError> {
    let account = |secret: &Secret| secret.metadata.annotations.as_ref()?.get(SERVICE_ACCOUNT_NAME).cloned();
    match next.type_.as_deref() {
        Some(BOOTSTRAP_TOKEN) => Err(TargetError::Privileged(BOOTSTRAP_TOKEN)),
        Some(SERVICE_ACCOUNT_TOKEN) if account(next) != now.and_then(account) => {
            Err(TargetError::Privileged(SERVICE_ACCOUNT_TOKEN))
        }
        _ => Ok(()),
    }
}
