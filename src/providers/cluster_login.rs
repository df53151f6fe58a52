//! How a connection to the API server of a store is made, from what the operator's own cluster holds for it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::client::ClientBuilder;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::kubernetes::{ErrorKind, NoValue, SecretWriter, config_map_data, service_account_token};
use crate::resolve::{CaSource, ClusterLogin, ClusterStore, SecretKey};
use crate::vault::root_cause;

/// Lifetime of a service account's token, in seconds. ESO's.
const TOKEN_SECONDS: i64 = 3600;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A kubeconfig holds a certificate or two; what is longer takes longer to read than one is worth.
const MAX_KUBECONFIG_BYTES: usize = 128 << 10;

/// Makes a connection, on which an answer may pause for so long. Nothing is sent to its server.
pub(super) async fn connect(
    own: &kube::Client,
    store: &ClusterStore,
    read_timeout: Duration,
) -> Result<kube::Client, String> {
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
    if bytes.len() > MAX_KUBECONFIG_BYTES {
        return Err(format!("the kubeconfig is longer than {} KiB", MAX_KUBECONFIG_BYTES >> 10));
    }
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
async fn value(own: &kube::Client, SecretKey { id, key }: &SecretKey) -> Result<Vec<u8>, String> {
    let missing =
        |why: &str| format!("cannot get Kubernetes secret {:?} from namespace {:?}: {why}", &*id.name, &*id.namespace);
    SecretWriter::new(own, &id.namespace).value(&id.name, key).await.map_err(|why| match why {
        NoValue::Unread(error) if error.kind == ErrorKind::Forbidden => missing("the operator may not read it"),
        NoValue::Unread(error) => missing(&error.to_string()),
        NoValue::NoSecret => missing("it does not exist"),
        NoValue::NoKey => format!("cannot find secret data for key: {key:?} in secret {id}"),
    })
}

async fn text(own: &kube::Client, key: &SecretKey) -> Result<SecretString, String> {
    let bytes = value(own, key).await?;
    String::from_utf8(bytes)
        .map(Into::into)
        .map_err(|_| format!("key {:?} of secret {} is not text (UTF-8)", key.key, key.id))
}
