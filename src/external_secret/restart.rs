//! Restarts that an ExternalSecret asks for by an annotation, and what its Secret tells of those that are done.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::hash::ANNOTATION_DATA_HASH;
use super::per_object;
use crate::api::{RestartKind, RolloutRestartTarget};

/// Annotation of an ExternalSecret with what is restarted when the data of its Secret changes.
pub const ANNOTATION_TARGETS: &str = "vso.secrets.hashicorp.com/rollout-restart-targets";
/// Annotation of the Secret with the digest of the data whose restarts are done, for each ExternalSecret. ESO compares
/// no annotation of the Secret but that of the data.
pub(super) const ANNOTATION_RESTARTED: &str = "vso.secrets.hashicorp.com/restarted-data-hash";
/// So many targets may be named: each is read at each restart.
const MAX_TARGETS: usize = 100;
const MAX_NAME_BYTES: usize = 253;
const KINDS: [RestartKind; 4] =
    [RestartKind::Deployment, RestartKind::DaemonSet, RestartKind::StatefulSet, RestartKind::ArgoRollout];

/// Whether an ExternalSecret asks for restarts, be it in words that mean none.
pub fn is_asked_for(external_secret: &ObjectMeta) -> bool {
    text(external_secret, ANNOTATION_TARGETS).is_some()
}

/// What an ExternalSecret asks to restart; empty if it asks for nothing.
///
/// # Errors
/// What is wrong with its annotation.
pub fn targets(external_secret: &ObjectMeta) -> Result<Vec<RolloutRestartTarget>, String> {
    let all = text(external_secret, ANNOTATION_TARGETS).unwrap_or_default();
    let pieces: Vec<&str> = all.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
    if pieces.len() > MAX_TARGETS {
        return Err(format!("annotation {ANNOTATION_TARGETS} has {} targets, {MAX_TARGETS} are allowed", pieces.len()));
    }
    pieces.into_iter().map(target).collect()
}

fn target(piece: &str) -> Result<RolloutRestartTarget, String> {
    let is_name = |name: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
    };
    let known = piece.split_once('/').and_then(|(kind, name)| {
        let kind = KINDS.into_iter().find(|known| known.as_str() == kind.trim())?;
        let name = name.trim();
        is_name(name).then(|| RolloutRestartTarget { kind, name: name.to_owned() })
    });
    known.ok_or_else(|| {
        let kinds = KINDS.map(|kind| kind.as_str().to_owned()).join(", ");
        let shown = &piece[..piece.floor_char_boundary(MAX_NAME_BYTES)];
        format!("annotation {ANNOTATION_TARGETS}: {shown:?} is not of the form Kind/name with one of the kinds {kinds}")
    })
}

/// Writes into the Secret `next`, which takes the place of `now`, for which data all restarts of the ExternalSecret are
/// done: the data before this one, or this one if nothing is known of a former one. Other ExternalSecrets that fill the
/// Secret owe restarts for the new data, too.
pub(super) fn carry_over(now: Option<&ObjectMeta>, next: &mut ObjectMeta, name: &str, is_asked_for: bool) {
    let new = text(next, ANNOTATION_DATA_HASH).map(str::to_owned);
    let before = now.and_then(|now| text(now, ANNOTATION_DATA_HASH)).map(str::to_owned);
    let mut all = now.map(|now| per_object::all(now, ANNOTATION_RESTARTED)).unwrap_or_default();
    if let Some(before) = before.filter(|before| Some(before) != new.as_ref()) {
        // Restarts for the data before are owed no more, but one that was done already has to be followed by another.
        all.values_mut().for_each(|done| done.clone_from(&before));
    }
    match new {
        Some(new) if is_asked_for => drop(all.entry(name.to_owned()).or_insert(new)),
        _ => drop(all.remove(name)),
    }
    per_object::write(next, ANNOTATION_RESTARTED, &all);
}

/// The digest of the data of a Secret, if the restarts of the ExternalSecret for it are not known to be done.
pub fn owed<'a>(secret: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    let done = per_object::get(secret, ANNOTATION_RESTARTED, name)?;
    text(secret, ANNOTATION_DATA_HASH).filter(|data| *data != done)
}

/// Writes into a Secret that all restarts of the ExternalSecret for its data are done.
pub fn settle(secret: &mut ObjectMeta, name: &str) {
    let now = secret.clone();
    let data = text(&now, ANNOTATION_DATA_HASH).map(str::to_owned);
    per_object::set(Some(&now), secret, ANNOTATION_RESTARTED, name, data);
}

