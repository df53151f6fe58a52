//! From a SecretStore or ClusterSecretStore to how it is reached, for the objects of one namespace.

mod access;
mod authority;
mod cloud;
mod login;
mod origin;
mod plan;
mod store_login;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{CaSource, ConnectionPlan, Denied, LoginOwner};
use crate::api::external_secrets::generator::VaultGenerator;
use crate::api::external_secrets::kubernetes::{KubernetesAuth, KubernetesProvider};
use crate::api::external_secrets::secret_store::{Provider, StoreCondition, StoreRef};
use crate::api::external_secrets::vault::{KvVersion, VaultProvider};
use crate::api::external_secrets::{ClusterSecretStore, ExternalSecret, SecretStore, StoreKind};
use crate::api::{CustomObject, Key, ObjectRef};
use crate::gocompat::GoDuration;

pub use access::{check_conditions, selects};
use authority::ca_source;
use origin::Origin;
pub use origin::SecretKey;
pub use plan::{ClusterLogin, ClusterStore, StorePlan, StoreSource, VaultStore};

/// Where stores are found, and what decides about their use.
pub trait StoreLookup {
    /// The SecretStore of that name, if it exists.
    fn secret_store(&self, id: &ObjectRef) -> Option<Arc<SecretStore>>;
    /// The ClusterSecretStore of that name, if it exists.
    fn cluster_secret_store(&self, id: &ObjectRef) -> Option<Arc<ClusterSecretStore>>;
    /// The SecretStores of a namespace.
    fn secret_stores_in(&self, namespace: &str) -> Vec<Arc<SecretStore>>;
    /// All ClusterSecretStores.
    fn cluster_secret_stores(&self) -> Vec<Arc<ClusterSecretStore>>;
    /// Whether ClusterSecretStores are served: an operator that is confined to namespaces does not see them.
    fn serves_cluster_stores(&self) -> bool;
    /// The labels of a namespace, if it exists.
    fn namespace_labels(&self, namespace: &str) -> Option<BTreeMap<String, String>>;
    /// The class of this operator: stores of another one are left alone.
    fn controller_class(&self) -> &str;
}

/// The shortest time between two checks of a store.
const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often a store is to be checked. `None`: it says nothing of it.
///
/// # Errors
/// What is wrong with `spec.refreshInterval`.
pub fn check_interval(value: Option<&Value>) -> Result<Option<Duration>, Denied> {
    let invalid = |value: &Value| {
        let text = format!("invalid refreshInterval {value}: it is a number of seconds, or a duration such as 5m");
        Denied::Invalid(text)
    };
    let interval = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(value @ Value::Number(seconds)) => Duration::from_secs(seconds.as_u64().ok_or_else(|| invalid(value))?),
        Some(value @ Value::String(text)) => {
            let parsed = GoDuration::parse(text).ok().filter(|parsed| parsed.0 >= 0);
            parsed.ok_or_else(|| invalid(value))?.as_std()
        }
        Some(value) => return Err(invalid(value)),
    };
    Ok((!interval.is_zero()).then(|| interval.max(MIN_CHECK_INTERVAL)))
}

/// Which stores an ExternalSecret reads.
pub fn store_refs(object: &ExternalSecret) -> impl Iterator<Item = &StoreRef> {
    let spec = &object.spec;
    let rows = spec.data.iter().filter_map(|row| row.source_ref.as_ref()?.store_ref.as_ref());
    let maps = spec.data_from.iter().filter_map(|entry| entry.source_ref.as_ref()?.store_ref.as_ref());
    spec.secret_store_ref.iter().chain(rows).chain(maps)
}

/// The store that a reference from a namespace means.
pub fn store_key(reference: &StoreRef, namespace: &str) -> Key {
    let name = reference.name.as_deref().unwrap_or("");
    match &reference.kind {
        Some(StoreKind::ClusterSecretStore) => Key { kind: ClusterSecretStore::KIND, id: ObjectRef::new("", name) },
        _ => Key { kind: SecretStore::KIND, id: ObjectRef::new(namespace, name) },
    }
}

/// Whether an ExternalSecret reads a store.
pub fn uses_store(object: &ExternalSecret, store: &Key) -> bool {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    store_refs(object).any(|reference| store_key(reference, namespace) == *store)
}

