//! From a VaultConnection to what is needed to reach its server.

use std::time::Duration;

use super::{Denied, ObjectRef, SecretKey};
use crate::api::reference::is_object_name;
use crate::api::{CustomObject as _, Key, VaultConnection, VaultConnectionSpec};
use crate::gocompat::GoDuration;

/// A request that hangs holds a worker. Longer limits are cut to this, so that its failure is seen while the run goes
/// on.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Key of a Secret with authorities, where none is named.
pub(super) const CA_KEY: &str = "ca.crt";

/// Where the authorities for the server's certificate come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CaSource {
    /// The operating system.
    System,
    /// A key of a Secret.
    Secret(ObjectRef, String),
    /// A key of a ConfigMap.
    ConfigMap(ObjectRef, String),
    /// A PEM text.
    Text(Vec<u8>),
    /// A PEM file of the operator's pod.
    File(String),
    /// The certificate is not verified.
    Skip,
}

/// A checked VaultConnection, or the part of a store that says how its Vault is reached.
#[derive(Clone, Debug)]
pub struct ConnectionPlan {
    /// The object.
    pub key: Key,
    /// Its UID.
    pub uid: String,
    /// Its generation; with the UID it names one content of the spec.
    pub generation: i64,
    /// URL of the server.
    pub address: String,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Name to send and verify in TLS.
    pub tls_server_name: Option<String>,
    /// Authorities.
    pub ca: CaSource,
    /// What is shown to the server: a certificate and its key. Only stores have it.
    pub client_certificate: Option<(SecretKey, SecretKey)>,
    /// Limit of one request.
    pub timeout: Option<Duration>,
}

/// An address with a scheme. Whether the rest is a URL shows when a client is made for it.
fn address(text: &str) -> Result<&str, Denied> {
    let host = text.trim().trim_start_matches('/');
    if text.contains("://") {
        Ok(text)
    } else if host.is_empty() {
        Err(Denied::Invalid("spec.address is empty; set it to the URL of Vault, such as https://vault:8200".into()))
    } else {
        let (https, http) = (format!("https://{host}"), format!("http://{host}"));
        Err(Denied::Invalid(format!(
            "spec.address {text:?} has no scheme: write {https:?}, or {http:?} if Vault serves no TLS"
        )))
    }
}

/// What is told of a timeout that is longer than requests may take.
pub fn cut_timeout(spec: &VaultConnectionSpec) -> Option<String> {
    let text = spec.timeout.as_deref()?;
    let longer = GoDuration::parse(text).is_ok_and(|timeout| timeout.as_std() > MAX_REQUEST_TIMEOUT);
    let limit = MAX_REQUEST_TIMEOUT.as_secs();
    longer.then(|| format!("spec.timeout {text} counts as {limit} s: no request takes longer"))
}

/// Checks what can be checked of a connection without reaching for anything.
pub fn connection(object: &VaultConnection) -> Result<ConnectionPlan, Denied> {
    let meta = &object.metadata;
    let id = ObjectRef::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""));
    let spec = &object.spec;
    let ca = match (&spec.ca_cert_secret_ref, &spec.ca_cert_path) {
        (Some(_), Some(_)) => {
            let text =
                "invalid CA cert config: CACertPath and CACertSecretRef are mutually exclusive, only one can be set";
            return Err(Denied::Invalid(text.into()));
        }
        _ if spec.skip_tls_verify => CaSource::Skip,
        (Some(secret), None) if !is_object_name(secret) => {
            let text = format!("invalid CA cert config: caCertSecretRef {secret:?} is not the name of an object");
            return Err(Denied::Invalid(text));
        }
        (Some(secret), None) => {
            CaSource::Secret(ObjectRef::new(id.namespace.clone(), secret.as_str()), CA_KEY.to_owned())
        }
        (None, Some(path)) if path.contains("..") => {
            let text = format!("invalid CA cert config: path contains traversal sequence: {path:?}");
            return Err(Denied::Invalid(text));
        }
        (None, Some(path)) => CaSource::File(path.clone()),
        (None, None) => CaSource::System,
    };
    let timeout = match &spec.timeout {
        None => None,
        Some(text) => {
            let parsed = GoDuration::parse(text).map_err(|e| Denied::Invalid(format!("spec.timeout {text:?}: {e}")))?;
            // Zero means "no limit of its own" in Go's client; a hanging request would hold a worker for ever here.
            Some(parsed.as_std().min(MAX_REQUEST_TIMEOUT)).filter(|d| !d.is_zero())
        }
    };
    Ok(ConnectionPlan {
        uid: meta.uid.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        address: address(&spec.address)?.to_owned(),
        headers: spec.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        tls_server_name: spec.tls_server_name.clone(),
        ca,
        client_certificate: None,
        timeout,
        key: Key { kind: VaultConnection::KIND, id },
    })
}
