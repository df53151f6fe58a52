//! The destination Secret. Compared before it is written; written under a precondition; never taken from its owner.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::{MAC_ANNOTATION, RENDERED_ANNOTATION};
use crate::api::{Destination, GROUP, VERSION, VaultStaticSecret};
use crate::cluster::{ClusterError, Dress, ErrorKind, SecretIndex, SecretWriter, Seen, changed_at};
use crate::render::{MacKey, SecretData};
use crate::resolve::ObjectRef;

const OWNER_LABELS: [(&str, &str); 3] = [
    ("app.kubernetes.io/managed-by", "hashicorp-vso"),
    ("app.kubernetes.io/name", "vault-secrets-operator"),
    ("app.kubernetes.io/component", "secret-sync"),
];
const OWNER_UID_LABEL: &str = "secrets.hashicorp.com/vso-ownerRefUID";
/// A Secret that somebody else writes at the same time is looked at so many times before the rest is left to a retry.
const ATTEMPTS: usize = 4;

/// What the Secret has to be.
pub struct Wanted<'a> {
    /// The object that owns it.
    pub object: &'a VaultStaticSecret,
    /// All keys and values.
    pub data: &'a SecretData,
    /// MAC of `data`.
    pub mac: &'a str,
    /// For [`RENDERED_ANNOTATION`].
    pub rendered: Option<&'a str>,
    /// Key of the MACs.
    pub key: &'a MacKey,
    /// Workloads are restarted for new content.
    pub restarts: bool,
    /// `status.secretMAC`: the content whose restarts are all done.
    pub recorded: Option<&'a str>,
    /// The object's spec, labels or annotations changed since it was last applied, so labels, annotations and type are
    /// looked at too and not only the data.
    pub respecified: bool,
}

/// A version of the Secret that is known to hold certain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version.
    pub seen: Seen,
    /// MAC of its data.
    pub mac: String,
    /// Its [`MAC_ANNOTATION`].
    pub annotation: Option<String>,
}

/// How a sync ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Synced {
    /// The Secret as it is now.
    pub applied: Applied,
    /// It had to be written.
    pub wrote: bool,
    /// What it held before.
    pub before: Before,
}

/// What a Secret held before a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// The wanted data already.
    Same {
        /// The [`MAC_ANNOTATION`] with it.
        annotation: Option<String>,
        /// When the Secret was last changed, in seconds since the epoch, as far as that is known.
        changed: Option<i64>,
    },
    /// Other data, or there was no Secret.
    Other,
}

impl Synced {
    /// Of a Secret that is known to be as it has to be.
    pub fn unchanged(applied: Applied) -> Self {
        let before = Before::Same { annotation: applied.annotation.clone(), changed: None };
        Synced { applied, wrote: false, before }
    }
}

/// Why a destination was not synced.
#[derive(Debug)]
pub enum DestinationError {
    /// It belongs to somebody else, or does not exist and must not be created.
    Refused(String),
    /// It does not exist and must not be created.
    Missing(String),
    /// It holds content, with this MAC, whose restarts are not known to be done, and is to hold the content that is
    /// recorded as done, or the first to be recorded. Written like that, no trace would be left of what is owed to targets
    /// that were restarted in between; so this content has to be recorded first.
    Unsettled(String),
    /// The API server did not do it.
    Cluster(ClusterError),
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DestinationError::Refused(text) | DestinationError::Missing(text) => f.write_str(text),
            DestinationError::Unsettled(_) => f.write_str("the restarts for its former content are not recorded"),
            DestinationError::Cluster(error) => error.fmt(f),
        }
    }
}

impl From<ClusterError> for DestinationError {
    fn from(error: ClusterError) -> Self {
        DestinationError::Cluster(error)
    }
}

/// Makes the Secret what it has to be. `applied` is what this process knows of it from an earlier run.
///
/// Costs nothing if it is the known version with the wanted data, one write if the version is known or the Secret is new,
/// and one read more if somebody touched it or this process has not seen it yet.
pub async fn sync(
    writer: &SecretWriter,
    index: &SecretIndex,
    wanted: &Wanted<'_>,
    applied: Option<&Applied>,
) -> Result<Synced, DestinationError> {
    let spec = &wanted.object.spec.destination;
    let namespace = wanted.object.metadata.namespace.as_deref().unwrap_or("");
    let id = ObjectRef::new(namespace, spec.name.as_str());

    // A Secret that is not ours to create carries no labels, so no watch tells of it: it is always read.
    let seen = if spec.create { index.get(&id) } else { None };
    let known = applied.filter(|applied| seen.as_ref() == Some(&applied.seen) && !wanted.respecified);
    if let Some(applied) = known.filter(|applied| applied.mac == wanted.mac) {
        return Ok(Synced::unchanged(applied.clone()));
    }
    // On the heap, since almost every run has ended by now.
    Box::pin(change(writer, index, wanted, (&id, seen.as_ref(), known))).await
}

