//! The HTTP client of one Vault server: one connection pool, its trust, its headers, its time limit.
//!
//! `vaultrs` brings typed requests; they travel through this transport by way of `rustify`'s public [`Client`](rustify::client::Client) trait,
//! because the stock client can neither take a CA from memory, nor set a server name, headers or a path prefix.

mod adapter;
mod upgrade;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Url};
use rustify::endpoint::Endpoint;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::{ErrorKind, VaultError};
use adapter::ApplyOptions;

pub(super) use upgrade::{Opened, Socket};

/// Longest answer that is read, in bytes. Vault itself refuses request bodies over 32 MiB and a Secret holds 1 MiB.
const LONGEST_ANSWER: usize = 32 * 1024 * 1024;
/// Vault's own API client waits this long for an answer.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How the server's certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// By the certificate authorities of the operating system.
    System,
    /// Only by these authorities (PEM).
    Pem(Vec<u8>),
    /// Not at all (`skipTLSVerify`).
    InsecureSkipVerify,
}

/// All that decides how a Vault server is spoken to. Two `VaultConnection` objects with equal content share a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `http` or `https` URL, path prefix allowed.
    pub address: String,
    /// How the certificate is judged.
    pub trust: Trust,
    /// Name to send (SNI) and to verify instead of the host of the address.
    pub tls_server_name: Option<String>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Limit of one request; 60 s if unset.
    pub timeout: Option<Duration>,
}

impl ServerConfig {
    /// Hash of the content, with every field length-prefixed so that no two configurations collide by concatenation.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        add(self.address.as_bytes());
        match &self.trust {
            Trust::System => add(b"system"),
            Trust::InsecureSkipVerify => add(b"anything"),
            Trust::Pem(pem) => add(pem),
        }
        add(self.tls_server_name.as_deref().unwrap_or("").as_bytes());
        add(&self.timeout.unwrap_or(DEFAULT_TIMEOUT).as_nanos().to_be_bytes());
        for (name, value) in &self.headers {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        hash.finalize().into()
    }
}

/// One connection pool. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    http: reqwest::Client,
    /// Scheme, authority and path prefix of the address, then `/v1`.
    root: String,
    headers: HeaderMap,
    /// The true `host[:port]` where the URL carries the server name for TLS in its place.
    host_header: Option<HeaderValue>,
}

impl Transport {
    /// Checks the configuration and builds the client; nothing is sent.
    pub fn new(config: &ServerConfig) -> Result<Self, VaultError> {
        let invalid = |message: String| VaultError::new(ErrorKind::Invalid, "", message);
        let mut base = Url::parse(&config.address)
            .map_err(|e| invalid(format!("address {:?} is not a URL: {e}", config.address)))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
            return Err(invalid(format!(
                "address {:?} must be http://host[:port] or https://host[:port]",
                config.address
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name: HeaderName = name.parse().map_err(|_| invalid(format!("header name {name:?} is not valid")))?;
            if name == "x-vault-namespace" {
                return Err(invalid("setting header \"X-Vault-Namespace\" on VaultConnection is not permitted".into()));
            }
            let value = HeaderValue::from_str(value).map_err(|_| {
                invalid(format!("the value of header {name} has characters that a header cannot carry"))
            })?;
            headers.append(name, value);
        }

        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("vso/", env!("CARGO_PKG_VERSION")))
            .redirect(upgrade::redirects())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout.unwrap_or(DEFAULT_TIMEOUT))
            .pool_idle_timeout(Duration::from_secs(50));
        match &config.trust {
            Trust::System => {}
            Trust::InsecureSkipVerify => builder = builder.tls_danger_accept_invalid_certs(true),
            Trust::Pem(pem) => {
                let certificates = Certificate::from_pem_bundle(pem)
                    .map_err(|_| invalid("no valid certificates found in CA cert data".into()))?;
                if certificates.is_empty() {
                    return Err(invalid("no valid certificates found in CA cert data".into()));
                }
                builder = builder.tls_certs_only(certificates);
            }
        }

        let mut host_header = None;
        if let (Some(name), "https") = (&config.tls_server_name, base.scheme()) {
            // rustls takes the name to send and to verify from the URL. So the URL carries that name, and the resolver
            // answers for it with the addresses of the true host.
            let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = base.port_or_known_default().unwrap_or(443);
            let mut authority = base.host_str().unwrap_or_default().to_owned();
            if let Some(port) = base.port() {
                let _ = write!(authority, ":{port}");
            }
            host_header =
                Some(HeaderValue::from_str(&authority).map_err(|_| invalid("address has no usable host".into()))?);
            base.set_host(Some(name)).map_err(|e| invalid(format!("tlsServerName {name:?} is not valid: {e}")))?;
            // A proxy would be chosen by that name, and would look for it.
            builder = builder.no_proxy().dns_resolver(std::sync::Arc::new(FixedHost { host, port }));
        }
        let http = builder.build().map_err(|e| invalid(root_cause(&e)))?;
        let mut root = base.origin().ascii_serialization();
        for segment in base.path().split('/').filter(|s| !s.is_empty()) {
            let _ = write!(root, "/{segment}");
        }
        root.push_str("/v1");
        Ok(Self { http, root, headers, host_header })
    }