fn text<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(annotations: &[(&str, &str)]) -> ObjectMeta {
        let annotations = annotations.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() }
    }

    #[test]
    fn an_annotation_names_workloads() {
        let named = |text: &str| {
            let targets = targets(&meta(&[(ANNOTATION_TARGETS, text)]))?;
            Ok::<_, String>(targets.iter().map(|t| format!("{}/{}", t.kind, t.name)).collect::<Vec<_>>())
        };
        assert_eq!(named("Deployment/app,StatefulSet/db").unwrap(), ["Deployment/app", "StatefulSet/db"]);
        assert_eq!(named(" argo.Rollout/a.b , DaemonSet / d ,").unwrap(), ["argo.Rollout/a.b", "DaemonSet/d"]);
        assert_eq!(named("").unwrap(), [""; 0]);
        assert_eq!(targets(&ObjectMeta::default()), Ok(vec![]));
        for wrong in ["app", "Pod/app", "deployment/app", "Deployment/", "Deployment/a/b", "Deployment/A", "/", "é"] {
            assert!(named(wrong).unwrap_err().contains(&format!("{wrong:?}")), "{wrong}");
        }
        assert!(named(&"Deployment/a,".repeat(100)).is_ok());
        assert!(named(&"Deployment/a,".repeat(101)).unwrap_err().contains("101 targets"));
        assert!(named(&"é".repeat(100_000)).unwrap_err().len() < 1_000);
    }

    fn done(secret: &ObjectMeta, name: &str) -> Option<String> {
        per_object::get(secret, ANNOTATION_RESTARTED, name)
    }

    /// What a Secret records after it got the data with the digest `new`, and whether restarts are owed then.
    fn carried(was_done: Option<&str>, before: Option<&str>, new: &str) -> (Option<String>, bool) {
        let mut now = ObjectMeta::default();
        let annotations = now.annotations.get_or_insert_default();
        annotations.extend(before.map(|before| (ANNOTATION_DATA_HASH.to_owned(), before.to_owned())));
        per_object::set(None, &mut now, ANNOTATION_RESTARTED, "db", was_done.map(str::to_owned));
        let mut next = meta(&[(ANNOTATION_DATA_HASH, new)]);
        carry_over(Some(&now), &mut next, "db", true);
        (done(&next, "db"), owed(&next, "db").is_some())
    }

    #[test]
    fn restarts_are_owed_for_new_data_and_for_nothing_else() {
        let is = |done: &str, owed: bool| (Some(done.to_owned()), owed);
        assert_eq!(carried(None, None, "a"), is("a", false), "first sync");
        assert_eq!(carried(None, Some("a"), "b"), is("b", false), "taken over");
        assert_eq!(carried(Some("a"), Some("a"), "a"), is("a", false), "the data is equal");
        assert_eq!(carried(Some("a"), None, "a"), is("a", false), "the digest was taken off");
        assert_eq!(carried(Some("a"), None, "b"), is("a", true));
        assert_eq!(carried(Some("a"), Some("a"), "b"), is("a", true), "a change");
        assert_eq!(carried(Some("a"), Some("b"), "b"), is("a", true), "it is still owed");
        assert_eq!(carried(Some("a"), Some("b"), "c"), is("b", true), "a change before the restarts");
        assert_eq!(carried(Some("a"), Some("b"), "a"), is("b", true), "some may have restarted for b");
    }

    #[test]
    fn what_is_done_is_recorded_for_each_object_that_asks() {
        let is = |text: &str| Some(text.to_owned());
        let mut secret = meta(&[(ANNOTATION_DATA_HASH, "a")]);
        for name in ["one", "two"] {
            carry_over(Some(&secret.clone()), &mut secret, name, true);
        }
        secret.annotations.get_or_insert_default().insert(ANNOTATION_DATA_HASH.to_owned(), "b".to_owned());
        assert_eq!((owed(&secret, "one"), owed(&secret, "two"), owed(&secret, "three")), (Some("b"), Some("b"), None));
        settle(&mut secret, "one");
        assert_eq!((owed(&secret, "one"), owed(&secret, "two")), (None, Some("b")), "each restarts what it names");
        carry_over(Some(&secret.clone()), &mut secret, "three", false);
        assert_eq!((done(&secret, "one"), done(&secret, "two")), (is("b"), is("a")));
        for name in ["one", "two"] {
            carry_over(Some(&secret.clone()), &mut secret, name, false);
            assert_eq!(done(&secret, name), None, "nothing is asked for any more");
        }
        assert_eq!(text(&secret, ANNOTATION_RESTARTED), None);
    }

    #[test]
    fn a_change_that_one_object_makes_is_owed_by_all() {
        let mut secret = meta(&[(ANNOTATION_DATA_HASH, "a")]);
        carry_over(None, &mut secret, "one", true);
        let change = |secret: &ObjectMeta, data: &str| {
            let mut next = secret.clone();
            next.annotations.get_or_insert_default().insert(ANNOTATION_DATA_HASH.to_owned(), data.to_owned());
            carry_over(Some(secret), &mut next, "two", true);
            next
        };
        let changed = change(&secret, "b");
        assert_eq!(owed(&changed, "one"), Some("b"));
        let back = change(&changed, "a");
        assert_eq!(owed(&back, "one"), Some("a"), "its workloads may have restarted for b, and no record says so");
        assert_eq!(change(&back, "a"), back, "the data is what it was");
    }
}