/// The rest of [`sync`]: the Secret `id` is not known to be what it has to be. `seen` is its version, if a watch tells of
/// it, and `known` what that version holds.
async fn change(
    writer: &SecretWriter,
    index: &SecretIndex,
    wanted: &Wanted<'_>,
    (id, seen, known): (&ObjectRef, Option<&Seen>, Option<&Applied>),
) -> Result<Synced, DestinationError> {
    let spec = &wanted.object.spec.destination;
    let dress = spec.create.then(|| dress(wanted));
    if spec.create {
        match (seen, known) {
            (Some(seen), Some(applied)) => {
                if applied.annotation.as_ref() == Some(&applied.mac) {
                    settled(wanted, &applied.mac)?;
                }
                match writer.replace(&spec.name, seen, dress.as_ref(), wanted.data.as_map()).await {
                    Ok(new) => return Ok(written(index, id, new, wanted, Before::Other)),
                    Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            (None, _) => match create(writer, spec, wanted, dress.as_ref()).await {
                Ok(new) => return Ok(written(index, id, new, wanted, Before::Other)),
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            },
            _ => {}
        }
    }

    for _ in 0..ATTEMPTS {
        let Some(current) = writer.get(&spec.name).await? else {
            if !spec.create {
                let text = format!("destination secret {id} does not exist, and create=false");
                return Err(DestinationError::Missing(text));
            }
            match create(writer, spec, wanted, dress.as_ref()).await {
                Ok(new) => return Ok(written(index, id, new, wanted, Before::Other)),
                Err(error) if error.kind == ErrorKind::Conflict => continue,
                Err(error) => return Err(error.into()),
            }
        };
        let seen = Seen::of(&current.metadata);
        let annotation = current.metadata.annotations.as_ref().and_then(|a| a.get(MAC_ANNOTATION)).cloned();
        let same_data = same_data(&current, wanted.data);
        let before = match same_data {
            true => Before::Same { annotation: annotation.clone(), changed: changed_at(&current.metadata) },
            false => Before::Other,
        };
        let mut ours = true;
        if let Some(dress) = &dress {
            ours = owned(&current, dress);
            let labelled = OWNER_LABELS.iter().all(|(key, value)| label(&current, key) == Some(value));
            if !ours && (!spec.overwrite || labelled) {
                return Err(DestinationError::Refused(refusal(&current, dress, id)));
            }
            if current.type_.as_deref().unwrap_or("Opaque") != type_of(spec) {
                // The type of a Secret cannot be changed, only another Secret be put in its place.
                writer.delete(&spec.name, &seen).await?;
                let new = create(writer, spec, wanted, Some(dress)).await?;
                return Ok(written(index, id, new, wanted, before));
            }
        }
        if ours
            && !same_data
            && let Some(held) = written_here(&current, annotation.as_deref(), wanted.key)
        {
            settled(wanted, &held)?;
        }
        let same_dress = match &dress {
            Some(dress) if !ours => {
                debug_assert!(spec.overwrite);
                dress_of(&current) == *dress
            }
            Some(dress) if wanted.respecified => same_but_mac(&dress_of(&current), dress),
            _ => true,
        };
        if same_data && same_dress {
            let applied = Applied { seen: seen.clone(), mac: wanted.mac.to_owned(), annotation };
            if spec.create {
                index.note(id, &seen, name(wanted));
            }
            return Ok(Synced { applied, wrote: false, before });
        }
        match writer.replace(&spec.name, &seen, dress.as_ref(), wanted.data.as_map()).await {
            Ok(new) => return Ok(written(index, id, new, wanted, before)),
            Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let text = format!("destination secret {id} is being changed by somebody else at the same time");
    Err(DestinationError::Cluster(ClusterError::new(ErrorKind::Conflict, text)))
}

/// Deletes the Secrets that this object has created under another name. Returns how many there were.
pub async fn delete_orphans(writer: &SecretWriter, object: &VaultStaticSecret) -> Result<usize, ClusterError> {
    let uid = object.metadata.uid.as_deref().unwrap_or("");
    let mut selector: String = OWNER_LABELS.iter().map(|(key, value)| format!("{key}={value},")).collect();
    selector.push_str(&format!("{OWNER_UID_LABEL}={uid}"));
    let mut deleted = 0;
    for meta in writer.list(&selector).await? {
        let name = meta.name.as_deref().unwrap_or("");
        let owners = meta.owner_references.as_deref().unwrap_or(&[]);
        if name != object.spec.destination.name && json!(owners) == json!([owner(object)]) {
            writer.delete(name, &Seen::of(&meta)).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

async fn create(
    writer: &SecretWriter,
    spec: &Destination,
    wanted: &Wanted<'_>,
    dress: Option<&Dress>,
) -> Result<Seen, ClusterError> {
    let Some(dress) = dress else {
        return Err(ClusterError::new(ErrorKind::Invalid, "create=false"));
    };
    writer.create(&spec.name, type_of(spec), dress, wanted.data.as_map()).await
}

/// Whether content of ours, with the MAC `held`, may be replaced without a trace of it.
fn settled(wanted: &Wanted<'_>, held: &str) -> Result<(), DestinationError> {
    let other = wanted.recorded.is_some_and(|recorded| recorded == held || recorded != wanted.mac);
    if other || !wanted.restarts { Ok(()) } else { Err(DestinationError::Unsettled(held.to_owned())) }
}

/// The MAC of what a Secret holds, if this operator has written it. Whoever else changes the data leaves the annotation
/// as it is, or takes it off.
fn written_here(secret: &Secret, annotation: Option<&str>, key: &MacKey) -> Option<String> {
    let data = secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    annotation.filter(|mac| key.verify(&data, mac)).map(str::to_owned)
}

fn written(index: &SecretIndex, id: &ObjectRef, seen: Seen, wanted: &Wanted<'_>, before: Before) -> Synced {
    let create = wanted.object.spec.destination.create;
    if create {
        index.note(id, &seen, name(wanted));
    }
    let annotation = create.then(|| wanted.mac.to_owned());
    let applied = Applied { seen, mac: wanted.mac.to_owned(), annotation };
    Synced { applied, wrote: true, before }
}

fn name<'a>(wanted: &Wanted<'a>) -> &'a str {
    wanted.object.metadata.name.as_deref().unwrap_or("")
}

fn type_of(spec: &Destination) -> &str {
    spec.type_.as_deref().unwrap_or("Opaque")
}

fn owner(object: &VaultStaticSecret) -> serde_json::Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "VaultStaticSecret",
        "name": object.metadata.name,
        "uid": object.metadata.uid,
    })
}

fn dress(wanted: &Wanted<'_>) -> Dress {
    let spec = &wanted.object.spec.destination;
    let mut labels = spec.labels.clone();
    labels.extend(OWNER_LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels.insert(OWNER_UID_LABEL.to_owned(), wanted.object.metadata.uid.clone().unwrap_or_default());
    let mut annotations = spec.annotations.clone();
    annotations.insert(MAC_ANNOTATION.to_owned(), wanted.mac.to_owned());
    if let Some(rendered) = wanted.rendered {
        annotations.insert(RENDERED_ANNOTATION.to_owned(), rendered.to_owned());
    }
    Dress { labels, annotations, owner: owner(wanted.object) }
}

fn dress_of(secret: &Secret) -> Dress {
    let owners = secret.metadata.owner_references.as_deref().unwrap_or(&[]);
    Dress {
        labels: secret.metadata.labels.clone().unwrap_or_default(),
        annotations: secret.metadata.annotations.clone().unwrap_or_default(),
        owner: match owners {
            [one] => json!(one),
            several => json!(several),
        },
    }
}

/// Equal but for the annotations with MACs, which are not worth a write of their own.
fn same_but_mac(have: &Dress, want: &Dress) -> bool {
    let without = |dress: &Dress| -> BTreeMap<String, String> {
        dress
            .annotations
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), MAC_ANNOTATION | RENDERED_ANNOTATION))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    have.labels == want.labels && have.owner == want.owner && without(have) == without(want)
}

fn label<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn owned(secret: &Secret, dress: &Dress) -> bool {
    let labels = OWNER_LABELS.map(|(key, _)| key);
    labels.iter().chain([&OWNER_UID_LABEL]).all(|key| label(secret, key) == dress.labels.get(*key).map(String::as_str))
        && json!(secret.metadata.owner_references.as_deref().unwrap_or(&[])) == json!([dress.owner])
}

/// Upstream's words, so that whoever looks for them finds them.
fn refusal(secret: &Secret, dress: &Dress, id: &ObjectRef) -> String {
    let mut text = String::new();
    for (key, _) in OWNER_LABELS {
        if label(secret, key) != dress.labels.get(key).map(String::as_str) {
            text.push_str(&format!("invalid owner label, key={key}, present={}; ", label(secret, key).is_some()));
        }
    }
    match secret.metadata.owner_references.as_deref().unwrap_or(&[]) {
        [] => text.push_str(&format!("secret {id} has no ownerReferences; ")),
        refs => {
            let names: Vec<String> = refs.iter().map(|r| format!("{}/{}", r.kind, r.name)).collect();
            text.push_str(&format!("invalid ownerReferences, refs={}; ", names.join(",")));
        }
    }
    text.push_str(&format!("not the owner of the destination Secret {id}"));
    text.push_str(
        "; set spec.destination.overwrite to take over a Secret that no VaultStaticSecret owns, or choose another name",
    );
    text
}

fn same_data(secret: &Secret, data: &SecretData) -> bool {
    let have = secret.data.as_ref();
    let want = data.as_map();
    have.map_or(0, BTreeMap::len) == want.len()
        && have.into_iter().flatten().all(|(key, value)| want.get(key) == Some(&value.0))
}
