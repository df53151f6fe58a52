//! What Vault says on its event stream: CloudEvents in JSON.

use serde::Deserialize;

use crate::vault::json::{self, JsonError};

/// A write to a KV engine.
#[derive(Debug, PartialEq, Eq)]
pub struct Write {
    /// Vault namespace of the mount, empty for the root.
    pub namespace: String,
    /// API path, without `/v1/`, that reads what was written.
    pub path: String,
    /// State of the server after the write, for `X-Vault-Index`. Vault Enterprise has it since 1.21.
    pub index: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    event: Event,
    event_type: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    plugin_info: Plugin,
}

#[derive(Deserialize)]
struct Event {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    modified: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    data_path: String,
    vault_index: Option<String>,
}

#[derive(Default, Deserialize)]
struct Plugin {
    #[serde(default)]
    mount_path: String,
}

/// Vault's own have about a hundred.
const MAX_INDEX_BYTES: usize = 1024;

impl Write {
    /// Reads a message. `Ok(None)`: nothing was written that could be read.
    ///
    /// # Errors
    /// If it is no message of Vault's.
    pub fn parse(text: &str) -> Result<Option<Self>, JsonError> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<Option<Write>, JsonError> {
    let Data { event, event_type, namespace, plugin_info } = json::parse_as::<Message>(text.as_bytes())?.data;
    let Metadata { modified, path, data_path, vault_index } = event.metadata;
    if modified != "true" {
        return Ok(None);
    }
    let path = match event_type.split_once('/') {
        Some(("kv-v2", _)) => versioned(&plugin_info.mount_path, &path, &data_path),
        _ => Some(path),
    };
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    // Another text could not be sent as a header, and every read with it would fail.
    let usable = |index: &String| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_graphic());
    let index = vault_index.filter(usable).filter(|index| index.len() <= MAX_INDEX_BYTES);
    Ok(Some(Write { namespace: namespace.trim_matches('/').to_owned(), path, index }))
}

/// The path that reads a secret of a KV v2 engine. Deletions name it in their own path only, as
/// `<mount>/delete/<secret>`, and so do writes of metadata, which is a part of what is read.
fn versioned(mount: &str, path: &str, data_path: &str) -> Option<String> {
    let Some(rest) = path.strip_prefix(mount).filter(|_| !mount.is_empty()) else {
        return Some(if data_path.is_empty() { path } else { data_path }.to_owned());
    };
    match rest.split_once('/') {
        Some(("data" | "delete" | "undelete" | "destroy" | "metadata", secret)) => {
            Some(format!("{mount}data/{secret}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(event_type: &str, namespace: &str, metadata: &str) -> String {
        format!(
            r#"{{"id":"x","source":"https://vaultproject.io/","specversion":"1.0","type":"*","data":{{"event":{{"id":"x","metadata":{metadata}}},"event_type":"{event_type}","namespace":"{namespace}","plugin_info":{{"mount_class":"secret","mount_path":"team/secret/","plugin":"kv"}}}}}}"#
        )
    }

    fn path(event_type: &str, metadata: &str) -> Option<String> {
        parse(&message(event_type, "", metadata)).unwrap().map(|write| write.path)
    }

    #[test]
    fn all_that_changes_what_is_read_names_the_path_that_reads_it() {
        for operation in ["data", "delete", "undelete", "destroy", "metadata"] {
            let metadata = format!(r#"{{"modified":"true","path":"team/secret/{operation}/a/b"}}"#);
            assert_eq!(path("kv-v2/x", &metadata).as_deref(), Some("team/secret/data/a/b"), "{operation}");
        }
        let v1 = r#"{"modified":"true","path":"team/secret/data/a"}"#;
        assert_eq!(path("kv-v1/write", v1).as_deref(), Some("team/secret/data/a"));
        let elsewhere = r#"{"modified":"true","path":"data/a","data_path":"secret/data/a"}"#;
        assert_eq!(path("kv-v2/data-write", elsewhere).as_deref(), Some("secret/data/a"));
    }

    #[test]
    fn an_index_that_no_header_can_carry_is_none() {
        for index in ["a\\nb", "ä", "a b", &"x".repeat(1025)] {
            let metadata = format!(r#"{{"modified":"true","path":"team/secret/data/a","vault_index":"{index}"}}"#);
            let write = parse(&message("kv-v2/data-write", "", &metadata)).unwrap().unwrap();
            assert_eq!(write.index, None, "{index:?}");
        }
    }

    #[test]
    fn what_is_not_read_is_nothing() {
        assert_eq!(path("kv-v2/config-write", r#"{"modified":"true","path":"team/secret/config"}"#), None);
        assert_eq!(path("kv-v2/data-write", r#"{"modified":"false","path":"team/secret/data/a"}"#), None);
        assert_eq!(path("kv-v1/write", r#"{"modified":"true"}"#), None);
    }

    #[test]
    fn namespace_and_index_are_told() {
        let metadata = r#"{"modified":"true","path":"team/secret/data/a","vault_index":"djE6"}"#;
        let write = parse(&message("kv-v2/data-write", "ns1/sub/", metadata)).unwrap().unwrap();
        assert_eq!((write.namespace.as_str(), write.index.as_deref()), ("ns1/sub", Some("djE6")));
    }

    #[test]
    fn other_forms_are_errors() {
        for text in ["", "{}", "[]", r#"{"data":{"event":{"metadata":{"modified":true}},"event_type":"kv-v1/write"}}"#]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,200}", path in "[a-z/]{0,20}", mount in "[a-z/]{0,8}", kind in "kv-v[12]/[a-z]{0,5}") {
            let _ = parse(&text);
            let _ = versioned(&mount, &path, &text);
            let _ = parse(&message(&kind, &mount, &format!(r#"{{"modified":"true","path":"{path}"}}"#)));
        }
    }
}
