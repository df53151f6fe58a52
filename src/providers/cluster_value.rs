//! What is read of a Secret of a cluster, and what its rows are made of: byte for byte what ESO makes of it, so that a
//! Secret that ESO has synced is not written again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::ProviderError;
use crate::api::external_secrets::MetadataPolicy;
use crate::api::external_secrets::remote::RemoteRef;
use crate::external_secret::Data;
use crate::external_secret::document::Json;
use crate::external_secret::property::{self, PropertyError};
use crate::external_secret::value;
use crate::gocompat::json::{Style, write_bytes};
use crate::gocompat::template::Context;

/// A Secret as it is read.
pub(super) struct Remote {
    pub data: Data,
    pub labels: Map<String, Value>,
    pub annotations: Map<String, Value>,
}

impl Remote {
    /// Takes what is read out of the answer of a server.
    pub fn new(secret: &Value) -> Result<Self, ProviderError> {
        let mut data = Data::new();
        for (key, encoded) in secret.get("data").and_then(Value::as_object).into_iter().flatten() {
            let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
            let unusable = || ProviderError::Unusable(format!("key {key:?} of the answer is not Base64"));
            data.insert(key.clone(), decoded.ok_or_else(unusable)?);
        }
        let of = |member: &str| secret.pointer(member).and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Self { data, labels: of("/metadata/labels"), annotations: of("/metadata/annotations") })
    }

    /// All keys as texts, as a JSON object.
    pub fn whole(&self) -> Vec<u8> {
        object(&self.data)
    }

    /// A property of the Secret or of its metadata, or all of it.
    pub fn value(&self, context: &mut Context, remote: &RemoteRef) -> Result<Vec<u8>, String> {
        let path = remote.property.as_deref();
        if remote.metadata_policy == Some(MetadataPolicy::Fetch) {
            return self.metadata(context, &remote.key, path);
        }
        match path {
            Some(path) => self.property(context, &remote.key, path),
            None => Ok(self.whole()),
        }
    }

    /// The members of the JSON object that is such a value, each as JSON.
    pub fn members(&self, context: &mut Context, remote: &RemoteRef) -> Result<Data, String> {
        let text = self.value(context, remote)?;
        let json = Json::parse(&text).map_err(|error| error.to_string())?;
        let members = value::members(json).map_err(|error| error.to_string())?;
        let as_json = |member: Json<'_>| {
            let mut out = String::new();
            value::write(&mut out, member, Style::Raw);
            out.into_bytes()
        };
        Ok(members.into_iter().map(|(name, member)| (name, as_json(member))).collect())
    }

    /// A key of that very name, or the path after the first dot in the JSON that the key before it holds.
    fn property(&self, context: &mut Context, name: &str, path: &str) -> Result<Vec<u8>, String> {
        let missing = || format!("property {path} does not exist in data of secret {name:?}");
        if let Some(value) = self.data.get(path) {
            return Ok(value.clone());
        }
        let (key, rest) = path.split_once('.').ok_or_else(missing)?;
        let value = self.data.get(key).ok_or_else(missing)?;
        part(context, value, rest, missing)
    }

    fn metadata(&self, context: &mut Context, name: &str, path: Option<&str>) -> Result<Vec<u8>, String> {
        let Some(path) = path else {
            let mut all = b"{\"annotations\":".to_vec();
            all.extend(names(&self.annotations));
            all.extend_from_slice(b",\"labels\":");
            all.extend(names(&self.labels));
            all.push(b'}');
            return Ok(all);
        };
        let missing = || format!("property {path} does not exist in metadata of secret {name:?}");
        let (kind, rest) = path.split_once('.').map_or((path, None), |(kind, rest)| (kind, Some(rest)));
        let members = match kind {
            "labels" => &self.labels,
            "annotations" => &self.annotations,
            _ => return Err(missing()),
        };
        let Some(rest) = rest else { return Ok(names(members)) };
        // A key of that very name comes first: the keys of most labels have dots.
        let found = members.get(rest).or_else(|| members.get(&rest.replace("\\.", ".")));
        if let Some(found) = found.and_then(Value::as_str) {
            return Ok(found.as_bytes().to_vec());
        }
        let (key, rest) = rest.split_once('.').ok_or_else(missing)?;
        let value = members.get(key).and_then(Value::as_str).ok_or_else(missing)?;
        part(context, value.as_bytes(), rest, missing)
    }
}

