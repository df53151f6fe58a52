//! What workloads are restarted for.

use std::collections::BTreeMap;
use std::fmt;

/// Annotation: no workload is restarted for it.
const IGNORE: &str = "reloader.stakater.com/ignore";
/// Annotation: workloads that search for it are restarted.
const MATCH: &str = "reloader.stakater.com/match";

/// A kind that workloads read their configuration from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl SourceKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ConfigMap, Self::Secret];

    /// The kind, as in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// A Secret or ConfigMap in the namespace of the workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Its kind.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
}

impl Source {
    /// Puts the two together.
    pub fn new(kind: SourceKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// What [`Source`] prints.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        let kind = SourceKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        Some(Self::new(kind, name))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// What a Secret or ConfigMap says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// No workload is restarted for it.
    pub ignored: bool,
    /// Workloads that search are restarted for it.
    pub matched: bool,
}

impl Traits {
    /// What the annotations of the source say.
    pub fn of(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let is_true = |name: &str| annotations.and_then(|all| all.get(name)).is_some_and(|value| value == "true");
        Self { ignored: is_true(IGNORE), matched: is_true(MATCH) }
    }
}
