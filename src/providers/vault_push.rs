//! Writes to KV engines of Vault and OpenBao.
//!
//! A secret that was pushed carries ESO's mark in its custom metadata; one without it belongs to another client, and
//! stays as it is. Each write names the version that it replaces.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::vault::{VaultProvider, is_absent};
use super::vault_path::{data_path, metadata_path};
use super::{MAX_CONFLICTS, MAX_PUSH_BYTES, ProviderError, Written};
use crate::api::external_secrets::push_secret::PushData;
use crate::external_secret::push::{PushRow, Pushed};
use crate::vault::{ErrorKind, Read, SessionError, parse_json};

/// The member of the custom metadata that says whose a secret is. ESO's.
const MARK: (&str, &str) = ("managed-by", "external-secrets");
/// Where KV v1, which has no metadata, keeps it: beside the data.
const CUSTOM_METADATA: &str = "custom_metadata";
const NOT_OURS: &str = "secret not managed by external-secrets";

/// What is at a path.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    /// `None`: nothing, or a version that was deleted.
    members: Option<Map<String, Value>>,
    /// The version; zero where none was ever written, and with KV v1.
    version: i64,
    custom_metadata: Map<String, Value>,
}

/// What a secret has to be.
struct Wanted {
    members: Map<String, Value>,
    changed: bool,
    rows: Vec<Result<Pushed, String>>,
}