    /// The URL of an API path: the prefix of the address, `/v1/`, then the segments of `path`, each escaped.
    /// Doubled and trailing slashes vanish, as in Vault's own client.
    fn url(&self, path: &str, query: Option<&str>) -> Result<Uri, VaultError> {
        let mut url = self.root.clone();
        for segment in path.trim_start_matches(['\t', '/']).split('/').filter(|s| !s.is_empty()) {
            if segment == "." || segment == ".." {
                return Err(VaultError::new(ErrorKind::Invalid, path, "a path must not contain \".\" or \"..\""));
            }
            url.push('/');
            escape(segment, &mut url);
        }
        if let Some(query) = query {
            let _ = write!(url, "?{query}");
        }
        url.parse().map_err(|e| VaultError::new(ErrorKind::Invalid, path, format!("not a valid path: {e}")))
    }

    /// Sends one request and reads the whole answer, whatever its status.
    async fn round_trip(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let mut request =
            self.http.request(parts.method, parts.uri.to_string()).headers(self.headers.clone()).headers(parts.headers);
        if let Some(host) = &self.host_header {
            request = request.header(http::header::HOST, host);
        }
        receive(request.body(body).send().await?).await
    }
}

/// Reads a whole answer, up to [`LONGEST_ANSWER`].
async fn receive(mut answer: reqwest::Response) -> Result<Response<Vec<u8>>, reqwest::Error> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    while let Some(chunk) = answer.chunk().await? {
        if response.body().len() + chunk.len() > LONGEST_ANSWER {
            *response.status_mut() = http::StatusCode::INSUFFICIENT_STORAGE;
            response.body_mut().clear();
            break;
        }
        response.body_mut().extend_from_slice(&chunk);
    }
    Ok(response)
}

impl Transport {
    /// Sends a typed request with the token and in the Vault namespace given. Any HTTP status is an answer.
    pub(super) async fn ask<E: Endpoint>(
        &self,
        endpoint: E,
        call: &RequestOptions<'_>,
    ) -> Result<Response<Vec<u8>>, VaultError> {
        let path = endpoint.path().trim_matches(['\t', '/']).to_owned();
        let query = endpoint.query().map_err(|e| VaultError::new(ErrorKind::Invalid, &path, root_cause(&e)))?;
        let decorate = ApplyOptions { uri: self.url(&path, query.as_deref())?, headers: call.headers(&path)? };
        match endpoint.with_middleware(&decorate).exec(self).await {
            Ok(result) => Ok(result.response),
            Err(error) => Err(network_error(&path, &error)),
        }
    }
}

/// What one request carries beside its path and body.
#[derive(Clone, Copy, Default)]
pub(super) struct RequestOptions<'a> {
    pub token: Option<&'a SecretString>,
    pub namespace: Option<&'a str>,
    pub headers: &'a [(String, String)],
}

