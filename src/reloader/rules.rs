//! What a workload asks for of one kind of source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::list::{Known, List, items};
use super::source::{SourceKind, Traits};

pub(super) type Annotations = BTreeMap<String, String>;

/// The annotations that ask for restarts, for one kind.
struct Names {
    auto: &'static str,
    list: &'static str,
    exclude: &'static str,
}

/// Annotation: everything referenced.
const AUTO: &str = "reloader.stakater.com/auto";
/// Annotation: everything referenced that wants to be found.
const SEARCH: &str = "reloader.stakater.com/search";

fn names(kind: SourceKind) -> Names {
    match kind {
        SourceKind::Secret => Names {
            auto: "secret.reloader.stakater.com/auto",
            list: "secret.reloader.stakater.com/reload",
            exclude: "secrets.exclude.reloader.stakater.com/reload",
        },
        SourceKind::ConfigMap => Names {
            auto: "configmap.reloader.stakater.com/auto",
            list: "configmap.reloader.stakater.com/reload",
            exclude: "configmaps.exclude.reloader.stakater.com/reload",
        },
    }
}

/// What a workload asks for of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Everything referenced.
    auto: bool,
    /// Everything referenced that wants to be found.
    search: bool,
    /// These, referenced or not.
    pub list: Arc<List>,
    /// Never these.
    excluded: BTreeSet<String>,
    pub referenced: BTreeSet<String>,
}

impl Rules {
    /// Of the annotations of a workload; of those of its pod template if the workload has none that asks for restarts.
    /// Exceptions count on the workload only. `auto_by_default`: everything referenced, where no annotation says
    /// whether. What is wrong goes to `complaints`.
    pub fn of(
        kind: SourceKind,
        workload: &Annotations,
        template: &Annotations,
        referenced: BTreeSet<String>,
        auto_by_default: bool,
        known: Known<'_>,
        complaints: &mut Vec<String>,
    ) -> Self {
        let Names { auto, list, exclude } = names(kind);
        let asks = [auto, list, AUTO, SEARCH].into_iter().any(|name| workload.contains_key(name));
        let annotations = if asks { workload } else { template };
        let is_true = |name: &str| annotations.get(name).is_some_and(|value| go_bool(value));
        let is_unset = |name: &str| annotations.get(name).is_none_or(String::is_empty);
        let mut rules = Self {
            auto: is_true(AUTO) || is_true(auto) || (auto_by_default && is_unset(AUTO) && is_unset(auto)),
            search: annotations.get(SEARCH).is_some_and(|value| value == "true"),
            excluded: workload
                .get(exclude)
                .map(|value| items(exclude, value, complaints).into_iter().map(str::to_owned).collect())
                .unwrap_or_default(),
            referenced,
            ..Self::default()
        };
        if let Some(value) = annotations.get(list) {
            rules.list = List::of(list, value, known);
            complaints.extend(rules.list.complaints.iter().cloned());
        }
        rules
    }

    /// Whether anything is asked for.
    pub fn are_empty(&self) -> bool {
        let wants_referenced = (self.auto || self.search) && !self.referenced.is_empty();
        !(wants_referenced || self.has_patterns()) && self.list.names.is_empty()
    }

    /// Whether any name at all may be meant.
    pub fn has_patterns(&self) -> bool {
        !self.list.expressions.is_empty()
    }

    /// The names that may be meant, beside those that match patterns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.names.union(&self.referenced).map(String::as_str)
    }

    /// Whether this is one of [`Self::names`].
    pub fn are_for(&self, name: &str) -> bool {
        self.list.names.contains(name) || self.referenced.contains(name)
    }

    /// Whether the workload is restarted when this changes.
    pub fn reload(&self, name: &str, traits: Traits) -> bool {
        if traits.ignored || self.excluded.contains(name) {
            return false;
        }
        self.list.contains(name) || (self.referenced.contains(name) && (self.auto || (self.search && traits.matched)))
    }
}

/// What Go's `strconv.ParseBool` takes for true.
fn go_bool(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}
