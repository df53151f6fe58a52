//! Vault tokens that outlive the process, in Secrets of the operator's namespace. Names, labels and data are VSO's,
//! so that either takes up what the other has left.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::json;

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError, Revision, SecretWriter};
use crate::api::{CustomObject as _, VaultAuth};
use crate::mac::MacKey;
use crate::resolve::AuthPlan;

/// What selects them.
const SELECTOR: &str = "app.kubernetes.io/name=vault-secrets-operator,app.kubernetes.io/managed-by=vso,app.kubernetes.io/component=client-cache-storage";
const PREFIX: &str = "vso-cc-";
const DATA: &str = "secret";
const MAC: &str = "messageMAC";
const TRANSIT_REF: &str = "vaultTransitRef";
/// An addition: VSO ignores it. Changes with every setting that determines the login, those of a VaultAuthGlobal
/// included.
const LOGIN: &str = "vso.secrets.hashicorp.com/login-mac";
/// An addition: the kind of the store that stands in the place of a VaultAuth.
const STORE_KIND: &str = "vso.secrets.hashicorp.com/store-kind";
/// How often a Secret that is in the way is deleted before giving up.
const ATTEMPTS: usize = 5;

/// A stored client as it was found; nothing of it is to be trusted before [`StoredClient::is_authentic`].
pub struct StoredClient {
    /// Which version of which Secret.
    pub revision: Revision,
    /// The VaultAuth whose Transit key it is encrypted with; `None`: it is not encrypted.
    pub transit_ref: Option<String>,
    /// MAC of the login that it is for; VSO writes none.
    pub login: Option<String>,
    /// The content.
    pub data: SecretSlice<u8>,
    key: String,
    mac: Vec<u8>,
}

/// A client to be stored.
pub struct NewClient<'a> {
    /// VSO's cache key.
    pub key: &'a str,
    /// The login.
    pub plan: &'a AuthPlan,
    /// UID of the object that the credential belongs to.
    pub credential_uid: &'a str,
    /// The VaultAuth whose Transit key it is encrypted with.
    pub transit_ref: Option<&'a str>,
    /// MAC of the login.
    pub login: &'a str,
    /// The content.
    pub data: &'a [u8],
}

/// What the labels of a stored client say of it.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredFor {
    /// VSO's cache key.
    pub key: String,
    /// Whether it is for a store.
    pub of_store: bool,
    /// UID and generation of the VaultAuth, or the store.
    pub auth: (String, i64),
    /// UID and generation of the VaultConnection.
    pub connection: (String, i64),
    /// Namespace of the credential and of the objects that use it.
    pub provider_namespace: String,
}

/// Reads and writes stored clients.
pub struct ClientStorage {
    api: Api<Secret>,
    secrets: SecretWriter,
    namespace: String,
}

impl StoredClient {
    /// What a Secret has under a key.
    pub fn read(key: &str, secret: Secret) -> Self {
        let labels = secret.metadata.labels.as_ref();
        let label = |name: &str| labels.and_then(|labels| labels.get(name));
        // A client that says that it is encrypted, but not with which key, is of no use.
        let encrypted = label("encrypted").is_some_and(|v| v == "true") || label(TRANSIT_REF).is_some();
        let transit_ref = encrypted.then(|| label(TRANSIT_REF).cloned().unwrap_or_default());
        let login = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LOGIN).cloned());
        let mut data = secret.data.unwrap_or_default();
        let mut take = |entry| data.remove(entry).map(|bytes| bytes.0).unwrap_or_default();
        Self {
            revision: Revision::of(&secret.metadata),
            transit_ref,
            login,
            data: take(DATA).into(),
            key: key.to_owned(),
            mac: take(MAC),
        }
    }

    /// Whether it was stored, as it is and for this key, by a process that has the HMAC key.
    pub fn is_authentic(&self, mac_key: &MacKey) -> bool {
        mac_key.verify_bytes(&message(&name(&self.key), &self.key, self.data.expose_secret()), &self.mac)
    }
}

impl StoredFor {
    /// Reads the labels; `None` if they are not those of a stored client.
    pub fn read(meta: &ObjectMeta) -> Option<Self> {
        let labels = meta.labels.as_ref()?;
        let text = |label: &str| labels.get(label).cloned();
        Some(Self {
            key: text("cacheKey").filter(|key| meta.name.as_deref() == Some(&name(key)))?,
            of_store: labels.contains_key(STORE_KIND),
            auth: (text("auth/UID")?, text("auth/generation")?.parse().ok()?),
            connection: (text("connection/UID")?, text("connection/generation")?.parse().ok()?),
            provider_namespace: text("provider/namespace")?,
        })
    }
}

