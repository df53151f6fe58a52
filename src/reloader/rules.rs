//! What a workload asks for of one kind of source.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{SourceKind, Traits};
use crate::gocompat::regexp::{Groups, Pattern, PatternError};
use crate::gocompat::template::{Context, Environment, Limits};

/// Names and expressions that a workload may list of a kind.
const MAX_NAMES: usize = 100;
/// What the expressions of a workload may compile to, for each kind: they are kept.
const MAX_COMPILED_BYTES: usize = 256 << 10;

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
    listed: BTreeSet<String>,
    /// Those that match, referenced or not.
    patterns: Vec<Pattern>,
    /// Never these.
    excluded: BTreeSet<String>,
    pub referenced: BTreeSet<String>,
}

impl Rules {
    /// Of the annotations of a workload; of those of its pod template if the workload has none that asks for restarts.
    /// Exceptions count on the workload only. `auto_by_default`: everything referenced, where no annotation says whether. What is
    /// wrong goes to `complaints`.
    pub fn of(
        kind: SourceKind,
        workload: &Annotations,
        template: &Annotations,
        referenced: BTreeSet<String>,
        auto_by_default: bool,
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
            excluded: workload.get(exclude).map(|value| items(value).map(str::to_owned).collect()).unwrap_or_default(),
            referenced,
            ..Self::default()
        };
        if let Some(value) = annotations.get(list) {
            rules.list(list, value, complaints);
        }
        rules
    }

    /// Whether anything is asked for.
    pub fn are_empty(&self) -> bool {
        let wants_referenced = (self.auto || self.search) && !self.referenced.is_empty();
        !(wants_referenced || self.has_patterns()) && self.listed.is_empty()
    }

    /// Whether any name at all may be meant.
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// The names that may be meant, beside those that match patterns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.listed.union(&self.referenced).map(String::as_str)
    }

    /// Whether the workload is restarted when this changes.
    pub fn reload(&self, name: &str, traits: Traits) -> bool {
        if traits.ignored || self.excluded.contains(name) {
            return false;
        }
        let is_listed =
            self.listed.contains(name) || self.patterns.iter().any(|pattern| pattern.regex().is_match(name.as_bytes()));
        is_listed || (self.referenced.contains(name) && (self.auto || (self.search && traits.matched)))
    }

    fn list(&mut self, annotation: &str, value: &str, complaints: &mut Vec<String>) {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let mut left = MAX_COMPILED_BYTES;
        for (number, item) in items(value).enumerate() {
            if number == MAX_NAMES {
                complaints
                    .push(format!("annotation {annotation} lists more than {MAX_NAMES} names: the rest is ignored"));
                return;
            }
            if item.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
                self.listed.insert(item.to_owned());
                continue;
            }
            let shown = &item[..item.floor_char_boundary(253)];
            let compiled = Pattern::compile(&mut context, format!("^{item}$").as_bytes(), Groups::Ignored);
            context.end_call();
            let why = match compiled {
                Ok(pattern) => match left.checked_sub(pattern.compiled_bytes()) {
                    Some(rest) => {
                        left = rest;
                        self.patterns.push(pattern);
                        continue;
                    }
                    None => format!("compiled, the expressions need more than {MAX_COMPILED_BYTES} bytes"),
                },
                Err(PatternError::Syntax(why)) => why,
                Err(PatternError::Limit(error)) => error.shown().to_owned(),
            };
            complaints.push(format!("annotation {annotation}: {shown:?} is ignored: {why}"));
        }
    }
}

fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// What Go's `strconv.ParseBool` takes for true.
fn go_bool(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}
