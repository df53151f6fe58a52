//! What a Secret is made of, whichever engine it was read from.

use std::any::Any;
use std::sync::Arc;

use serde_json::{Map, Value};

/// An answer that has keys for a Secret. Several objects can share one answer.
#[derive(Clone)]
pub struct SourceData {
    kind: &'static str,
    raw: Arc<Value>,
    nested: bool,
    /// Dropped with the last copy.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

impl SourceData {
    /// An answer whose members are the keys. `kind` is part of the digest over the inputs of a template
    /// ([`super::Input::fingerprint`]), which outlives the process: each kind of source keeps its text for ever.
    pub fn flat(kind: &'static str, raw: Arc<Value>) -> Self {
        Self { kind, raw, nested: false, _held: None }
    }

    /// An answer whose member `data` has the keys. `kind` as in [`SourceData::flat`].
    pub fn nested(kind: &'static str, raw: Arc<Value>) -> Self {
        Self { kind, raw, nested: true, _held: None }
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