impl ClientStorage {
    /// Those in `namespace`, the operator's own.
    pub fn new(client: &kube::Client, namespace: &str) -> Self {
        let secrets = SecretWriter::new(client, namespace);
        Self { api: Api::namespaced(client.clone(), namespace), secrets, namespace: namespace.to_owned() }
    }

    /// The client that is stored under a key.
    pub async fn get(&self, key: &str) -> Result<Option<StoredClient>, KubernetesError> {
        Ok(self.secrets.get(&name(key)).await?.map(|secret| StoredClient::read(key, secret)))
    }

    /// Stores a client, in place of the one that is there.
    pub async fn put(&self, new: &NewClient<'_>, mac_key: &MacKey) -> Result<(), KubernetesError> {
        let name = name(new.key);
        let secret: Secret = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels(new), "annotations": { LOGIN: new.login } },
            "immutable": true,
            "type": "Opaque",
        }))
        .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))?;
        let mac = mac_key.mac_of_bytes(&message(&name, new.key, new.data));
        let data = [(DATA, new.data.to_vec()), (MAC, mac.to_vec())];
        let data = data.into_iter().map(|(entry, bytes)| (entry.to_owned(), ByteString(bytes))).collect();
        let secret = Secret { data: Some(data), ..secret };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let what = format!("create Secret {}/{name}", self.namespace);
        let mut attempts = 1..ATTEMPTS;
        loop {
            match with_timeout(&what, self.api.create(&params, &secret)).await {
                // It cannot be changed: its data is immutable.
                Err(error) if error.kind == ErrorKind::Conflict && attempts.next().is_some() => {
                    self.delete(new.key).await?;
                }
                result => return result.map(drop),
            }
        }
    }

    /// Deletes what is stored under a key, whichever version it is.
    pub async fn delete(&self, key: &str) -> Result<(), KubernetesError> {
        let what = format!("delete Secret {}/{}", self.namespace, name(key));
        match with_timeout(&what, self.api.delete(&name(key), &Default::default())).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes this version of what is stored under a key.
    pub async fn delete_revision(&self, key: &str, revision: &Revision) -> Result<(), KubernetesError> {
        self.secrets.delete(&name(key), revision).await
    }

    /// How many clients are stored, and deletes those that `keep` does not want. Gives how many are left and how many
    /// were deleted.
    pub async fn retain(&self, keep: impl Fn(&StoredFor) -> bool) -> Result<(usize, usize), KubernetesError> {
        let all = self.secrets.list(SELECTOR).await?;
        let total = all.len();
        let unwanted = all.into_iter().filter(|meta| !StoredFor::read(meta).is_some_and(|stored| keep(&stored)));
        let mut deleted = 0;
        for meta in unwanted {
            self.secrets.delete(meta.name.as_deref().unwrap_or(""), &Revision::of(&meta)).await?;
            deleted += 1;
        }
        Ok((total - deleted, deleted))
    }
}

fn name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// What the MAC is over.
fn message<'a>(name: &'a str, key: &'a str, data: &'a [u8]) -> [&'a [u8]; 3] {
    [name.as_bytes(), key.as_bytes(), data]
}

fn labels(new: &NewClient<'_>) -> BTreeMap<&'static str, String> {
    let (auth, connection) = (&new.plan.owner, &new.plan.login.connection);
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name", "vault-secrets-operator".to_owned()),
        ("app.kubernetes.io/managed-by", "vso".to_owned()),
        ("app.kubernetes.io/component", "client-cache-storage".to_owned()),
        ("cacheKey", new.key.to_owned()),
        ("auth/namespace", auth.id.namespace.to_string()),
        ("auth/UID", auth.uid.clone()),
        ("auth/generation", auth.generation.to_string()),
        ("connection/namespace", connection.key.id.namespace.to_string()),
        ("connection/UID", connection.uid.clone()),
        ("connection/generation", connection.generation.to_string()),
        ("provider/namespace", new.plan.login.credential_namespace.clone()),
        ("provider/UID", new.credential_uid.to_owned()),
    ]);
    if auth.kind != VaultAuth::KIND {
        labels.insert(STORE_KIND, auth.kind.as_str().to_owned());
    }
    if let Some(auth) = new.transit_ref {
        labels.insert("encrypted", "true".to_owned());
        labels.insert(TRANSIT_REF, auth.to_owned());
    }
    labels
}
