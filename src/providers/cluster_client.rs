//! Connections to the API servers of stores, kept while they are in use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::client::{Body, ClientBuilder};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::kubernetes::{ErrorKind, KubernetesError, SecretWriter, config_map_data, service_account_token};
use crate::resolve::{CaSource, ClusterLogin, ClusterStore, SecretKey};
use crate::vault::root_cause;

/// Lifetime of a service account's token, in seconds. ESO's.
const TOKEN_SECONDS: i64 = 3600;
/// A connection is made anew after this: a token, certificate or authority may have been replaced.
const CLIENT_TTL: Duration = Duration::from_secs(300);
/// So many connections are kept.
const MAX_CLIENTS: usize = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longer than a watch lives.
const QUIET_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest answer that is read. A Secret holds 1 MiB, a list has many.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// Why a cluster does not give what it is asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ClusterError {
    /// Not even a client could be made.
    pub unusable: bool,
    /// The status of the answer, if there is one.
    pub status: Option<u16>,
    message: String,
}

/// The connections, by what they are made from.
#[derive(Default)]
pub struct ClusterClients {
    known: Mutex<HashMap<ClusterStore, (Arc<ClusterClient>, Instant)>>,
}

/// A connection to an API server.
pub struct ClusterClient {
    client: kube::Client,
}

impl ClusterClients {
    /// The connection of a store, made at first use with what the operator's own cluster holds for it.
    pub async fn get(&self, own: &kube::Client, store: &ClusterStore) -> Result<Arc<ClusterClient>, ClusterError> {
        let now = Instant::now();
        if let Some((client, made)) = self.known.lock().get(store)
            && now.duration_since(*made) < CLIENT_TTL
        {
            return Ok(client.clone());
        }
        let client = Arc::new(ClusterClient {
            client: connect(own, store, REQUEST_TIMEOUT).await.map_err(ClusterError::unusable)?,
        });
        let mut known = self.known.lock();
        known.retain(|_, (_, made)| now.duration_since(*made) < CLIENT_TTL);
        if known.len() < MAX_CLIENTS {
            known.insert(store.clone(), (client.clone(), now));
        }
        Ok(client)
    }

    /// The connection of a store did not work: the next one is made anew.
    pub fn forget(&self, store: &ClusterStore) {
        self.known.lock().remove(store);
    }
}

impl ClusterClient {
    /// The answer to a request. `None`: there is no such object.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>, ClusterError> {
        let content = body.map(Value::to_string).unwrap_or_default();
        let request =
            Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, "application/json");
        let request =
            request.body(Body::from(content.into_bytes())).map_err(|error| ClusterError::failed(error.to_string()))?;
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, async {
            let answer = self.client.send(request).await.map_err(|error| ClusterError::failed(root_cause(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| ClusterError::failed(error.to_string()))?;
            Ok::<_, ClusterError>((status, body.to_bytes()))
        });
        let late = || ClusterError::failed(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()));
        let (status, body) = answer.await.map_err(|_| late())??;
        let parsed: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            return parsed.map(Some).ok_or_else(|| ClusterError::failed("the answer is no JSON".to_owned()));
        }
        // The message of a status never quotes a Secret.
        let message = parsed.as_ref().and_then(|status| status.get("message")?.as_str());
        let is_status =
            parsed.as_ref().is_some_and(|status| status.get("kind").and_then(Value::as_str) == Some("Status"));
        if status == StatusCode::NOT_FOUND && is_status {
            return Ok(None);
        }
        let message = message.filter(|_| is_status).map_or_else(|| format!("HTTP {}", status.as_u16()), str::to_owned);
        Err(ClusterError { unusable: false, status: Some(status.as_u16()), message })
    }
}

impl ClusterError {
    fn failed(message: String) -> Self {
        Self { unusable: false, status: None, message }
    }

    fn unusable(message: String) -> Self {
        Self { unusable: true, status: None, message }
    }

    /// Something other than the answer to a request was wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self::failed(message.into())
    }
}

/// A connection to the API server of a store on which a watch may be quiet. The caller keeps it no longer than its token lives.
pub async fn watching_client(own: &kube::Client, store: &ClusterStore) -> Result<kube::Client, ClusterError> {
    connect(own, store, QUIET_TIMEOUT).await.map_err(ClusterError::unusable)
}

async fn connect(own: &kube::Client, store: &ClusterStore, read_timeout: Duration) -> Result<kube::Client, String> {
    let mut config = match &store.login {
        ClusterLogin::Kubeconfig(key) => from_kubeconfig(&value(own, key).await?).await?,
        login => {
            let url = store.url.parse().map_err(|_| format!("server.url {:?} is no URL", store.url))?;
            let mut config = kube::Config::new(url);
            config.root_cert = authorities(own, &store.ca).await?;
            config.auth_info = credentials(own, login).await?;
            config
        }
    };
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(read_timeout);
    // The variable HTTPS_PROXY is for Vault.
    config.proxy_url = None;
    let builder = ClientBuilder::try_from(config).map_err(|error| root_cause(&error))?;
    Ok(builder.build())
}

