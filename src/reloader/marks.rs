//! For which contents a workload was restarted: an annotation of the workload itself, so that it can be written without
//! a restart where a content is seen for the first time.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::source::{Source, Traits};

/// The annotation with the [`Marks`].
pub const MARKS_ANNOTATION: &str = "vso.secrets.hashicorp.com/reloaded-contents";

/// The digest of each content that is there.
pub type Contents = BTreeMap<Source, String>;

/// A workload keeps the marks of so many contents that are gone and that it neither reads nor lists by name. An
/// expression may match new names for ever.
const MAX_GONE: usize = 100;

/// The contents that the pods of a workload have started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Which key the digests were made with: with another one they say nothing.
    key: String,
    /// Digests by `kind/name`.
    contents: BTreeMap<String, String>,
    /// Those of them that expressions alone match and that are gone, in the order in which that was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
    /// The Job that was made last, of a CronJob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

impl Marks {
    /// Of the annotation. What cannot be understood, or was made with another key than that of this name, is as good as
    /// none.
    pub fn parse(annotation: Option<&str>, key: &str) -> Self {
        let parsed = annotation.and_then(|text| serde_json::from_str::<Self>(text).ok());
        let none = || Self { key: key.to_owned(), ..Self::default() };
        parsed.filter(|marks| marks.key == key).unwrap_or_else(none)
    }

    /// The value of the annotation.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Notes that a Job was made.
    pub fn set_job(&mut self, name: String) {
        self.job = Some(name);
    }

    /// What a Job is made for, where these are the marks that follow: with the Job before, as a content can come back
    /// to what it was. Whatever else is marked does not count, so that it is one Job for each content, whenever the
    /// marks are written.
    pub fn cause_of_job(&self, changed: &[Source]) -> String {
        let digests = changed.iter().map(ToString::to_string).map(|source| {
            let digest = self.contents.get(&source).map_or("", String::as_str);
            format!("\n{source} {digest}")
        });
        self.job.iter().cloned().chain(digests).collect()
    }

    /// Forgets what has been gone the longest, if that is too much.
    fn forget_gone(&mut self, declared: &Declared, contents: &Contents) {
        let is_gone = |name: &str| {
            Source::parse(name)
                .is_some_and(|source| !contents.contains_key(&source) && !declared.names_it(source.kind, &source.name))
        };
        let known = std::mem::take(&mut self.gone);
        let known = known.into_iter().filter(|name| self.contents.contains_key(name) && is_gone(name));
        let mut known: Vec<String> = known.take(MAX_GONE).collect();
        let is_known: BTreeSet<&String> = known.iter().collect();
        let new = self.contents.keys().filter(|name| !is_known.contains(name) && is_gone(name));
        let new: Vec<String> = new.cloned().collect();
        known.extend(new);
        for oldest in known.drain(..known.len().saturating_sub(MAX_GONE)) {
            self.contents.remove(&oldest);
        }
        self.gone = known;
    }
}

/// What is to be done with a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// It gets these marks, without a restart: a content is seen for the first time.
    Note(Marks),
    /// It is restarted and gets these marks.
    Restart {
        /// The marks.
        marks: Marks,
        /// The sources whose contents the restart is for.
        changed: Vec<Source>,
    },
}

