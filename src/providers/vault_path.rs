//! Where a KV engine has what an entry names. The rules are ESO's, but for paths that lead elsewhere.

use crate::resolve::VaultStore;

/// API path of the data of a key.
///
/// # Errors
/// What is wrong with the key.
pub(super) fn data_path(store: &VaultStore, key: &str) -> Result<String, String> {
    let key = checked(key)?;
    match (&store.mount, store.versioned) {
        (Some(mount), true) => Ok(format!("{mount}/data/{}", below_mount(mount, key, "data/"))),
        (Some(mount), false) => Ok(format!("{mount}/{}", below_mount(mount, key, ""))),
        (None, true) => with_part(key, "data"),
        (None, false) => Ok(key.to_owned()),
    }
}

/// API path of what a KV v2 engine says about a key.
///
/// # Errors
/// What is wrong with the key, or that the engine says nothing.
pub(super) fn metadata_path(store: &VaultStore, key: &str) -> Result<String, String> {
    if !store.versioned {
        return Err("cannot perform metadata fetch operations with kv version v1".to_owned());
    }
    let key = checked(key)?;
    match &store.mount {
        Some(mount) => Ok(format!("{mount}/metadata/{}", below_mount(mount, key, "data/"))),
        None => with_part(&key.replacen("/data/", "/", 1), "metadata"),
    }
}

/// API path under which the names below a folder are listed. Empty or with a slash at its end.
///
/// # Errors
/// What is wrong with the folder, or that the store names no mount.
pub(super) fn list_path(store: &VaultStore, folder: &str) -> Result<String, String> {
    let Some(mount) = &store.mount else {
        return Err("find needs spec.provider.vault.path, the path of the KV mount".to_owned());
    };
    let part = if store.versioned { "/metadata/" } else { "/" };
    Ok(format!("{mount}{part}{folder}"))
}

/// API path of a secret that was listed.
pub(super) fn found_path(store: &VaultStore, name: &str) -> String {
    let mount = store.mount.as_deref().unwrap_or("");
    if store.versioned { format!("{mount}/data/{name}") } else { format!("{mount}/{name}") }
}

/// A key that leads nowhere but to itself, without a slash at its ends: ESO's client leaves those out, too.
pub(super) fn checked(key: &str) -> Result<&str, String> {
    let key = key.strip_prefix('/').unwrap_or(key);
    let key = key.strip_suffix('/').unwrap_or(key);
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    let is_wrong = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    if key.split('/').any(is_wrong) {
        return Err(format!("the key {key:?} has an empty segment, or one of dots"));
    }
    if key.chars().any(char::is_control) {
        return Err(format!("the key {key:?} has control characters"));
    }
    Ok(key)
}

/// A key without the mount, and the part of the API's path, that some repeat in it.
fn below_mount<'a>(mount: &str, key: &'a str, part: &str) -> &'a str {
    let below = key.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
    below.map_or(key, |rest| rest.strip_prefix(part).unwrap_or(rest))
}

/// A key with a part of the API's path after its first segment, unless it has it.
fn with_part(key: &str, part: &str) -> Result<String, String> {
    if key.contains(&format!("/{part}/")) {
        return Ok(key.to_owned());
    }
    match key.split_once('/') {
        Some((mount, rest)) => Ok(format!("{mount}/{part}/{rest}")),
        None => Err(format!("the key {key:?} has no mount before it, and the store names none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::VaultStore;

    fn path(mount: Option<&str>, versioned: bool, key: &str) -> Result<String, String> {
        data_path(&VaultStore::of_mount(mount, versioned), key)
    }

    #[test]
    fn a_mount_that_is_repeated_counts_once() {
        for (mount, versioned, key, expected) in [
            (Some("secret"), true, "foo", "secret/data/foo"),
            (Some("secret"), true, "secret/foo", "secret/data/foo"),
            (Some("secret"), true, "secret/data/foo", "secret/data/foo"),
            (Some("secret"), true, "/foo", "secret/data/foo"),
            (Some("secret"), true, "foo/", "secret/data/foo"),
            (Some("secret"), true, "data/foo", "secret/data/data/foo"),
            (Some("team/kv"), true, "team/kv/a/b", "team/kv/data/a/b"),
            (Some("secret"), false, "secret/foo", "secret/foo"),
            (Some("secret"), false, "foo", "secret/foo"),
            (None, true, "secret/foo", "secret/data/foo"),
            (None, true, "team/kv/data/foo", "team/kv/data/foo"),
            (None, false, "secret/foo", "secret/foo"),
        ] {
            assert_eq!(path(mount, versioned, key).as_deref(), Ok(expected), "{mount:?} {versioned} {key}");
        }
    }

    #[test]
    fn metadata_is_where_the_data_is() {
        for (mount, key, expected) in [
            (Some("secret"), "foo", "secret/metadata/foo"),
            (Some("secret"), "secret/foo", "secret/metadata/foo"),
            (Some("secret"), "secret/data/foo", "secret/metadata/foo"),
            (None, "secret/foo", "secret/metadata/foo"),
            (None, "team/kv/data/foo", "team/metadata/kv/foo"),
        ] {
            let found = metadata_path(&VaultStore::of_mount(mount, true), key);
            assert_eq!(found.as_deref(), Ok(expected), "{mount:?} {key}");
        }
        assert!(metadata_path(&VaultStore::of_mount(Some("secret"), false), "foo").is_err());
    }

    #[test]
    fn no_key_leads_out_of_its_mount() {
        for key in ["../sys/x", "a/../../sys/x", "a/./b", "a//b", "a//", "", "/", "//", "a\nb"] {
            assert!(path(Some("secret"), true, key).is_err(), "{key:?}");
        }
    }
}
