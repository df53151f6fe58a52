//! What Vault says on its event stream: CloudEvents in JSON.

use serde::Deserialize;

use crate::vault::json::{self, JsonError};

/// What an event tells.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Vault namespace of what has changed, empty for the root.
    pub namespace: String,
    /// What has happened.
    pub change: Change,
}

/// A change of what an object reads or holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// A secret was written, or static credentials were rotated or configured.
    Written {
        /// API path, without `/v1/`, that reads what was written.
        path: String,
        /// State of the server after the write, for `X-Vault-Index`. Vault Enterprise has it since 1.21.
        index: Option<String>,
    },
    /// A lease was revoked, or has expired.
    LeaseEnded {
        /// Its ID.
        lease_id: String,
    },
}

#[derive(Deserialize)]
struct Message {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    event: RawEvent,
    event_type: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    plugin_info: Plugin,
}

#[derive(Deserialize)]
struct RawEvent {
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
    #[serde(default)]
    name: String,
    #[serde(default)]
    lease_id: String,
    vault_index: Option<String>,
}

#[derive(Default, Deserialize)]
struct Plugin {
    #[serde(default)]
    mount_path: String,
}

/// Vault's own have about a hundred.
const MAX_INDEX_BYTES: usize = 1024;

impl Event {
    /// Reads a message. `Ok(None)`: nothing has changed that an object reads or holds.
    ///
    /// # Errors
    /// If it is no message of Vault's.
    pub fn parse(text: &str) -> Result<Option<Self>, JsonError> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<Option<Event>, JsonError> {
    let Data { event, event_type, namespace, plugin_info } = json::parse_as::<Message>(text.as_bytes())?.data;
    let Metadata { modified, path, data_path, name, lease_id, vault_index } = event.metadata;
    let namespace = namespace.trim_matches('/').to_owned();
    let kind = event_type.split_once('/');
    if let Some(("lease", operation)) = kind {
        let ended = matches!(operation, "revoked" | "expired") && !lease_id.is_empty();
        return Ok(ended.then_some(Event { namespace, change: Change::LeaseEnded { lease_id } }));
    }
    if modified != "true" {
        return Ok(None);
    }
    let path = match kind {
        Some(("kv-v2", _)) => versioned(&plugin_info.mount_path, &path, &data_path),
        Some(("database", operation)) => static_credentials(&plugin_info.mount_path, operation, &name),
        _ => Some(path),
    };
    let Some(path) = path.filter(|path| !path.is_empty()) else { return Ok(None) };
    // Another text could not be sent as a header, and every read with it would fail.
    let usable = |index: &String| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_graphic());
    let index = vault_index.filter(usable).filter(|index| index.len() <= MAX_INDEX_BYTES);
    Ok(Some(Event { namespace, change: Change::Written { path, index } }))
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

/// The path that reads the static credentials of a role of a database engine. A rotation by period names the role
/// alone. That credentials of other roles are made, or those roles changed, concerns no credentials that there are.
fn static_credentials(mount: &str, operation: &str, name: &str) -> Option<String> {
    let rotates = matches!(operation, "rotate" | "static-creds-create");
    let is_static = rotates || operation.starts_with("static-role-");
    (is_static && !mount.is_empty() && !name.is_empty()).then(|| format!("{mount}static-creds/{name}"))
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
        match parse(&message(event_type, "", metadata)).unwrap()?.change {
            Change::Written { path, .. } => Some(path),
            Change::LeaseEnded { lease_id } => Some(format!("lease {lease_id}")),
        }
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
            let event = parse(&message("kv-v2/data-write", "", &metadata)).unwrap().unwrap();
            assert!(matches!(event.change, Change::Written { index: None, .. }), "{index:?}");
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
        let event = parse(&message("kv-v2/data-write", "ns1/sub/", metadata)).unwrap().unwrap();
        assert_eq!(event.namespace, "ns1/sub");
        assert!(matches!(event.change, Change::Written { index: Some(index), .. } if index == "djE6"));
    }

    #[test]
    fn what_changes_static_credentials_names_the_path_that_reads_them() {
        let of = |operation: &str, modified: &str, path: &str| {
            let metadata =
                format!(r#"{{"modified":"{modified}","operation":"{operation}","path":"{path}","name":"app"}}"#);
            self::path(&format!("database/{operation}"), &metadata)
        };
        for (operation, event_path) in [
            ("rotate", "team/secret"), // by period
            ("rotate", "team/secret/rotate-role/app"),
            ("static-creds-create", "team/secret"),
            ("static-role-create", "team/secret/static-roles/app"),
            ("static-role-update", "team/secret/static-roles/app"),
            ("static-role-delete", "team/secret/static-roles/app"),
        ] {
            let found = of(operation, "true", event_path);
            assert_eq!(found.as_deref(), Some("team/secret/static-creds/app"), "{operation}");
            assert_eq!(of(operation, "false", event_path), None, "{operation}");
        }
        for operation in ["creds-create", "role-create", "role-update", "role-delete", "config-write", "reload"] {
            assert_eq!(of(operation, "true", "team/secret/creds/app"), None, "{operation} changes no credentials");
        }
        let unnamed = r#"{"modified":"true","operation":"rotate","path":"team/secret"}"#;
        assert_eq!(path("database/rotate", unnamed), None);
    }

    #[test]
    fn of_leases_only_their_end_is_told() {
        let of = |operation: &str, id: &str| {
            let metadata = format!(r#"{{"modified":"false","lease_id":"{id}","path":"sys/leases/revoke"}}"#);
            path(&format!("lease/{operation}"), &metadata)
        };
        assert_eq!(of("revoked", "db/creds/app/x").as_deref(), Some("lease db/creds/app/x"));
        assert_eq!(of("expired", "db/creds/app/x").as_deref(), Some("lease db/creds/app/x"));
        assert_eq!(of("issued", "db/creds/app/x"), None);
        assert_eq!(of("renewed", "db/creds/app/x"), None);
        assert_eq!(of("revoked", ""), None);
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