/// What is to be done with a workload that has these marks, where these contents are there which it wants to be
/// restarted for. A content that is gone keeps its mark, within limits: it may come back as another one.
pub fn plan(declared: &Declared, marks: &Marks, contents: &Contents) -> Plan {
    let mut next = marks.clone();
    next.contents.retain(|source, _| {
        Source::parse(source).is_some_and(|source| {
            let traits = Traits { ignored: false, matched: true };
            contents.contains_key(&source) || declared.reload(source.kind, &source.name, traits)
        })
    });
    let (mut changed, mut is_new) = (vec![], false);
    for (source, digest) in contents {
        match next.contents.insert(source.to_string(), digest.clone()) {
            None => is_new = true,
            Some(known) if known != *digest => changed.push(source.clone()),
            Some(_) => {}
        }
    }
    next.forget_gone(declared, contents);
    match (changed.is_empty(), is_new) {
        (false, _) => Plan::Restart { marks: next, changed },
        (true, true) => Plan::Note(next),
        (true, false) => Plan::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::source::SourceKind;
    use super::*;

    fn declared() -> Declared {
        let annotations = [("secret.reloader.stakater.com/reload".to_owned(), "a,b".to_owned())].into();
        Declared::of(&annotations, &json!({}), false).unwrap()
    }

    fn contents(all: &[(&str, &str)]) -> Contents {
        all.iter().map(|(name, digest)| (Source::new(SourceKind::Secret, *name), (*digest).to_owned())).collect()
    }

    fn marks(all: &[(&str, &str)]) -> Marks {
        let contents = all.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect();
        Marks { key: "k".into(), contents, ..Marks::default() }
    }

    #[test]
    fn a_workload_is_restarted_for_a_content_that_is_another_and_for_nothing_else() {
        let (a, b) = (("Secret/a", "1"), ("Secret/b", "1"));
        let restart = |all: &[(&str, &str)], changed: &[&str]| {
            let changed = changed.iter().map(|name| Source::new(SourceKind::Secret, *name)).collect();
            Plan::Restart { marks: marks(all), changed }
        };
        for (what, known, there, expected) in [
            ("first sight", marks(&[]), contents(&[("a", "1")]), Plan::Note(marks(&[a]))),
            ("nothing changed", marks(&[a]), contents(&[("a", "1")]), Plan::Nothing),
            ("a change", marks(&[a]), contents(&[("a", "2")]), restart(&[("Secret/a", "2")], &["a"])),
            ("one more", marks(&[a]), contents(&[("a", "1"), ("b", "1")]), Plan::Note(marks(&[a, b]))),
            (
                "a change, and one more",
                marks(&[a]),
                contents(&[("a", "2"), ("b", "1")]),
                restart(&[("Secret/a", "2"), b], &["a"]),
            ),
            (
                "two changes",
                marks(&[a, b]),
                contents(&[("a", "2"), ("b", "2")]),
                restart(&[("Secret/a", "2"), ("Secret/b", "2")], &["a", "b"]),
            ),
            ("one is gone", marks(&[a, b]), contents(&[("a", "1")]), Plan::Nothing),
            (
                "one is gone, another changed",
                marks(&[a, b]),
                contents(&[("a", "2")]),
                restart(&[("Secret/a", "2"), b], &["a"]),
            ),
            ("it came back as another", marks(&[a]), contents(&[("a", "2")]), restart(&[("Secret/a", "2")], &["a"])),
            ("not asked for any more", marks(&[a, ("Secret/c", "1")]), contents(&[("a", "1")]), Plan::Nothing),
            (
                "the same, at the next write",
                marks(&[a, ("Secret/c", "1"), ("x", "1")]),
                contents(&[("a", "1"), ("b", "1")]),
                Plan::Note(marks(&[a, b])),
            ),
        ] {
            assert_eq!(plan(&declared(), &known, &there), expected, "{what}");
        }
    }

    /// The marks after a run with these contents.
    fn after(declared: &Declared, marks: Marks, contents: &Contents) -> Marks {
        match plan(declared, &marks, contents) {
            Plan::Note(next) | Plan::Restart { marks: next, .. } => next,
            Plan::Nothing => marks,
        }
    }

    #[test]
    fn marks_of_names_that_change_do_not_grow_for_ever() {
        let annotations = [("secret.reloader.stakater.com/reload".to_owned(), "app-.*,by-name".to_owned())].into();
        let declared = Declared::of(&annotations, &json!({}), false).unwrap();
        let by_name = contents(&[("by-name", "1")]);
        let mut known = after(&declared, Marks::parse(None, "key"), &by_name);
        let name = |number: usize| format!("app-config-{number:06}-7c9f8d6b5");
        for number in 0..2_000 {
            // One at a time: the one before is gone.
            known = after(&declared, known, &contents(&[(&name(number), "0123456789abcdef")]));
            // What is written is what is read.
            known = Marks::parse(Some(&known.to_json()), "key");
            assert!(known.to_json().len() < 16 << 10, "{number}: {}", known.to_json().len());
        }
        assert_eq!(known.contents.len(), 2 + MAX_GONE);
        let (last, first) = (name(1_900), name(1_500));
        let again = |there: &[(&str, &str)]| plan(&declared, &known, &contents(there));
        assert!(matches!(again(&[(&last, "2")]), Plan::Restart { .. }), "gone for a short time");
        assert!(matches!(again(&[("by-name", "2")]), Plan::Restart { .. }), "it is listed by its name");
        assert!(matches!(again(&[(&first, "2")]), Plan::Note(_)), "forgotten");
    }

    #[test]
    fn what_comes_back_is_not_gone_any_more() {
        let annotations = [("secret.reloader.stakater.com/reload".to_owned(), "app-.*".to_owned())].into();
        let declared = Declared::of(&annotations, &json!({}), false).unwrap();
        let both = contents(&[("app-1", "1"), ("app-2", "1")]);
        let known = after(&declared, Marks::parse(None, "key"), &both);
        assert!(known.gone.is_empty());
        assert_eq!(plan(&declared, &known, &contents(&[("app-2", "1")])), Plan::Nothing, "a deletion writes nothing");
        let known = after(&declared, known, &contents(&[("app-2", "2")]));
        assert_eq!(known.gone, ["Secret/app-1"]);
        assert_eq!(plan(&declared, &known, &contents(&[("app-2", "2"), ("app-1", "1")])), Plan::Nothing, "equal data");
        let known = after(&declared, known, &contents(&[("app-2", "2"), ("app-1", "2")]));
        assert!(known.gone.is_empty());
    }

    #[test]
    fn each_job_of_a_cron_job_has_a_cause_of_its_own() {
        let cause = |marks: &Marks, there: &[(&str, &str)]| match plan(&declared(), marks, &contents(there)) {
            Plan::Restart { marks, changed } => (marks.cause_of_job(&changed), marks),
            other => panic!("{other:?}"),
        };
        let first = marks(&[("Secret/a", "1")]);
        let (cause_of_two, mut after) = cause(&first, &[("a", "2")]);
        assert_eq!(cause(&first, &[("a", "2")]).0, cause_of_two, "the marks were not written");
        assert_eq!(cause(&first, &[("a", "2"), ("b", "1")]).0, cause_of_two, "another content is seen meanwhile");
        assert_ne!(cause(&first, &[("a", "3")]).0, cause_of_two, "another content");
        after.set_job("app-2".into());
        let mut after = cause(&Marks::parse(Some(&after.to_json()), "k"), &[("a", "1")]).1;
        after.set_job("app-1".into());
        let again = cause(&after, &[("a", "2")]).0;
        assert_ne!(again, cause_of_two, "a content that comes back");
    }

    #[test]
    fn marks_of_another_key_and_nonsense_are_none() {
        let known = marks(&[("Secret/a", "1")]);
        assert_eq!(Marks::parse(Some(&known.to_json()), "k"), known);
        let none = Marks { key: "other".into(), ..Marks::default() };
        assert_eq!(Marks::parse(Some(&known.to_json()), "other"), none);
        for nonsense in [None, Some(""), Some("{"), Some("[]"), Some(r#"{"key":1}"#), Some("null")] {
            assert_eq!(Marks::parse(nonsense, "k"), marks(&[]), "{nonsense:?}");
        }
    }
}
