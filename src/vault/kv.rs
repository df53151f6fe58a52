//! Answers of the KV engines: what holds data, and the ways to hold none.

use serde_json::Value;

use super::request::Envelope;
use super::{ErrorKind, VaultError};
use crate::render::SourceData;

/// What an answer has for a Secret. `version` is given for KV v2.
///
/// # Errors
/// Which of the ways to have no data the answer is.
pub fn parse(envelope: &Envelope, path: &str, version: Option<i64>) -> Result<SourceData, VaultError> {
    let warnings = envelope.warnings.iter().flatten().cloned().collect::<Vec<_>>().join("; ");
    let data = &envelope.data;
    let nothing = |hint: &str| {
        let text = if warnings.is_empty() { hint } else { &warnings };
        let error = VaultError::new(ErrorKind::Protocol, path, format!("the answer has no data: {text}"));
        let is_v2 = version.is_none() && warnings.contains("versioned K/V");
        if is_v2 { error.hinted("spec.type has to be kv-v2") } else { error }
    };
    let Some(fields) = data.as_object() else {
        return Err(nothing("is spec.type right for this mount?"));
    };
    if version.is_none() {
        return if fields.is_empty() {
            Err(VaultError::new(ErrorKind::Empty, path, ""))
        } else {
            Ok(envelope.flat("kv-v1"))
        };
    }
    let metadata = fields.get("metadata").and_then(Value::as_object);
    let Some(metadata) = metadata else {
        return Err(nothing("it is not an answer of a KV version 2 mount; is spec.type right?"));
    };
    match fields.get("data") {
        Some(Value::Object(keys)) if keys.is_empty() => Err(VaultError::new(ErrorKind::Empty, path, "")),
        Some(Value::Object(_)) => Ok(envelope.nested("kv-v2")),
        _ => {
            let number = metadata.get("version").map(|v| format!(" (version {v})")).unwrap_or_default();
            let destroyed = metadata.get("destroyed").and_then(Value::as_bool).unwrap_or(false);
            let deleted = metadata.get("deletion_time").and_then(Value::as_str).is_some_and(|t| !t.is_empty());
            let kept = format!("{number}; the destination keeps what it has");
            match (destroyed, deleted) {
                (true, _) => Err(VaultError::new(ErrorKind::Destroyed, path, kept)),
                (_, true) => Err(VaultError::new(ErrorKind::Deleted, path, kept)),
                _ => Err(nothing("neither keys nor a deletion")),
            }
        }
    }
}

/// Adds what to look at to the error of a read that found nothing. `version` as in [`parse`].
pub fn with_hint(error: VaultError, version: Option<i64>) -> VaultError {
    if error.kind != ErrorKind::NotFound {
        return error;
    }
    let hint = match version {
            Some(0) => "nothing is stored there; spec.mount or spec.path may be wrong, or the mount is no KV version 2 and spec.type has to be kv-v1".to_owned(),
            Some(version) => format!("there is no version {version}, or nothing is stored there"),
            None => "nothing is stored there; spec.mount or spec.path may be wrong".to_owned(),
    };
    error.hinted(&hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(data: Value, version: Option<i64>) -> Option<ErrorKind> {
        parse(&Envelope { data: data.into(), ..Envelope::default() }, "p", version).err().map(|e| e.kind)
    }

    #[test]
    fn the_ways_to_have_no_data_are_told_apart() {
        let v2 = |data: Value, metadata: Value| failure(json!({ "data": data, "metadata": metadata }), Some(0));
        assert_eq!(v2(json!({"a": 1}), json!({"version": 1})), None);
        assert_eq!(v2(json!(null), json!({"deletion_time": "2026-01-01T00:00:00Z"})), Some(ErrorKind::Deleted));
        assert_eq!(v2(json!(null), json!({"deletion_time": "x", "destroyed": true})), Some(ErrorKind::Destroyed));
        assert_eq!(v2(json!({}), json!({"version": 1})), Some(ErrorKind::Empty));
        assert_eq!(v2(json!(null), json!({"version": 1})), Some(ErrorKind::Protocol));
        assert_eq!(failure(json!({"user": "x"}), Some(0)), Some(ErrorKind::Protocol), "a KV v1 answer");
        assert_eq!(failure(json!(null), None), Some(ErrorKind::Protocol));
        assert_eq!(failure(json!({}), None), Some(ErrorKind::Empty));
        assert_eq!(failure(json!({"user": "x"}), None), None);
    }

    #[test]
    fn keys_and_metadata_are_found_where_each_engine_has_them() {
        let parsed = |data: Value, version| {
            let envelope = Envelope { data: data.into(), ..Envelope::default() };
            let source = parse(&envelope, "p", version).ok().unwrap();
            assert!(std::ptr::eq(source.raw(), &*envelope.data), "the answer is shared");
            let keys = |members: &mut dyn Iterator<Item = (&String, &Value)>| {
                members.map(|(key, _)| key.clone()).collect::<Vec<_>>().join(" ")
            };
            (source.kind(), keys(&mut source.data()), keys(&mut source.metadata()))
        };
        let own = |(kind, data, metadata): (_, &str, &str)| (kind, data.to_owned(), metadata.to_owned());
        let data = json!({ "data": { "a": 1, "b": 2 }, "metadata": { "version": 3 } });
        assert_eq!(parsed(data.clone(), Some(0)), own(("kv-v2", "a b", "version")));
        assert_eq!(parsed(data, None), own(("kv-v1", "data metadata", "version")));
        assert_eq!(parsed(json!({ "a": 1, "metadata": "mine" }), None), own(("kv-v1", "a metadata", "")));
    }

    #[test]
    fn nothing_found_says_what_to_look_at() {
        let hint = |version| with_hint(VaultError::new(ErrorKind::NotFound, "kv/data/a", ""), version).to_string();
        assert!(hint(Some(0)).contains("spec.type"));
        assert!(hint(Some(7)).contains("no version 7"));
        assert!(hint(None).contains("spec.path"));
        let other = VaultError::new(ErrorKind::PermissionDenied, "p", "m");
        assert_eq!(with_hint(other.clone(), Some(0)), other);
    }

    #[test]
    fn vaults_own_hint_is_passed_on() {
        let warnings = Some(vec!["Invalid path for a versioned K/V secrets engine".to_owned()]);
        let error = parse(&Envelope { warnings, ..Envelope::default() }, "p", None).err().unwrap();
        assert!(error.to_string().ends_with("versioned K/V secrets engine; spec.type has to be kv-v2"), "{error}");
    }
}
