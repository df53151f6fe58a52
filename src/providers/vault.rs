//! KV engines of Vault and OpenBao.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Map, Value};

use super::vault_path::{checked, data_path, found_path, list_path, metadata_path};
use super::{AT_ONCE, Found, MAX_FOUND, Provider, ProviderError, SMALL_WEIGHT_BYTES, Written};
use crate::api::external_secrets::MetadataPolicy;
use crate::api::external_secrets::push_secret::PushData;
use crate::api::external_secrets::remote::{Find, RemoteRef};
use crate::external_secret::Data;
use crate::external_secret::answers::Answer;
use crate::external_secret::push::PushRow;
use crate::external_secret::value::{self, Fields};
use crate::gocompat::template::Context;
use crate::resolve::VaultStore;
use crate::vault::{Envelope, ErrorKind, Identity, Read, ReadCache, Session, SessionError, SharedRead};

/// So many folders are listed at most by one entry of `dataFrom`.
const MAX_FOLDERS: usize = 1_000;

/// The reads that an object shares with others, kept from run to run. Stores with different logins share none.
pub type ReadsInUse = HashMap<(Identity, Read), Arc<SharedRead>>;

/// A KV engine, read with one login.
pub struct VaultProvider<'a> {
    /// The engine.
    pub store: &'a VaultStore,
    /// The login.
    pub session: Arc<Session>,
    /// The reads of all objects.
    pub cache: &'a ReadCache,
    /// Answers to requests that began earlier are too old.
    pub not_before: Instant,
    /// The reads of the last run.
    pub former: &'a ReadsInUse,
    /// The reads of this run.
    pub in_use: ReadsInUse,
    /// What they have given.
    pub known: Known,
}

/// What a store has given in one run, by path and version.
#[derive(Default)]
pub struct Known {
    fields: HashMap<Read, Arc<Fields>>,
    weight: usize,
    /// Why secrets that were read ahead gave nothing.
    failures: HashMap<Read, ProviderError>,
}

impl Known {
    fn add(&mut self, read: Read, members: Map<String, Value>) -> Arc<Fields> {
        let fields = Arc::new(Fields::new(members));
        self.weight += fields.weight();
        self.fields.insert(read, fields.clone());
        fields
    }
}

/// What is read of a secret.
#[derive(Clone, Copy)]
enum Part {
    /// Its members.
    Data,
    /// What the engine says about it.
    Metadata,
}