/// The store of a reference, for an object of `namespace`. `None`: another operator serves it.
///
/// # Errors
/// Why it cannot be used, in ESO's words where ESO has some.
pub fn store_of(reference: &StoreRef, namespace: &str, lookup: &impl StoreLookup) -> Result<Option<StorePlan>, Denied> {
    let key = store_key(reference, namespace);
    let name = &key.id.name;
    if let Some(StoreKind::Unknown(kind)) = &reference.kind
        && !kind.is_empty()
    {
        return Err(Denied::Reference(format!(
            "secretStoreRef.kind {kind:?} is neither SecretStore nor ClusterSecretStore"
        )));
    }
    if name.is_empty() {
        return Err(Denied::Reference("secretStoreRef has no name".into()));
    }
    if key.kind == ClusterSecretStore::KIND {
        if !lookup.serves_cluster_stores() {
            let text = format!("could not get ClusterSecretStore {name:?}, this operator watches some namespaces only");
            return Err(Denied::NotAllowed(text));
        }
        let Some(store) = lookup.cluster_secret_store(&key.id) else {
            let text = format!(
                "could not get ClusterSecretStore {name:?}, clustersecretstores.external-secrets.io {name:?} not found"
            );
            return Err(Denied::Missing(text));
        };
        if is_foreign(store.spec.controller.as_deref(), lookup) {
            return Ok(None);
        }
        admits(&store.spec.conditions, name, namespace, lookup)?;
        return cluster_secret_store(&store, namespace).map(Some);
    }
    let Some(store) = lookup.secret_store(&key.id) else {
        let text = format!(
            "could not get SecretStore {name:?}, secretstores.external-secrets.io {name:?} not found in namespace \
             {namespace:?}"
        );
        return Err(Denied::Missing(text));
    };
    if is_foreign(store.spec.controller.as_deref(), lookup) { Ok(None) } else { secret_store(&store).map(Some) }
}

/// Whether a store is of the class of another operator.
pub fn is_foreign(class: Option<&str>, lookup: &impl StoreLookup) -> bool {
    class.is_some_and(|class| class != lookup.controller_class())
}

/// Whether the owner of a ClusterSecretStore allows a namespace to use it.
fn admits(conditions: &[StoreCondition], name: &str, namespace: &str, lookup: &impl StoreLookup) -> Result<(), Denied> {
    if conditions.is_empty() {
        return Ok(());
    }
    let labels = lookup.namespace_labels(namespace);
    for condition in conditions {
        if access::admits(condition, namespace, labels.as_ref()).map_err(Denied::Invalid)? {
            return Ok(());
        }
    }
    let text =
        format!("using cluster store {name:?} is not allowed from namespace {namespace:?}: denied by spec.condition");
    Err(Denied::NotAllowed(text))
}

/// How a SecretStore is reached.
///
/// # Errors
/// What of it cannot work.
pub fn secret_store(store: &SecretStore) -> Result<StorePlan, Denied> {
    let namespace = store.metadata.namespace.as_deref().unwrap_or("");
    let origin = Origin { key: store.key(), meta: &store.metadata, consumer: namespace };
    plan(&origin, &store.spec.provider)
}

/// How a ClusterSecretStore is reached for the objects of a namespace; empty for a look at the store alone.
///
/// # Errors
/// What of it cannot work.
pub fn cluster_secret_store(store: &ClusterSecretStore, namespace: &str) -> Result<StorePlan, Denied> {
    let origin = Origin { key: store.key(), meta: &store.metadata, consumer: namespace };
    plan(&origin, &store.spec.provider)
}

/// The Vault of a generator. What it names is in its own namespace, as with a SecretStore.
///
/// # Errors
/// What of it cannot work.
pub fn vault_of_generator(object: &VaultGenerator) -> Result<VaultStore, Denied> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let origin = Origin { key: object.key(), meta: &object.metadata, consumer: namespace };
    vault_store(&origin, &object.spec.provider).map(|(vault, _)| vault)
}

fn plan(origin: &Origin<'_>, provider: &Provider) -> Result<StorePlan, Denied> {
    let others = provider.others.keys().map(String::as_str);
    let known = [provider.vault.as_ref().map(|_| "vault"), provider.kubernetes.as_ref().map(|_| "kubernetes")];
    let named: Vec<&str> = known.into_iter().flatten().chain(others).collect();
    let [_] = named[..] else {
        let text = format!("secret stores must only have exactly one backend specified, found {}", named.len());
        return Err(Denied::Invalid(text));
    };
    let (source, is_referent) = match (&provider.vault, &provider.kubernetes) {
        (Some(vault), _) => {
            let (store, is_referent) = vault_store(origin, vault)?;
            (StoreSource::Vault(Box::new(store)), is_referent)
        }
        (None, Some(kubernetes)) => {
            let (store, is_referent) = cluster_store(origin, kubernetes)?;
            (StoreSource::Kubernetes(Box::new(store)), is_referent)
        }
        (None, None) => {
            let text = format!("provider {:?} is not served: this operator serves vault and kubernetes", named[0]);
            return Err(Denied::Invalid(text));
        }
    };
    let (uid, generation) = (origin.meta.uid.clone().unwrap_or_default(), origin.meta.generation.unwrap_or(0));
    Ok(StorePlan { key: origin.key.clone(), uid, generation, source, is_referent })
}