impl VaultProvider<'_> {
    /// See [`super::Provider::write`].
    pub(super) async fn push(&mut self, rows: &[&PushRow], only_new: bool) -> Result<Written, ProviderError> {
        let Some(first) = rows.first() else { return Ok(Written { changed: false, rows: vec![] }) };
        let key = &first.entry.r#match.remote_ref.remote_key;
        let path = data_path(self.store, key).map_err(ProviderError::Unusable)?;
        let mut found = self.find_secret(&path).await?;
        for _ in 0..MAX_CONFLICTS {
            let mut wanted = wanted(&found, rows, only_new, self.store.versioned);
            let is_pushed = wanted.rows.contains(&Ok(Pushed::Done));
            if !is_pushed || (!wanted.changed && found.is_marked()) {
                return Ok(Written { changed: false, rows: wanted.rows });
            }
            if found.members.is_some() && !found.is_marked() {
                let refused = |row: Result<Pushed, String>| match row {
                    Ok(Pushed::Done) => Err(NOT_OURS.to_owned()),
                    row => row,
                };
                wanted.rows = wanted.rows.into_iter().map(refused).collect();
                return Ok(Written { changed: false, rows: wanted.rows });
            }
            // Else a push that ends here would leave data that nothing tells from that of others.
            if self.store.versioned && !found.is_marked() {
                self.mark(key, &found).await?;
            }
            if let Err(error) = self.put(&path, &found, wanted.members).await {
                found = self.after_conflict(&path, &found, error).await?;
                continue;
            }
            return Ok(Written { changed: true, rows: wanted.rows });
        }
        Err(ProviderError::Unusable(format!("other clients write {path:?} all the time")))
    }

    /// See [`super::Provider::delete`].
    pub(super) async fn take_back(
        &mut self,
        entries: &[&PushData],
        kept: &BTreeSet<String>,
    ) -> Result<bool, ProviderError> {
        let Some(first) = entries.first() else { return Ok(false) };
        let key = &first.r#match.remote_ref.remote_key;
        let path = data_path(self.store, key).map_err(ProviderError::Unusable)?;
        let mut found = self.find_secret(&path).await?;
        for _ in 0..MAX_CONFLICTS {
            if !found.is_marked() || (found.members.is_none() && !kept.is_empty()) {
                return Ok(false);
            }
            let Some(rest) = rest(&found, entries, kept) else {
                self.delete_secret(key, &path, found.members.is_some()).await?;
                return Ok(true);
            };
            if found.members.as_ref() == Some(&rest) {
                return Ok(false);
            }
            match self.put(&path, &found, rest).await {
                Ok(()) => return Ok(true),
                Err(error) => found = self.after_conflict(&path, &found, error).await?,
            }
        }
        Err(ProviderError::Unusable(format!("other clients write {path:?} all the time")))
    }

    async fn find_secret(&self, path: &str) -> Result<Found, ProviderError> {
        let read = Read { namespace: self.store.namespace.clone(), path: path.to_owned(), version: None };
        match self.session.read(&read, None).await {
            Ok((envelope, _)) => found(&envelope.data, self.store.versioned, path).map_err(ProviderError::Unusable),
            Err(SessionError::Request(error)) if is_absent(&error) => Ok(Found::default()),
            Err(error) => Err(ProviderError::Vault(error)),
        }
    }

    async fn put(&self, path: &str, found: &Found, members: Map<String, Value>) -> Result<(), SessionError> {
        let body = match self.store.versioned {
            true => json!({ "data": members, "options": { "cas": found.version } }),
            false => {
                let mut body = members;
                body.insert(CUSTOM_METADATA.to_owned(), Value::Object(found.marked()));
                Value::Object(body)
            }
        };
        self.session.write(&self.store.namespace, path, &body).await.map(drop)
    }

    /// What is there now, if a write was refused because another client has written in between.
    async fn after_conflict(&self, path: &str, found: &Found, error: SessionError) -> Result<Found, ProviderError> {
        // Vault answers a version that is not the newest as it does any other bad request.
        if self.store.versioned && matches!(&error, SessionError::Request(e) if e.kind == ErrorKind::Invalid) {
            let now = self.find_secret(path).await?;
            if now.version != found.version {
                return Ok(now);
            }
        }
        Err(ProviderError::Vault(error))
    }

    /// Marks a secret that has no data. Custom metadata that it has already stays.
    async fn mark(&self, key: &str, found: &Found) -> Result<(), ProviderError> {
        let path = metadata_path(self.store, key).map_err(ProviderError::Unusable)?;
        let namespace = &self.store.namespace;
        let mut marked = found.marked();
        if found.version == 0 {
            // Where no data was ever written, the path of the data tells nothing.
            let read = Read { namespace: namespace.clone(), path: path.clone(), version: None };
            match self.session.read(&read, None).await {
                Ok((envelope, _)) => {
                    let known = envelope.data.get(CUSTOM_METADATA).and_then(Value::as_object).cloned();
                    marked = Found { custom_metadata: known.unwrap_or_default(), ..Found::default() }.marked();
                }
                // The right to read it is not needed.
                Err(SessionError::Request(error)) if is_absent(&error) || error.kind == ErrorKind::PermissionDenied => {
                }
                Err(error) => return Err(ProviderError::Vault(error)),
            }
        }
        let body = json!({ CUSTOM_METADATA: marked });
        self.session.write(namespace, &path, &body).await.map_err(ProviderError::Vault)?;
        Ok(())
    }

    async fn delete_secret(&self, key: &str, path: &str, has_data: bool) -> Result<(), ProviderError> {
        let namespace = &self.store.namespace;
        if has_data {
            self.session.delete(namespace, path).await.map_err(ProviderError::Vault)?;
        }
        if self.store.versioned {
            let metadata = metadata_path(self.store, key).map_err(ProviderError::Unusable)?;
            self.session.delete(namespace, &metadata).await.map_err(ProviderError::Vault)?;
        }
        Ok(())
    }
}

impl Found {
    fn is_marked(&self) -> bool {
        self.custom_metadata.get(MARK.0).and_then(Value::as_str) == Some(MARK.1)
    }

    fn marked(&self) -> Map<String, Value> {
        let mut marked = self.custom_metadata.clone();
        marked.insert(MARK.0.to_owned(), MARK.1.into());
        marked
    }
}

/// What an answer says of a secret.
fn found(data: &Value, versioned: bool, path: &str) -> Result<Found, String> {
    let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
    let unusable = || format!("the data of {path:?} is no JSON object");
    if !versioned {
        let mut members = object(Some(data)).ok_or_else(unusable)?;
        let custom_metadata = object(members.remove(CUSTOM_METADATA).as_ref()).unwrap_or_default();
        return Ok(Found { members: Some(members), version: 0, custom_metadata });
    }
    let metadata = object(data.get("metadata"));
    let metadata = metadata.ok_or_else(|| format!("the answer of {path:?} is not that of a KV version 2 mount"))?;
    let members = match data.get("data") {
        Some(Value::Null) => None,
        data => Some(object(data).ok_or_else(unusable)?),
    };
    let version = metadata.get("version").and_then(Value::as_i64).ok_or_else(unusable)?;
    Ok(Found { members, version, custom_metadata: object(metadata.get(CUSTOM_METADATA)).unwrap_or_default() })
}

