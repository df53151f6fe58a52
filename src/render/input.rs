//! What the data of a Secret is made of, and how templates see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::RenderError;
use super::data::source;
use super::gojson;
use super::template::{Map, Object, Value};
use crate::api::SecretEngine;

/// What the data of a Secret is made of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The engine that the answer came from.
    pub engine: &'a SecretEngine,
    /// The member `data` of Vault's answer.
    pub response_data: &'a Json,
    /// Leave out `_raw`.
    pub exclude_raw: bool,
    /// Labels of the object that is synced.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Annotations of it.
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

impl Input<'_> {
    /// The dot of the templates.
    pub(super) fn root(&self) -> Result<Value, RenderError> {
        let secrets = source(self.engine, self.response_data)?;
        let metadata = self.response_data.get("metadata").and_then(Json::as_object);
        let map = |members: Option<&serde_json::Map<String, Json>>| {
            let map = Map::any();
            members.into_iter().flatten().for_each(|(key, value)| map.insert(key.as_str(), Value::from_json(value)));
            Value::Map(map)
        };
        let text = |entries: Option<&BTreeMap<String, String>>| {
            let map = Map::any();
            entries.into_iter().flatten().for_each(|(key, value)| map.insert(key.as_str(), Value::str(value.as_str())));
            Value::Map(map)
        };
        Ok(Value::Object(Arc::new(Root {
            secrets: map(secrets),
            metadata: map(metadata),
            annotations: text(self.annotations),
            labels: text(self.labels),
        })))
    }

    /// All of it as text, for a digest: equal texts are equal inputs.
    pub fn fingerprint(&self) -> Vec<String> {
        let text = |entries: Option<&BTreeMap<String, String>>| {
            let members = entries.into_iter().flatten().map(|(k, v)| (k.clone(), Json::from(v.as_str())));
            gojson::to_string(&Json::Object(members.collect()))
        };
        vec![
            self.engine.to_string(),
            self.exclude_raw.to_string(),
            gojson::to_string(self.response_data),
            text(self.labels),
            text(self.annotations),
        ]
    }
}

/// Upstream's struct of the same fields.
struct Root {
    secrets: Value,
    metadata: Value,
    annotations: Value,
    labels: Value,
}

impl Object for Root {
    fn type_name(&self) -> &'static str {
        "*helpers.SecretInput"
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        vec![
            ("Secrets", true, self.secrets.clone()),
            ("Metadata", true, self.metadata.clone()),
            ("Annotations", true, self.annotations.clone()),
            ("Labels", true, self.labels.clone()),
            // Only a wrapped answer has any, and those of KV are not wrapped.
            ("WrapData", true, Value::Nil),
        ]
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
