//! What a Secret is made of, whichever engine it was read from.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// An answer that has keys for a Secret. Several objects can share one answer.
#[derive(Clone)]
pub struct SourceData {
    kind: &'static str,
    raw: Arc<Value>,
    nested: bool,
    texts: BTreeMap<&'static str, Vec<u8>>,
    added: BTreeMap<String, Vec<u8>>,
    /// Dropped with the last copy.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

impl SourceData {
    /// An answer whose members are the keys. `kind` is part of the digest over the inputs of a template
    /// ([`super::Input::fingerprint`]), which outlives the process: each kind of source keeps its text for ever.
    pub fn flat(kind: &'static str, raw: Arc<Value>) -> Self {
        Self { kind, raw, nested: false, texts: BTreeMap::new(), added: BTreeMap::new(), _held: None }
    }

    /// An answer whose member `data` has the keys. `kind` as in [`SourceData::flat`].
    pub fn nested(kind: &'static str, raw: Arc<Value>) -> Self {
        Self { nested: true, ..Self::flat(kind, raw) }
    }

    /// The Secret has this text in place of the JSON of a key of the source. Templates see what the source has.
    pub fn with_text(mut self, key: &'static str, text: Vec<u8>) -> Self {
        self.texts.insert(key, text);
        self
    }

    /// The Secret has these keys too, whatever the filter says. Templates do not see them, and may print into their
    /// place.
    pub fn with_added(mut self, added: BTreeMap<String, Vec<u8>>) -> Self {
        self.added.extend(added);
        self
    }

    /// Keeps something for as long as this is in use: the right to the memory of the answer.
    pub fn holding(self, held: Arc<dyn Any + Send + Sync>) -> Self {
        Self { _held: Some(held), ..self }
    }

    /// The kind of source.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The keys that the user put into Vault, and their values.
    pub fn data(&self) -> impl Iterator<Item = (&String, &Value)> {
        let holder = if self.nested { self.raw.get("data") } else { Some(&*self.raw) };
        members(holder)
    }

    /// The text of a key, where that is not its JSON.
    pub(super) fn text(&self, key: &str) -> Option<&[u8]> {
        self.texts.get(key).map(Vec::as_slice)
    }

    /// Keys that no filter applies to.
    pub(super) fn added(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.added
    }

    /// What Vault says about the data. VSO takes the member `metadata` for it even where it is a key of the user's.
    pub fn metadata(&self) -> impl Iterator<Item = (&String, &Value)> {
        members(self.raw.get("metadata"))
    }

    /// The whole member `data` of Vault's answer, which `_raw` holds.
    pub fn raw(&self) -> &Value {
        &self.raw
    }
}

fn members(object: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}
