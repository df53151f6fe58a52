//! What a PushSecret writes where: the keys of Secrets, as rows for the secrets of a store. [`rows`] makes them.

mod payload;
mod room;
mod rows;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Data;
use super::template::Rendered;
use crate::api::external_secrets::push_secret::PushData;

pub use payload::Payload;
pub use rows::{Expansion, PushStore, expand, place};

/// A Secret that is pushed, as templates have made it.
#[derive(Clone, Default, PartialEq)]
pub struct PushSource {
    /// Its name.
    pub name: String,
    /// Keys and values.
    pub data: Data,
    /// Labels that a copy may have.
    pub labels: BTreeMap<String, String>,
    /// Annotations that a copy may have.
    pub annotations: BTreeMap<String, String>,
    /// Its type; Opaque when unset.
    pub type_: Option<String>,
}

impl fmt::Debug for PushSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PushSource { name, data, type_, .. } = self;
        f.debug_struct("PushSource").field("name", name).field("data", &data.keys()).field("type", type_).finish()
    }
}

/// Something that is pushed to a secret of a store.
#[derive(Clone, Debug)]
pub struct PushRow {
    /// The entry as it stands in the status.
    pub entry: PushData,
    /// What is pushed.
    pub payload: Payload,
    /// The Secret that it is of.
    pub source: Arc<PushSource>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The store holds it now, or did so before.
    Done,
    /// The store holds something there, which stays.
    Existed,
}

/// Prefixes of labels and annotations that say whose an object is: on a copy they would be wrong.
const OWNER_PREFIXES: [&str; 7] = [
    "kubectl.kubernetes.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "argocd.argoproj.io/",
    "reconcile.external-secrets.io/",
    "vso.secrets.hashicorp.com/",
    "secrets.hashicorp.com/",
];
/// Labels that say it, too.
const OWNER_LABELS: [&str; 3] =
    ["app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "app.kubernetes.io/component"];

impl PushSource {
    /// A Secret without the labels and annotations that say whose it is.
    pub fn new(
        name: String,
        data: Data,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        type_: Option<String>,
    ) -> Self {
        let carried = |map: BTreeMap<String, String>| map.into_iter().filter(|(name, _)| !says_owner(name)).collect();
        Self { name, data, labels: carried(labels), annotations: carried(annotations), type_ }
    }

    /// The Secret with what templates have made of it, in addition to what it holds. Its type is that of the template.
    #[must_use]
    pub fn with(mut self, rendered: Rendered) -> Self {
        self.data.extend(rendered.data);
        self.labels.extend(rendered.labels);
        self.annotations.extend(rendered.annotations);
        self.type_ = rendered.type_;
        self
    }
}

fn says_owner(name: &str) -> bool {
    OWNER_LABELS.contains(&name) || OWNER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