/// What the rows make of a secret. Rows for all of it come before those for a property.
fn wanted(found: &Found, rows: &[&PushRow], only_new: bool, versioned: bool) -> Wanted {
    let known = found.members.clone().unwrap_or_default();
    let mut members = known.clone();
    let mut results: Vec<Result<Pushed, String>> = rows.iter().map(|_| Ok(Pushed::Existed)).collect();
    let mut bytes = 0;
    let property = |row: &PushRow| row.entry.r#match.remote_ref.property.clone();
    for of_properties in [false, true] {
        for (row, result) in rows.iter().zip(&mut results) {
            let property = property(row);
            if property.is_some() != of_properties {
                continue;
            }
            let exists = match &property {
                None => found.members.is_some(),
                Some(property) => known.get(property).is_some_and(|value| !value.is_null()),
            };
            if only_new && exists {
                continue;
            }
            bytes += row.payload.entries().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            *result = if bytes > MAX_PUSH_BYTES {
                Err(format!("more than {} MiB are pushed to one secret", MAX_PUSH_BYTES >> 20))
            } else {
                apply(&mut members, &known, row, property.as_deref(), versioned).map(|()| Pushed::Done)
            };
        }
    }
    let is_pushed = results.contains(&Ok(Pushed::Done));
    let changed = is_pushed && (found.members.is_none() || !equal_members(&known, &members));
    Wanted { members, changed, rows: results }
}

fn apply(
    members: &mut Map<String, Value>,
    known: &Map<String, Value>,
    row: &PushRow,
    property: Option<&str>,
    versioned: bool,
) -> Result<(), String> {
    let reserved = |name: &str| !versioned && name == CUSTOM_METADATA;
    let Some(property) = property else {
        let whole = match row.payload.value() {
            None => row.payload.members()?,
            Some(value) => object_of(row, value)?,
        };
        if whole.keys().any(|name| reserved(name)) {
            return Err(format!("{CUSTOM_METADATA:?} cannot be a key: KV version 1 has the mark of the push there"));
        }
        *members = whole;
        return Ok(());
    };
    if reserved(property) {
        return Err(format!("{CUSTOM_METADATA:?} cannot be a property: KV version 1 has the mark of the push there"));
    }
    if known.get(property).is_some_and(|value| !value.is_string() && !value.is_null()) {
        return Err(format!("error converting {property} to string: the store holds something else there"));
    }
    members.insert(property.to_owned(), Value::String(row.payload.text_of_property()?));
    Ok(())
}

/// The value of a key as the members of a secret. The error does not quote it.
fn object_of(row: &PushRow, value: &[u8]) -> Result<Map<String, Value>, String> {
    let key = row.entry.r#match.secret_key.as_deref().unwrap_or("");
    match parse_json(value) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(format!(
            "the value of secret key {key:?} is no JSON object: name remoteRef.property, under which it is pushed"
        )),
    }
}

/// What is left of a secret without what the entries have pushed. `None`: nothing.
fn rest(found: &Found, entries: &[&PushData], kept: &BTreeSet<String>) -> Option<Map<String, Value>> {
    let mut rest = found.members.clone()?;
    for entry in entries {
        match &entry.r#match.remote_ref.property {
            Some(property) => drop(rest.remove(property)),
            None if kept.is_empty() => return None,
            None => rest.retain(|property, _| kept.contains(property)),
        }
    }
    (!rest.is_empty() || !kept.is_empty()).then_some(rest)
}

/// Whether a secret has these members. Vault makes numbers floats, so their form does not count.
fn equal_members(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let has_equal = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| equal(value, other));
    one.len() == other.len() && one.iter().all(has_equal)
}

/// Values are nested no deeper than an answer may be.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => equal_members(one, other),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests;
