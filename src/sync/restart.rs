//! Restarts of the workloads that use a Secret: once per target and content, whatever happens in between.
//!
//! A target that was restarted for a content carries its digest beside the restart time. A run that comes later, in
//! this process or the next, finds it there and does nothing.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kube::api::ObjectMeta;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Previous;
use crate::api::{RestartKind, RolloutRestartTarget};
use crate::kubernetes::{ErrorKind, KubernetesError, Workload, WorkloadPatch, Workloads};

/// VSO's annotation on the pod template.
const RESTARTED_AT: &str = "vso.secrets.hashicorp.com/restartedAt";
/// Prefix of the annotation with the digest. Its name is that of the object, since several may restart one target.
const DIGEST_PREFIX: &str = "restart.vso.secrets.hashicorp.com/";
/// Restarts within one second get times ahead of the clock: not by more than this.
const MAX_AHEAD: TimeDelta = TimeDelta::minutes(1);

/// What tells on a target for which content it was restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Key of the annotation.
    pub(super) key: String,
    /// Its value.
    pub(super) value: String,
    place: Place,
}

/// Where a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The digest is on the pod template, or on an Argo Rollout, whose restarts leave the template as it is.
    Template,
    /// The digest is on the workload itself.
    Workload,
}

impl Mark {
    /// That of an object that names its targets, with the digest of [`restart_digest`]. `object` is its name.
    pub fn of_object(object: &str, digest: &str) -> Self {
        Self { key: digest_key(object), value: digest.to_owned(), place: Place::Template }
    }

    /// An annotation of the workload itself, which can be written without a restart, too.
    pub fn of_workload(key: &str, value: String) -> Self {
        Self { key: key.to_owned(), value, place: Place::Workload }
    }

    /// Whether a workload carries it, and this operator has put it there. A workload that was rolled back carries the
    /// mark of an older restart, and its pods have started with newer content.
    pub(super) fn is_on(&self, workload: &Workload, kind: &RestartKind) -> bool {
        let Self { key, value, place } = self;
        match (place, kind) {
            (Place::Template, RestartKind::ArgoRollout) => workload.annotations.get(key) == Some(value),
            (Place::Template, _) => {
                let found = workload.template_annotations.get(key).and_then(Value::as_str);
                found == Some(value) && !workload.template_annotation_is_foreign(key)
            }
            (Place::Workload, _) => {
                workload.annotations.get(key) == Some(value) && !workload.annotation_is_foreign(key)
            }
        }
    }
}

/// The patch that restarts a workload and puts marks on it.
pub(super) fn restart_patch(kind: &RestartKind, workload: &Workload, marks: &[Mark]) -> WorkloadPatch {
    let is_argo = *kind == RestartKind::ArgoRollout;
    let (mut on_template, mut on_workload) = (Map::new(), Map::new());
    for Mark { key, value, place } in marks {
        let on = if *place == Place::Workload || is_argo { &mut on_workload } else { &mut on_template };
        on.insert(key.clone(), json!(value));
    }
    // Where the time is all that changes, it has to be another one.
    let last = if on_template.is_empty() { last_restart(kind, workload) } else { None };
    let now = restart_time(Utc::now(), last).to_rfc3339_opts(SecondsFormat::Secs, true);
    let spec = if is_argo {
        json!({ "restartAt": now })
    } else {
        on_template.insert(RESTARTED_AT.to_owned(), json!(now));
        json!({ "template": { "metadata": { "annotations": on_template } } })
    };
    let mut patch = json!({ "spec": spec });
    if !on_workload.is_empty() {
        patch["metadata"] = json!({ "annotations": on_workload });
    }
    WorkloadPatch(patch)
}

/// The patch that puts a mark on a workload and restarts nothing. It is for marks of the workload itself.
pub fn mark_patch(mark: &Mark) -> WorkloadPatch {
    WorkloadPatch(json!({ "metadata": { "annotations": { mark.key.as_str(): mark.value } } }))
}

/// When this operator, or VSO, has restarted a workload last.
pub fn last_restart(kind: &RestartKind, workload: &Workload) -> Option<DateTime<Utc>> {
    let at = match kind {
        RestartKind::ArgoRollout => workload.restart_at.as_deref(),
        _ => workload.template_annotations.get(RESTARTED_AT).and_then(Value::as_str),
    };
    at?.parse().ok()
}

/// Whether the targets still have to be restarted for the content with this MAC. `recorded` is `status.secretMAC`: the
/// content whose restarts are all done. `key_made` tells since when the key of the MACs is in use.
pub fn restarts_pending(recorded: Option<&str>, previous: &Previous, mac: &str, key_made: i64) -> bool {
    let Some(recorded) = recorded.filter(|recorded| *recorded != mac) else {
        // A first sync, or nothing new.
        return false;
    };
    // The MAC is another, but the Secret held the data already: either the process that wrote it has not recorded it,
    // or it is the key that is another.
    match previous {
        Previous::Equal { annotation: Some(annotation), .. } => annotation != recorded,
        Previous::Equal { annotation: None, changed: Some(changed) } => *changed >= key_made,
        Previous::Equal { annotation: None, changed: None } | Previous::Other => true,
    }
}