async fn credentials(own: &kube::Client, login: &ClusterLogin) -> Result<AuthInfo, String> {
    let token = |token: SecretString| AuthInfo { token: Some(token), ..AuthInfo::default() };
    match login {
        ClusterLogin::Token(key) => {
            let text = text(own, key).await?;
            Ok(token(text.expose_secret().trim_end_matches(['\n', '\r']).into()))
        }
        ClusterLogin::ServiceAccount { id, audiences } => {
            let granted = service_account_token(own, &id.namespace, &id.name, audiences, TOKEN_SECONDS).await;
            Ok(token(granted.map_err(|error| error.to_string())?.token))
        }
        ClusterLogin::Certificate { certificate, key } => {
            let encode = |bytes: Vec<u8>| STANDARD.encode(bytes);
            Ok(AuthInfo {
                client_certificate_data: Some(encode(value(own, certificate).await?)),
                client_key_data: Some(encode(value(own, key).await?).into()),
                ..AuthInfo::default()
            })
        }
        ClusterLogin::Kubeconfig(_) => Ok(AuthInfo::default()),
    }
}

/// A kubeconfig of a tenant. It may name no file and no program of the operator's pod.
async fn from_kubeconfig(bytes: &[u8]) -> Result<kube::Config, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the kubeconfig is not text (UTF-8)")?;
    let file = Kubeconfig::from_yaml(text).map_err(|_| "the kubeconfig cannot be read".to_owned())?;
    let names_file = file.clusters.iter().filter_map(|c| c.cluster.as_ref()).any(|c| c.certificate_authority.is_some());
    let runs = file.auth_infos.iter().filter_map(|a| a.auth_info.as_ref()).any(|auth| {
        auth.exec.is_some()
            || auth.auth_provider.is_some()
            || auth.token_file.is_some()
            || auth.client_certificate.is_some()
            || auth.client_key.is_some()
    });
    if names_file || runs {
        let text = "the kubeconfig names a file or a program: it has to hold its certificates and credentials itself";
        return Err(text.to_owned());
    }
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    config.map_err(|error| root_cause(&error))
}

async fn authorities(own: &kube::Client, ca: &CaSource) -> Result<Option<Vec<Vec<u8>>>, String> {
    let pem = match ca {
        CaSource::System | CaSource::Skip | CaSource::File(_) => return Ok(None),
        CaSource::Text(pem) => pem.clone(),
        CaSource::Secret(id, key) => value(own, &SecretKey { id: id.clone(), key: key.clone() }).await?,
        CaSource::ConfigMap(id, key) => {
            let data = config_map_data(own, &id.namespace, &id.name).await.map_err(|error| error.to_string())?;
            let mut data = data.ok_or_else(|| {
                format!(
                    "cannot get Kubernetes configmap {:?} from namespace {:?}: it does not exist",
                    id.name, id.namespace
                )
            })?;
            data.remove(key).ok_or_else(|| format!("cannot find configmap data for key: {key:?}"))?.into_bytes()
        }
    };
    let certificates = CertificateDer::pem_slice_iter(&pem).map(|certificate| certificate.map(|c| c.to_vec()));
    let certificates =
        certificates.collect::<Result<Vec<_>, _>>().map_err(|_| "failed to parse certificates from CertPool")?;
    if certificates.is_empty() {
        return Err("failed to parse certificates from CertPool: there is none".to_owned());
    }
    Ok(Some(certificates))
}

/// The value of a key of a Secret. The texts of errors are ESO's.
async fn value(own: &kube::Client, key: &SecretKey) -> Result<Vec<u8>, String> {
    let SecretKey { id, key } = key;
    let missing =
        |why: &str| format!("cannot get Kubernetes secret {:?} from namespace {:?}: {why}", &*id.name, &*id.namespace);
    let found = SecretWriter::new(own, &id.namespace).get(&id.name).await;
    let secret = found.map_err(|error: KubernetesError| match error.kind {
        ErrorKind::Forbidden => missing("the operator may not read it"),
        _ => missing(&error.to_string()),
    })?;
    let secret = secret.ok_or_else(|| missing("it does not exist"))?;
    let value = secret.data.and_then(|mut data| data.remove(key));
    value.map(|value| value.0).ok_or_else(|| format!("cannot find secret data for key: {key:?} in secret {id}"))
}

async fn text(own: &kube::Client, key: &SecretKey) -> Result<SecretString, String> {
    let bytes = value(own, key).await?;
    String::from_utf8(bytes)
        .map(Into::into)
        .map_err(|_| format!("key {:?} of secret {} is not text (UTF-8)", key.key, key.id))
}