impl RequestOptions<'_> {
    fn headers(&self, path: &str) -> Result<HeaderMap, VaultError> {
        let refuse =
            |what: &str| VaultError::new(ErrorKind::Invalid, path, format!("{what} cannot be sent as a header"));
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let name: HeaderName = name.parse().map_err(|_| refuse(&format!("header name {name:?}")))?;
            headers.insert(name.clone(), HeaderValue::from_str(value).map_err(|_| refuse(name.as_str()))?);
        }
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = self.namespace.filter(|n| !n.is_empty()) {
            headers.insert(
                "x-vault-namespace",
                HeaderValue::from_str(namespace).map_err(|_| refuse("the Vault namespace"))?,
            );
        }
        if let Some(token) = self.token {
            let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| refuse("the token"))?;
            value.set_sensitive(true);
            headers.insert("x-vault-token", value);
        }
        Ok(headers)
    }
}

/// Resolves any name to the addresses of one host.
struct FixedHost {
    host: String,
    port: u16,
}

impl Resolve for FixedHost {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Tells a failed handshake from a server that does not answer.
fn network_error(path: &str, error: &(dyn std::error::Error + 'static)) -> VaultError {
    let fault = if is_tls(error) { ErrorKind::Tls } else { ErrorKind::Unreachable };
    VaultError::new(fault, path, root_cause(error))
}

/// Whether TLS is among the causes. An [`std::io::Error`] hides what it wraps: its source is the source of that.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|wrapped| is_tls(wrapped)) || error.source().is_some_and(is_tls)
}

/// The innermost cause of an error: the outer ones of the HTTP stack only say that sending failed.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Percent-encodes one path segment (RFC 3986 `pchar` stays).
fn escape(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$&+,;=:@!*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(address: &str) -> Transport {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = ServerConfig {
            address: address.into(),
            trust: Trust::System,
            tls_server_name: None,
            headers: vec![],
            timeout: None,
        };
        Transport::new(&config).unwrap()
    }

    #[test]
    fn urls_are_built_as_vaults_own_client_builds_them() {
        let url = |address: &str, path: &str| transport(address).url(path, None).unwrap().to_string();
        assert_eq!(url("http://v:8200", "secret/data/a"), "http://v:8200/v1/secret/data/a");
        assert_eq!(url("https://proxy/vault/", "/kv//a/"), "https://proxy/vault/v1/kv/a");
        assert_eq!(url("https://[::1]:8200", "kv/a b?#"), "https://[::1]:8200/v1/kv/a%20b%3F%23");
        assert_eq!(url("https://v", "\t/auth/token/renew-self"), "https://v/v1/auth/token/renew-self");
        assert!(transport("http://v").url("kv/../sys/mounts", None).is_err());
    }

    #[test]
    fn values_that_cannot_be_headers_are_errors_and_not_panics() {
        let bad = SecretString::from("s.to\nken");
        assert!(RequestOptions { token: Some(&bad), ..RequestOptions::default() }.headers("p").is_err());
        assert!(RequestOptions { namespace: Some("a\nb"), ..RequestOptions::default() }.headers("p").is_err());
    }

    #[test]
    fn a_failed_handshake_is_found_however_deep_it_is_wrapped() {
        use std::io::{Error, ErrorKind};
        let tls = || Error::new(ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert!(is_tls(&tls()));
        assert!(is_tls(&Error::other(Error::other(tls()))));
        assert!(!is_tls(&Error::other(Error::from(ErrorKind::ConnectionRefused))));
    }

    #[test]
    fn a_wrong_address_is_an_error_that_names_it() {
        for address in ["", "vault:8200", "ftp://vault", "http://"] {
            let config = ServerConfig {
                address: address.into(),
                trust: Trust::System,
                tls_server_name: None,
                headers: vec![],
                timeout: None,
            };
            let error = Transport::new(&config).err().expect("refused").to_string();
            assert!(error.contains("address"), "{error}");
        }
    }
}