/// Whether a target was restarted for the content with this digest. `object` is the name of the object that asks.
pub(super) async fn restarted_for(
    workloads: &Workloads,
    target: &RolloutRestartTarget,
    object: &str,
    digest: &str,
) -> Result<bool, KubernetesError> {
    match workloads.get(&target.kind, &target.name).await {
        Ok(workload) => Ok(Mark::of_object(object, digest).is_on(&workload, &target.kind)),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The digest of the content with this MAC: with the UID, since an object that is deleted and made again knows nothing
/// of what was restarted before.
pub fn restart_digest(mac: &str, object: &ObjectMeta) -> String {
    format!("{mac} {}", object.uid.as_deref().unwrap_or(""))
}

/// The time of a restart: a later one than the last, to the second. Argo restarts what is older, and a pod template
/// without another change is another one only by the time. A time far ahead was set by a user or by a clock that went
/// wrong, and does not count.
fn restart_time(now: DateTime<Utc>, last: Option<DateTime<Utc>>) -> DateTime<Utc> {
    match last.filter(|last| *last <= now + MAX_AHEAD) {
        Some(last) => now.max(last + TimeDelta::seconds(1)),
        None => now,
    }
}

/// The name part of an annotation key holds 63 characters, the name of an object up to 253.
fn digest_key(object: &str) -> String {
    if object.len() <= 63 {
        return format!("{DIGEST_PREFIX}{object}");
    }
    let hash = hex::encode(&Sha256::digest(object.as_bytes())[..6]);
    let start: String = object.chars().take(48).collect();
    format!("{DIGEST_PREFIX}{start}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_pending_for_changed_content_and_for_nothing_else() {
        let same =
            |annotation: Option<&str>| Previous::Equal { annotation: annotation.map(str::to_owned), changed: Some(5) };
        let owed = |recorded, previous| restarts_pending(recorded, &previous, "new", 5);
        assert!(owed(Some("old"), Previous::Other), "a change");
        assert!(owed(Some("old"), same(Some("new"))), "the process ended after the write");
        assert!(owed(Some("old"), same(None)), "the same, for a Secret that was not created here");
        assert!(owed(Some("old"), same(Some("between"))), "the key changed while restarts were owed");
        assert!(!owed(None, Previous::Other), "first sync");
        assert!(!owed(None, same(Some("new"))), "first sync that was cut short");
        assert!(!owed(None, same(None)), "a Secret that held the data already");
        assert!(!owed(Some("new"), same(Some("new"))), "nothing changed");
        assert!(!owed(Some("new"), same(None)), "adopted from VSO");
        assert!(!owed(Some("new"), same(Some("other key"))), "after the key changed");
        assert!(!owed(Some("new"), Previous::Other), "drift was repaired, or the Secret had been deleted");
        assert!(!owed(Some("old"), same(Some("old"))), "only the key of the MACs changed");
        assert!(
            !restarts_pending(Some("old"), &same(None), "new", 6),
            "the same, for a Secret that was not created here"
        );
    }

    #[test]
    fn each_restart_has_a_later_time_and_none_waits_for_one_far_ahead() {
        let now: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        for (last, time) in [
            (None, "12:00:00"),
            (Some("2026-01-01T11:00:00Z"), "12:00:00"),
            (Some("2026-01-01T12:00:00Z"), "12:00:01"),
            (Some("2026-01-01T12:00:07Z"), "12:00:08"),
            (Some("2026-01-01T12:01:01Z"), "12:00:00"),
            (Some("2026-01-02T12:00:00Z"), "12:00:00"),
        ] {
            let last = last.map(|last| last.parse().unwrap());
            assert_eq!(restart_time(now, last).format("%H:%M:%S").to_string(), time, "{last:?}");
        }
    }

    #[test]
    fn each_restart_makes_the_pod_template_another_one() {
        let restarted = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let template = json!({ "metadata": { "annotations": { RESTARTED_AT: restarted } } });
        let object = json!({ "metadata": { "name": "app" }, "spec": { "template": template, "restartAt": restarted } });
        let patched = |kind: RestartKind, mark: Mark| {
            let workload = Workload::of(&kind, serde_json::from_value(object.clone()).unwrap());
            restart_patch(&kind, &workload, &[mark]).0
        };
        let of_workload = || Mark::of_workload("marks", "{}".into());
        let patch = patched(RestartKind::Deployment, of_workload());
        assert_ne!(patch["spec"]["template"], template, "a second restart within a second");
        assert_eq!(patch["metadata"]["annotations"], json!({ "marks": "{}" }));
        let patch = patched(RestartKind::Deployment, Mark::of_object("db", "digest"));
        let annotations = &patch["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(annotations["restart.vso.secrets.hashicorp.com/db"], "digest");
        assert!(patch["metadata"].is_null(), "{patch}");
        for mark in [of_workload(), Mark::of_object("db", "digest")] {
            let patch = patched(RestartKind::ArgoRollout, mark);
            assert!(patch["spec"]["restartAt"].as_str() > Some(&restarted) && patch["spec"]["template"].is_null());
            assert_eq!(patch["metadata"]["annotations"].as_object().map(Map::len), Some(1));
        }
    }

    #[test]
    fn digest_keys_fit_and_differ() {
        assert_eq!(digest_key("app"), "restart.vso.secrets.hashicorp.com/app");
        let (a, b) = (digest_key(&"a".repeat(253)), digest_key(&"a".repeat(252)));
        assert_ne!(a, b);
        assert!(a.len() - DIGEST_PREFIX.len() <= 63);
    }
}
