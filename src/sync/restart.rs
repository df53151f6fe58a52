//! Restarts of the workloads that use a Secret: once per target and content, whatever happens in between.
//!
//! A target that was restarted for a content carries its digest beside the restart time. A run that comes later, in this
//! process or the next, finds it there and does nothing.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Synced;
use crate::api::{RestartKind, RolloutRestartTarget};
use crate::cluster::{ClusterError, ErrorKind, Workload, WorkloadPatch, Workloads};

/// Upstream's annotation on the pod template.
const RESTARTED_AT: &str = "vso.secrets.hashicorp.com/restartedAt";
/// Prefix of the annotation with the digest. Its name is that of the object, since several may restart one target.
const DIGEST_PREFIX: &str = "restart.vso.secrets.hashicorp.com/";
/// The controllers of workloads update their objects all the time.
const ATTEMPTS: usize = 6;

/// What was done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It was restarted now.
    Done,
    /// It had been restarted for this content before, or was made after it.
    NotNeeded,
}

/// Why a target was not restarted.
#[derive(Debug)]
pub enum RestartError {
    /// A paused Deployment rolls nothing out.
    Paused(String),
    /// The API server did not do it.
    Cluster(ClusterError),
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestartError::Paused(name) => write!(f, "deployment {name} is paused, cannot restart it; resume it first"),
            RestartError::Cluster(error) => error.fmt(f),
        }
    }
}

/// Whether the targets still have to be restarted for the content with this MAC. `recorded` is `status.secretMAC`: the
/// content whose restarts are all done.
pub fn restart_owed(recorded: Option<&str>, synced: &Synced, mac: &str) -> bool {
    let previous = synced.previous_annotation.as_deref();
    match recorded {
        // The Secret was equal already, and carries the very MAC that is recorded: it is the key that changed.
        Some(recorded) if recorded != mac && !synced.wrote && previous == Some(recorded) => false,
        Some(recorded) if recorded != mac => true,
        // Another content was written in between, and the process ended before it was recorded.
        Some(recorded) => previous.is_some_and(|p| p != recorded),
        // Never recorded: a first sync owes nothing, unless it comes after one that was cut short.
        None => synced.was_ours && previous.is_some_and(|p| p != mac),
    }
}

/// Restarts one target for the content with this digest. `object` is the name of the object that asks. A target made after
/// `owed_since` (seconds since the epoch) has started with the new content.
pub async fn restart(
    workloads: &Workloads,
    target: &RolloutRestartTarget,
    object: &str,
    digest: &str,
    owed_since: Option<i64>,
) -> Result<Restart, RestartError> {
    let key = digest_key(object);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let workload = workloads.get(&target.kind, &target.name).await.map_err(RestartError::Cluster)?;
        if carried(&workload, &target.kind, &key) == Some(digest)
            || owed_since.is_some_and(|since| workload.created > since)
        {
            return Ok(Restart::NotNeeded);
        }
        if workload.paused && target.kind == RestartKind::Deployment {
            return Err(RestartError::Paused(target.name.clone()));
        }
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let patch = match target.kind {
            RestartKind::ArgoRollout => {
                json!({ "metadata": { "annotations": { key.as_str(): digest } }, "spec": { "restartAt": now } })
            }
            _ => {
                json!({ "spec": { "template": { "metadata": { "annotations": { RESTARTED_AT: now, key.as_str(): digest } } } } })
            }
        };
        match workloads.patch(&target.kind, &target.name, &workload, WorkloadPatch(patch)).await {
            Ok(()) => return Ok(Restart::Done),
            Err(error) if error.kind == ErrorKind::Conflict => last = Some(error),
            Err(error) => return Err(RestartError::Cluster(error)),
        }
    }
    Err(RestartError::Cluster(last.unwrap_or_else(|| ClusterError::new(ErrorKind::Conflict, "conflict"))))
}

fn carried<'a>(workload: &'a Workload, kind: &RestartKind, key: &str) -> Option<&'a str> {
    match kind {
        RestartKind::ArgoRollout => workload.annotations.get(key).map(String::as_str),
        _ => workload.template_annotations.get(key).and_then(Value::as_str),
    }
}

/// The name part of an annotation key holds 63 characters, the name of an object up to 253.
fn digest_key(object: &str) -> String {
    if object.len() <= 63 {
        return format!("{DIGEST_PREFIX}{object}");
    }
    let hash: String = Sha256::digest(object.as_bytes())[..6].iter().map(|b| format!("{b:02x}")).collect();
    let start: String = object.chars().take(48).collect();
    format!("{DIGEST_PREFIX}{start}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Seen;
    use crate::sync::Applied;

    fn synced(wrote: bool, was_ours: bool, previous: Option<&str>) -> Synced {
        let seen = Seen { uid: "u".into(), resource_version: "1".into() };
        let applied = Applied { seen, mac: "new".into(), annotation: None };
        Synced { applied, wrote, was_ours, previous_annotation: previous.map(str::to_owned) }
    }

    #[test]
    fn restarts_are_owed_for_changed_content_and_for_nothing_else() {
        let owed = |recorded, wrote, ours, previous| restart_owed(recorded, &synced(wrote, ours, previous), "new");
        assert!(owed(Some("old"), true, true, Some("old")), "a change");
        assert!(owed(Some("old"), true, true, None), "a change, Secret written by upstream");
        assert!(owed(Some("old"), false, true, Some("new")), "the process ended after the write");
        assert!(owed(Some("new"), true, true, Some("between")), "there and back, cut short in between");
        assert!(owed(None, true, true, Some("first")), "a change before the first sync was recorded");
        assert!(!owed(None, true, false, None), "first sync");
        assert!(!owed(None, false, true, Some("new")), "first sync that was cut short");
        assert!(!owed(None, true, false, Some("x")), "a Secret that was taken over");
        assert!(!owed(Some("new"), false, true, Some("new")), "nothing changed");
        assert!(!owed(Some("new"), false, true, None), "adopted from upstream");
        assert!(!owed(Some("new"), true, true, Some("new")), "drift was repaired");
        assert!(!owed(Some("new"), true, false, None), "the Secret had been deleted");
        assert!(!owed(Some("old"), false, true, Some("old")), "only the key of the MACs changed");
    }

    #[test]
    fn digest_keys_fit_and_differ() {
        assert_eq!(digest_key("app"), "restart.vso.secrets.hashicorp.com/app");
        let (a, b) = (digest_key(&"a".repeat(253)), digest_key(&"a".repeat(252)));
        assert_ne!(a, b);
        assert!(a.len() - DIGEST_PREFIX.len() <= 63);
    }
}
