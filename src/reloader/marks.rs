//! For which contents a workload was restarted: an annotation of the workload itself, so that it can be written without a
//! restart where a content is seen for the first time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::source::{Source, Traits};

/// The annotation with the [`Marks`].
pub const MARKS_ANNOTATION: &str = "vso.secrets.hashicorp.com/reloaded-contents";

/// The digest of each content that is there.
pub type Contents = BTreeMap<Source, String>;

/// The contents that the pods of a workload have started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Which key the digests were made with: with another one they say nothing.
    key: String,
    /// Digests by `kind/name`.
    contents: BTreeMap<String, String>,
    /// The Job that was made last, of a CronJob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

impl Marks {
    /// Of the annotation. What cannot be understood, or was made with another key than that of this name, is as good as none.
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

    /// What a Job is made for, where these are the marks that follow: with the Job before, as a content can come back to what
    /// it was. Whatever else is marked does not count, so that it is one Job for each content, whenever the marks are written.
    pub fn cause_of_job(&self, changed: &[Source]) -> String {
        let digests = changed.iter().map(ToString::to_string).map(|source| {
            let digest = self.contents.get(&source).map_or("", String::as_str);
            format!("\n{source} {digest}")
        });
        self.job.iter().cloned().chain(digests).collect()
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
        /// For which contents.
        changed: Vec<Source>,
    },
}

/// What is to be done with a workload that has these marks, where these contents are there which it wants to be restarted for.
/// A content that is gone keeps its mark: it may come back as another one.
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
        Marks { key: "k".into(), contents, job: None }
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
