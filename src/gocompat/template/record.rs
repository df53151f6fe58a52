//! A struct whose fields are all there is to it.

use super::types::Kind;
use super::value::{Object, Value};

/// A struct, or a pointer to one, without methods: the root that templates are given.
pub struct Record {
    type_name: &'static str,
    nil: bool,
    fields: Vec<(&'static str, bool, Value)>,
}

impl Record {
    /// A struct of this name, `*` before it for a pointer, and its exported fields in order.
    pub fn new(type_name: &'static str, fields: Vec<(&'static str, Value)>) -> Record {
        let fields = fields.into_iter().map(|(name, value)| (name, true, value)).collect();
        Record { type_name, nil: false, fields }
    }

    /// A nil pointer: `*api.SecretWrapInfo` of a secret that is not wrapped. `fields` names what the
    /// struct would have.
    pub fn nil(type_name: &'static str, fields: &[&'static str]) -> Record {
        let fields = fields.iter().map(|name| (*name, true, Value::Nil)).collect();
        Record { type_name, nil: true, fields }
    }

    /// Adds a field that templates cannot name.
    pub fn with_unexported(mut self, name: &'static str, value: Value) -> Record {
        self.fields.push((name, false, value));
        self
    }
}

impl Object for Record {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> Kind {
        if self.type_name.starts_with('*') { Kind::Ptr } else { Kind::Struct }
    }

    fn is_nil(&self) -> bool {
        self.nil
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        self.fields.clone()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
