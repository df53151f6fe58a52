//! What the data of a Secret is made of, and how templates see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::SourceData;
use crate::api::LAST_APPLIED;
use crate::gocompat::json;
use crate::gocompat::template::{Map, Record, Value};

/// What the data of a Secret is made of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What was read.
    pub source: &'a SourceData,
    /// Leave out `_raw`.
    pub exclude_raw: bool,
    /// Labels of the object that is synced.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Annotations of the object that is synced.
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

impl Input<'_> {
    /// The dot of the templates.
    pub(super) fn root(&self) -> Value {
        let any = |members: &mut dyn Iterator<Item = (&String, &Json)>| {
            let map = Map::any();
            members.for_each(|(key, value)| map.insert(key.as_str(), Value::from_json(value)));
            Value::Map(map)
        };
        let text = |entries: Option<&BTreeMap<String, String>>| {
            let map = Map::any();
            entries.into_iter().flatten().for_each(|(key, value)| map.insert(key.as_str(), Value::str(value.as_str())));
            Value::Map(map)
        };
        // Only a wrapped answer has these fields, and answers of KV are not wrapped.
        let wrap = ["Token", "Accessor", "TTL", "CreationTime", "CreationPath", "WrappedAccessor"];
        let fields = vec![
            ("Secrets", any(&mut self.source.data())),
            ("Metadata", any(&mut self.source.metadata())),
            ("Annotations", text(self.annotations)),
            ("Labels", text(self.labels)),
            ("WrapData", Value::Object(Arc::new(Record::nil("*api.SecretWrapInfo", &wrap)))),
        ];
        Value::Object(Arc::new(Record::new("*helpers.SecretInput", fields)))
    }

    /// The inputs as texts, for a digest: equal texts are equal inputs. Kubectl's copy of the manifest is left out,
    /// since each change of the object shows in it.
    pub fn fingerprint(&self) -> Vec<String> {
        let text = |entries: Option<&BTreeMap<String, String>>| {
            let entries = entries.into_iter().flatten().filter(|(key, _)| *key != LAST_APPLIED);
            let members = entries.map(|(k, v)| (k.clone(), Json::from(v.as_str())));
            json::to_string(&Json::Object(members.collect()))
        };
        vec![
            self.source.kind().to_owned(),
            self.exclude_raw.to_string(),
            json::to_string(self.source.raw()),
            text(self.labels),
            text(self.annotations),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kubectls_copy_is_no_input() {
        let of = |data: &Json, entries: &[(&str, &str)]| {
            let map: BTreeMap<String, String> = entries.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            let source = SourceData::flat("kv-v1", Arc::new(data.clone()));
            Input { source: &source, exclude_raw: false, labels: None, annotations: Some(&map) }.fingerprint()
        };
        let data = json!({ "a": 1 });
        assert_eq!(of(&data, &[("a", "b"), (LAST_APPLIED, "{}")]), of(&data, &[("a", "b")]));
        assert_ne!(of(&data, &[("a", "c")]), of(&data, &[("a", "b")]));
        assert_ne!(of(&json!({ "a": "1" }), &[]), of(&data, &[]));
    }

    #[test]
    fn templates_see_the_source_and_the_object() {
        let labels = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        let fields = |source: SourceData| {
            let input = Input { source: &source, exclude_raw: true, labels: Some(&labels), annotations: None };
            let Value::Object(root) = input.root() else { panic!("no object") };
            let keys = root.fields().into_iter().map(|(name, open, value)| {
                assert!(open);
                let Value::Map(map) = value else { return format!("{name}: {value:?}") };
                let keys = map.keys();
                format!("{name}: {}", keys.iter().map(|k| k.to_text()).collect::<Vec<_>>().join(" "))
            });
            keys.collect::<Vec<_>>()
        };
        let data = json!({ "data": { "b": 1, "a": "x" }, "metadata": { "version": 1 } });
        let rest = ["Annotations: ", "Labels: app", "WrapData: Value(*api.SecretWrapInfo)"];
        let source = SourceData::nested("kv-v2", Arc::new(data));
        assert_eq!(fields(source)[..], [&["Secrets: a b", "Metadata: version"], &rest[..]].concat());
        let source = SourceData::flat("kv-v1", Arc::new(json!({ "a": 1, "metadata": "mine" })));
        assert_eq!(fields(source)[..], [&["Secrets: a metadata", "Metadata: "], &rest[..]].concat());
    }

    /// The digest over these texts stands on Secrets: another text, and each salt is drawn anew after an upgrade.
    #[test]
    fn the_texts_of_the_digest_stay() {
        let labels = BTreeMap::from([("app".to_owned(), "<x>".to_owned())]);
        let texts = |source: &SourceData| {
            Input { source, exclude_raw: false, labels: Some(&labels), annotations: None }.fingerprint()
        };
        let flat = SourceData::flat("kv-v1", Arc::new(json!({ "b": 1, "a": "<" })));
        assert_eq!(texts(&flat), ["kv-v1", "false", r#"{"a":"\u003c","b":1}"#, r#"{"app":"\u003cx\u003e"}"#, "{}"]);
        let nested = SourceData::nested("kv-v2", Arc::new(json!({ "metadata": { "version": 1 }, "data": { "a": 1 } })));
        assert_eq!(texts(&nested)[..3], ["kv-v2", "false", r#"{"data":{"a":1},"metadata":{"version":1}}"#]);
    }
}