fn vault_store(origin: &Origin<'_>, vault: &VaultProvider) -> Result<(VaultStore, bool), Denied> {
    let member = "spec.provider.vault";
    if !vault.server.contains("://") {
        let text = format!("{member}.server {:?} is no URL: it begins with http:// or https://", vault.server);
        return Err(Denied::Invalid(text));
    }
    let versioned = match vault.version.as_ref().unwrap_or(&KvVersion::V2) {
        KvVersion::V1 => false,
        KvVersion::V2 => true,
        KvVersion::Unknown(other) => {
            return Err(Denied::Invalid(format!("{member}.version {other:?} is neither v1 nor v2")));
        }
    };
    if vault.tls.cert_secret_ref.is_some() != vault.tls.key_secret_ref.is_some() {
        return Err(Denied::Invalid(format!("{member}.tls needs both certSecretRef and keySecretRef, or neither")));
    }
    if vault.headers.keys().any(|name| name.eq_ignore_ascii_case("x-vault-token")) {
        return Err(Denied::Invalid(format!("{member}.headers: X-Vault-Token cannot be set")));
    }
    let namespace = vault.namespace.as_deref().unwrap_or("").trim_matches('/').to_owned();
    let client_certificate = match (&vault.tls.cert_secret_ref, &vault.tls.key_secret_ref) {
        (Some(certificate), Some(key)) => Some(origin.certificate(certificate, key, &format!("{member}.tls"))?),
        _ => None,
    };
    let connection = ConnectionPlan {
        key: origin.key.clone(),
        uid: origin.meta.uid.clone().unwrap_or_default(),
        generation: origin.meta.generation.unwrap_or(0),
        address: vault.server.clone(),
        headers: vault.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        tls_server_name: None,
        client_certificate,
        ca: ca_source(origin, vault.ca_bundle.as_deref(), vault.ca_provider.as_ref(), member)?,
        timeout: None,
    };
    let (login, is_referent) = login::login(origin, vault.auth.as_ref(), connection, &namespace)?;
    let mount = vault.path.as_deref().map(|path| path.trim_matches('/').to_owned()).filter(|path| !path.is_empty());
    let owner = LoginOwner {
        kind: origin.key.kind,
        id: origin.key.id.clone(),
        uid: login.connection.uid.clone(),
        generation: login.connection.generation,
    };
    Ok((VaultStore { owner, login, namespace, mount, versioned }, is_referent))
}

fn cluster_store(origin: &Origin<'_>, kubernetes: &KubernetesProvider) -> Result<(ClusterStore, bool), Denied> {
    let member = "spec.provider.kubernetes";
    let namespace = kubernetes.remote_namespace.clone().unwrap_or_else(|| "default".to_owned());
    if let Some(selector) = &kubernetes.auth_ref {
        let key = origin.secret_key(selector, &format!("{member}.authRef"), None)?;
        let is_referent = origin.is_cluster_store() && selector.namespace.is_none();
        let login = ClusterLogin::Kubeconfig(key);
        return Ok((ClusterStore { url: String::new(), ca: CaSource::System, login, namespace }, is_referent));
    }
    let Some(server) = &kubernetes.server else {
        return Err(Denied::Invalid("no server URL provided".into()));
    };
    let url = server.url.as_deref().unwrap_or("kubernetes.default");
    let url = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let ca = ca_source(origin, server.ca_bundle.as_deref(), server.ca_provider.as_ref(), &format!("{member}.server"))?;
    let (login, named) = match kubernetes.auth.as_ref() {
        Some(KubernetesAuth { token: Some(token), .. }) => {
            let selector = &token.bearer_token;
            let key = origin.secret_key(selector, &format!("{member}.auth.token.bearerToken"), None)?;
            (ClusterLogin::Token(key), selector.namespace.is_some())
        }
        Some(KubernetesAuth { service_account: Some(account), .. }) => {
            let member = format!("{member}.auth.serviceAccount");
            let namespace = origin.namespace_of(account.namespace.as_deref(), &member)?;
            let id = ObjectRef::new(namespace, account.name.as_str());
            let login = ClusterLogin::ServiceAccount { id, audiences: account.audiences.clone() };
            (login, account.namespace.is_some())
        }
        Some(KubernetesAuth { cert: Some(cert), .. }) => {
            let certificate = origin.secret_key(&cert.client_cert, &format!("{member}.auth.cert.clientCert"), None)?;
            let key = origin.secret_key(&cert.client_key, &format!("{member}.auth.cert.clientKey"), None)?;
            let named = cert.client_cert.namespace.is_some() && cert.client_key.namespace.is_some();
            (ClusterLogin::Certificate { certificate, key }, named)
        }
        _ => return Err(Denied::Invalid("no auth provider given".into())),
    };
    Ok((ClusterStore { url, ca, login, namespace }, origin.is_cluster_store() && !named))
}