impl VaultProvider<'_> {
    /// The read of others, or a new one.
    fn share(&mut self, read: &Read) -> Arc<SharedRead> {
        let key = (self.session.identity, read.clone());
        let shared = match self.in_use.get(&key).or_else(|| self.former.get(&key)) {
            Some(shared) => shared.clone(),
            None => self.cache.share(self.session.identity, read.clone()),
        };
        self.in_use.insert(key, shared.clone());
        shared
    }

    /// Where a secret is read.
    fn place(&self, remote: &RemoteRef) -> Result<(Read, Part), ProviderError> {
        let namespace = self.store.namespace.clone();
        if remote.metadata_policy == Some(MetadataPolicy::Fetch) {
            let path = metadata_path(self.store, &remote.key).map_err(ProviderError::Unusable)?;
            return Ok((Read { namespace, path, version: None }, Part::Metadata));
        }
        let path = data_path(self.store, &remote.key).map_err(ProviderError::Unusable)?;
        let version =
            match remote.version.as_deref() {
                None => 0,
                Some(text) => text.parse().ok().filter(|version| *version >= 0).ok_or_else(|| {
                    ProviderError::Unusable(format!("version {text:?} is not the number of a version"))
                })?,
            };
        Ok((Read { namespace, path, version: self.store.versioned.then_some(version) }, Part::Data))
    }

    /// Reads, unless that was done in this run, and keeps the members of the answer.
    async fn look_up(&mut self, remote: &RemoteRef) -> Result<Arc<Fields>, ProviderError> {
        let (read, part) = self.place(remote)?;
        if let Some(fields) = self.known.fields.get(&read) {
            return Ok(fields.clone());
        }
        if let Some(failure) = self.known.failures.remove(&read) {
            return Err(failure);
        }
        let answer = self.share(&read).get(&self.session, self.not_before, None).await;
        let members = members_of(answer.map(|(envelope, _)| envelope), part, self.store.versioned, &read)?;
        Ok(self.known.add(read, members))
    }

    /// The paths of all secrets below a folder, relative to the mount.
    async fn names(&self, top: &str) -> Result<Vec<String>, ProviderError> {
        let (mut folders, mut names, mut listed) = (vec![top.to_owned()], vec![], 0);
        // What is in the folders of one depth is listed before those below.
        while !folders.is_empty() {
            let mut lists =
                stream::iter(std::mem::take(&mut folders)).map(|folder| self.list(top, folder)).buffered(AT_ONCE);
            while let Some((folder, keys)) = lists.try_next().await? {
                listed += 1;
                for name in keys {
                    let path = format!("{folder}{name}");
                    if name.ends_with('/') { folders.push(path) } else { names.push(path) }
                }
                // Before the first of them is read: that takes its time.
                if listed + folders.len() > MAX_FOLDERS || names.len() > MAX_FOUND {
                    let text = format!(
                        "there are more than {MAX_FOLDERS} folders or {MAX_FOUND} secrets: name less with find.path"
                    );
                    return Err(ProviderError::Unusable(text));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A folder, and what is in it. One below `top` may have gone since its parent was listed.
    async fn list(&self, top: &str, folder: String) -> Result<(String, Vec<String>), ProviderError> {
        let path = list_path(self.store, &folder).map_err(ProviderError::Unusable)?;
        let envelope = match self.session.list(&self.store.namespace, &path).await {
            Ok((envelope, _)) => envelope,
            Err(SessionError::Request(error)) if is_absent(&error) && folder != top => return Ok((folder, vec![])),
            Err(error) => return Err(not_found(error, &path, None)),
        };
        let Some(keys) = envelope.data.get("keys").and_then(Value::as_array) else {
            return Err(ProviderError::Unusable(format!("the answer of {path:?} is no list of keys")));
        };
        Ok((folder, keys.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    }

    /// A secret that was listed, as JSON, if it has the tags. It may have gone since.
    async fn found(
        &self,
        name: String,
        tags: Option<&BTreeMap<String, String>>,
    ) -> Result<Option<(String, Vec<u8>)>, ProviderError> {
        if let Some(tags) = tags
            && !self.has_tags(&name, tags).await?
        {
            return Ok(None);
        }
        // The names are those of the engine, whatever they begin with.
        let path = found_path(self.store, &name);
        let read = Read { namespace: self.store.namespace.clone(), path: path.clone(), version: None };
        let answer = self.session.read(&read, None).await.map(|(envelope, _)| envelope);
        match members_of(answer, Part::Data, self.store.versioned, &read) {
            Ok(members) => Ok(Some((name, Fields::new(members).json().as_bytes().to_vec()))),
            Err(ProviderError::NoSecret(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn has_tags(&self, name: &str, tags: &BTreeMap<String, String>) -> Result<bool, ProviderError> {
        let path = metadata_path(self.store, name).map_err(ProviderError::Unusable)?;
        let read = Read { namespace: self.store.namespace.clone(), path: path.clone(), version: None };
        match self.session.read(&read, None).await {
            Ok((envelope, _)) => {
                let found: BTreeMap<_, _> = custom_metadata(&envelope).collect();
                Ok(tags.iter().all(|(name, value)| found.get(name).and_then(|v| v.as_str()) == Some(value)))
            }
            Err(SessionError::Request(error)) if is_absent(&error) => Ok(false),
            Err(error) => Err(ProviderError::Vault(error)),
        }
    }
}

#[async_trait::async_trait]
impl Provider for VaultProvider<'_> {
    async fn read_ahead(&mut self, remotes: &[&RemoteRef]) {
        let mut places = HashMap::new();
        for (read, part) in remotes.iter().filter_map(|remote| self.place(remote).ok()) {
            if !self.known.fields.contains_key(&read) {
                places.insert(read, part);
            }
        }
        if places.len() < 2 {
            return;
        }
        let wanted: Vec<_> = places.into_iter().map(|(read, part)| (self.share(&read), read, part)).collect();
        let (session, not_before) = (&self.session, self.not_before);
        let mut answers = stream::iter(wanted)
            .map(|(shared, read, part)| async move { (shared.get(session, not_before, None).await, read, part) })
            .buffer_unordered(AT_ONCE);
        while let Some((answer, read, part)) = answers.next().await {
            match members_of(answer.map(|(envelope, _)| envelope), part, self.store.versioned, &read) {
                Ok(members) => drop(self.known.add(read, members)),
                Err(failure) => {
                    let is_over = !matches!(failure, ProviderError::NoSecret(_));
                    self.known.failures.insert(read, failure);
                    if is_over {
                        break;
                    }
                }
            }
            if self.known.weight > SMALL_WEIGHT_BYTES {
                break;
            }
        }
    }

    async fn get(&mut self, remote: &RemoteRef) -> Result<Answer<Vec<u8>>, ProviderError> {
        let (fields, property) = (self.look_up(remote).await?, remote.property.clone());
        let is_metadata = remote.metadata_policy == Some(MetadataPolicy::Fetch);
        Ok(Answer::new(move |context| value_of(&fields, property.as_deref(), is_metadata, context)))
    }

    async fn get_map(&mut self, remote: &RemoteRef) -> Result<Answer<Data>, ProviderError> {
        let (fields, property) = (self.look_up(remote).await?, remote.property.clone());
        let is_metadata = remote.metadata_policy == Some(MetadataPolicy::Fetch);
        Ok(Answer::new(move |context| {
            let value = value_of(&fields, property.as_deref(), is_metadata, context)?;
            value::extract(&value).map_err(|error| error.to_string())
        }))
    }

    async fn find(&mut self, find: &Find) -> Result<Data, ProviderError> {
        let regexp = super::name_pattern(find)?;
        if regexp.is_none() && find.tags.is_some() && !self.store.versioned {
            let text = "cannot perform find by tag operations with kv version v1";
            return Err(ProviderError::Unusable(text.to_owned()));
        }
        let folder = match find.path.as_deref().map(|path| path.trim_matches('/')).unwrap_or("") {
            "" => String::new(),
            path => format!("{}/", checked(path).map_err(ProviderError::Unusable)?),
        };
        let mut names = self.names(&folder).await?;
        // A regular expression goes before tags.
        let tags = if let Some(regexp) = &regexp {
            names.retain(|name| regexp.regex().is_match(name.as_bytes()));
            None
        } else {
            find.tags.as_ref()
        };
        let mut found = Found::default();
        let mut secrets = stream::iter(names).map(|name| self.found(name, tags)).buffered(AT_ONCE);
        while let Some(secret) = secrets.try_next().await? {
            if let Some((name, value)) = secret {
                found.add(name, value)?;
            }
        }
        drop(secrets);
        self.known.weight += found.bytes;
        Ok(found.data)
    }

    async fn write(&mut self, rows: &[&PushRow], only_new: bool) -> Result<Written, ProviderError> {
        self.push(rows, only_new).await
    }

    async fn delete(&mut self, entries: &[&PushData], kept: &BTreeSet<String>) -> Result<bool, ProviderError> {
        self.take_back(entries, kept).await
    }

    fn weight(&self) -> usize {
        self.known.weight
    }

    fn reads(&mut self) -> ReadsInUse {
        std::mem::take(&mut self.in_use)
    }
}

/// A property of a secret, or all of it.
fn value_of(
    fields: &Fields,
    property: Option<&str>,
    is_metadata: bool,
    context: &mut Context,
) -> Result<Vec<u8>, String> {
    if is_metadata && fields.is_empty() {
        return Ok(vec![]);
    }
    fields.get(context, property).map_err(|error| error.to_string())
}

/// The members of what an answer has.
fn members_of(
    answer: Result<impl Borrow<Envelope>, SessionError>,
    part: Part,
    versioned: bool,
    read: &Read,
) -> Result<Map<String, Value>, ProviderError> {
    let path = &read.path;
    let version = read.version.filter(|version| *version > 0);
    let answer = answer.map_err(|error| not_found(error, path, version))?;
    let envelope = answer.borrow();
    if let Part::Metadata = part {
        return Ok(metadata_of(envelope));
    }
    let holder = if versioned { envelope.data.get("data") } else { Some(&*envelope.data) };
    match holder {
        Some(Value::Object(members)) => Ok(members.clone()),
        Some(Value::Null) => {
            let which = version.map_or("the newest version".to_owned(), |version| format!("version {version}"));
            Err(ProviderError::NoSecret(format!("{which} of {path:?} is deleted or destroyed")))
        }
        None => Err(ProviderError::Unusable(format!("failed to find data field in the answer of {path:?}"))),
        Some(_) => Err(ProviderError::Unusable(format!("the data of {path:?} is no JSON object"))),
    }
}

fn metadata_of(envelope: &Envelope) -> Map<String, Value> {
    let mut members = Map::new();
    for name in ["created_time", "current_version", "delete_version_after"] {
        if let Some(value) = envelope.data.get(name) {
            members.insert(name.to_owned(), text(value));
        }
    }
    members.extend(custom_metadata(envelope).map(|(name, value)| (name.clone(), text(value))));
    members
}

fn custom_metadata(envelope: &Envelope) -> impl Iterator<Item = (&String, &Value)> {
    envelope.data.get("custom_metadata").and_then(Value::as_object).into_iter().flatten()
}

/// A value of the metadata as a text.
fn text(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        other => Value::String(other.to_string()),
    }
}

/// Whether an answer says that there is nothing at a path. A mount that is not there is told with a text.
pub(super) fn is_absent(error: &crate::vault::VaultError) -> bool {
    error.kind == ErrorKind::NotFound && error.message.is_empty()
}

fn not_found(error: SessionError, path: &str, version: Option<i64>) -> ProviderError {
    match error {
        SessionError::Request(error) if is_absent(&error) => {
            let what = version.map_or("nothing is".to_owned(), |version| format!("version {version} is not"));
            ProviderError::NoSecret(format!("Secret does not exist: {what} stored at {path:?}"))
        }
        error => ProviderError::Vault(error),
    }
}