/// A part of a JSON document.
fn part(
    context: &mut Context,
    document: &[u8],
    path: &str,
    missing: impl FnOnce() -> String,
) -> Result<Vec<u8>, String> {
    property::find(context, document, path).map_err(|error| match error {
        PropertyError::Missing(_) => missing(),
        error => error.to_string(),
    })
}

/// Labels or annotations as a JSON object. ESO writes those that a Secret does not have as `null`.
fn names(members: &Map<String, Value>) -> Vec<u8> {
    if members.is_empty() {
        return b"null".to_vec();
    }
    let text = |value: &Value| value.as_str().unwrap_or("").as_bytes().to_vec();
    object(&members.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

/// A JSON object of texts, without the escapes of HTML.
fn object(members: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_bytes(&mut out, name.as_bytes(), Style::Raw);
        out.push(b':');
        write_bytes(&mut out, value, Style::Raw);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gocompat::template::{Environment, Limits};

    fn context() -> Context {
        Context::new(&Limits::default(), &Environment::default())
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn metadata_that_a_secret_does_not_have_is_null() {
        let secret = Remote::new(&json!({ "metadata": { "labels": { "app": "x" } } })).ok().unwrap();
        for (path, expected) in [
            (None, r#"{"annotations":null,"labels":{"app":"x"}}"#),
            (Some("labels"), r#"{"app":"x"}"#),
            (Some("annotations"), "null"),
            (Some("labels.app"), "x"),
        ] {
            assert_eq!(text(secret.metadata(&mut context(), "s", path).unwrap()), expected, "{path:?}");
        }
        let error = secret.metadata(&mut context(), "s", Some("annotations.app")).unwrap_err();
        assert_eq!(error, "property annotations.app does not exist in metadata of secret \"s\"");
    }

    #[test]
    fn all_of_a_secret_has_no_escapes_of_html() {
        let annotations = json!({ "note": "a<b>&c", "line": "\u{2028}" });
        let secret = json!({
            // What is no text, and a password.
            "data": { "binary": STANDARD.encode(b"a\xff\xe2\x82b"), "password": STANDARD.encode("p<&>\"") },
            "metadata": { "annotations": annotations },
        });
        let secret = Remote::new(&secret).ok().unwrap();
        assert_eq!(text(secret.whole()), r#"{"binary":"a\ufffd\ufffd\ufffdb","password":"p<&>\""}"#);
        let metadata = text(secret.metadata(&mut context(), "s", Some("annotations")).unwrap());
        assert_eq!(metadata, r#"{"line":"\u2028","note":"a<b>&c"}"#);
    }

    #[test]
    fn members_are_written_anew() {
        let document = r#"{ "text": "a<\u003e", "map": { "z": 1.0, "a": [ 1, 12345678901234567890 ] }, "none": null }"#;
        let secret = Remote::new(&json!({ "data": { "doc": STANDARD.encode(document) } })).ok().unwrap();
        let remote: RemoteRef = serde_json::from_value(json!({ "key": "s", "property": "doc" })).unwrap();
        let members = secret.members(&mut context(), &remote).unwrap();
        let members: Vec<_> = members.into_iter().map(|(name, member)| (name, text(member))).collect();
        let expected = [("map", r#"{"a":[1,12345678901234567890],"z":1}"#), ("none", "null"), ("text", r#""a<>""#)];
        assert_eq!(members, expected.map(|(name, member)| (name.to_owned(), member.to_owned())));
    }
}
