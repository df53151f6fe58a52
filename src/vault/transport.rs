//! The HTTP client of one Vault server: one connection pool, its trust, its headers, its time limit.
//!
//! `vaultrs` brings typed requests, which tell as an [`Endpoint`] what is sent where. They travel through this
//! transport, because the stock client can neither take a CA from memory, nor set a server name, headers or a path
//! prefix.

mod connection;
mod connector;
mod error;
mod long_answers;
mod options;
mod proxy;
mod redirect;
mod tls;
mod upgrade;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::Url;
use rustify::endpoint::Endpoint;
use rustify::errors::ClientError;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

use super::{ErrorKind, VaultError};
use connector::Connector;
use error::{TransportError, network_error};
use proxy::Proxies;
use redirect::RedirectError;
use tls::{SystemAuthorities, Tls};

pub(super) use connection::Connection;
pub(crate) use error::root_cause;
pub(crate) use long_answers::{LongAnswers, LongAnswersOfServer, ReceiveError, Turn};
pub(super) use options::RequestOptions;
pub(super) use upgrade::{Opened, Socket};

/// Longest answer that is read. A Secret holds 1 MiB, which can be more in JSON.
pub(crate) const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// An answer that is longer takes its turn.
const SMALL_ANSWER_BYTES: usize = 64 * 1024;
/// Vault's own API client waits this long for an answer.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);
const USER_AGENT: &str = concat!("vso/", env!("CARGO_PKG_VERSION"));

/// How the server's certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The certificate authorities of the operating system are trusted.
    System,
    /// Only these authorities (PEM) are trusted.
    Pem(Vec<u8>),
    /// Certificates are not verified (`skipTLSVerify`).
    InsecureSkipVerify,
}

/// All that decides how a Vault server is spoken to. Two `VaultConnection` objects with equal content share a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `http` or `https` URL, path prefix allowed.
    pub address: String,
    /// How the certificate is judged.
    pub trust: Trust,
    /// Name or IP address that the certificate must have, sent as SNI too, instead of the host of the address. It does
    /// not change where a connection leads.
    pub tls_server_name: Option<String>,
    /// What the operator shows to a server that asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Limit of one request; 60 s if unset.
    pub timeout: Option<Duration>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, and those between it and an authority (PEM).
    pub chain: Vec<u8>,
    /// The private key (PEM).
    pub key: SecretSlice<u8>,
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
            Trust::Pem(pem) => {
                add(b"pem");
                add(pem);
            }
        }
        add(self.tls_server_name.as_deref().unwrap_or("").as_bytes());
        if let Some(ClientCertificate { chain, key }) = &self.client_certificate {
            add(chain);
            add(key.expose_secret());
        }
        add(&self.timeout.unwrap_or(DEFAULT_TIMEOUT).as_nanos().to_be_bytes());
        for (name, value) in &self.headers {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        hash.finalize().into()
    }
}

/// What the servers of the process share. Cheap to clone.
#[derive(Clone, Default)]
pub struct SharedResources {
    authorities: SystemAuthorities,
    long_answers: LongAnswers,
}

#[cfg(test)]
impl SharedResources {
    /// How many more answers may be long.
    pub fn free_turns(&self) -> usize {
        self.long_answers.free()
    }
}

/// One connection pool. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    http: Client<Connector, Full<Bytes>>,
    proxies: Arc<Proxies>,
    /// Scheme, authority and path prefix of the address, then `/v1`.
    root: String,
    headers: HeaderMap,
    timeout: Duration,
    long_answers: LongAnswersOfServer,
}

impl Transport {
    /// Checks the configuration and builds the client; nothing is sent.
    pub fn new(config: &ServerConfig, shared: &SharedResources) -> Result<Self, VaultError> {
        Self::with_proxies(config, shared, Proxies::from_environment())
    }

    fn with_proxies(config: &ServerConfig, shared: &SharedResources, proxies: Proxies) -> Result<Self, VaultError> {
        let invalid = |message: String| VaultError::new(ErrorKind::Invalid, "", message);
        let base = Url::parse(&config.address)
            .map_err(|e| invalid(format!("address {:?} is not a URL: {e}", config.address)))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none_or(str::is_empty) {
            return Err(invalid(format!(
                "address {:?} must be http://host[:port] or https://host[:port]",
                config.address
            )));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
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
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        let name = config.tls_server_name.clone().map(|name| {
            let bare = name.trim_matches(['[', ']']).to_owned();
            ServerName::try_from(bare).map_err(|_| {
                invalid(format!("tlsServerName {name:?} is not valid: it must be a DNS name or an IP address"))
            })
        });
        let proxies = Arc::new(proxies);
        let timeout = config.timeout.unwrap_or(DEFAULT_TIMEOUT);
        // A connection that is not made in time is no answer that is late: it has the shorter limit.
        let connect_timeout = CONNECT_TIMEOUT.min(timeout.mul_f64(0.8));
        let tls =
            Tls::new(&config.trust, config.client_certificate.as_ref(), shared.authorities.clone()).map_err(invalid)?;
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build(Connector::new(tls, name.transpose()?, proxies.clone(), connect_timeout));
        let mut root = base.origin().ascii_serialization();
        for segment in base.path().split('/').filter(|s| !s.is_empty()) {
            let _ = write!(root, "/{segment}");
        }
        root.push_str("/v1");
        let long_answers = LongAnswersOfServer::new(shared.long_answers.clone());
        Ok(Self { http, proxies, root, headers, timeout, long_answers })
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

    async fn in_time<T>(&self, exchange: impl Future<Output = Result<T, TransportError>>) -> Result<T, TransportError> {
        let result = tokio::time::timeout(self.timeout, exchange).await;
        result.unwrap_or(Err(TransportError::TimedOut(self.timeout)))
    }

    /// Sends a request, and once more to where a redirect leads. The answer is whatever comes then; the [`Connection`]
    /// that it came by is among its extensions.
    async fn exchange(
        &self,
        method: Method,
        mut target: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, TransportError> {
        let mut redirected = false;
        loop {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = target.clone();
            *request.headers_mut() = headers.clone();
            if target.scheme_str() == Some("http")
                && let Some(authorization) = self.proxies.of(&target).and_then(|proxy| proxy.authorization.clone())
            {
                request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization);
            }
            let connection = Connection(capture_connection(&mut request));
            let mut answer = self.http.request(request).await?;
            connection.give_up_if_old();
            match redirect::target(&target, answer.status(), answer.headers())? {
                None => {
                    answer.extensions_mut().insert(connection);
                    return Ok(answer);
                }
                Some(_) if redirected => return Err(RedirectError::Again.into()),
                Some(there) => (target, redirected) = (there, true),
            }
        }
    }

    /// Reads a whole answer. The turn of a long one is among the extensions.
    async fn receive<B>(&self, answer: Response<B>) -> Result<Response<Vec<u8>>, TransportError>
    where
        B: Body<Data = Bytes> + Unpin,
        TransportError: From<B::Error>,
    {
        let (mut parts, body) = answer.into_parts();
        let (bytes, turn) = self.long_answers.receive(body).await.map_err(|error| match error {
            ReceiveError::Body(error) => error.into(),
            ReceiveError::TooLong => TransportError::TooLong,
            ReceiveError::GaveWay => TransportError::GaveWay,
        })?;
        if let Some(turn) = turn {
            parts.extensions.insert(Arc::new(turn));
        }
        Ok(Response::from_parts(parts, bytes))
    }
}

impl Transport {
    /// Sends a typed request, whose path this is, with the token and in the Vault namespace given. Any HTTP status is
    /// an answer.
    pub(super) async fn ask<E: Endpoint>(
        &self,
        endpoint: &E,
        path: &str,
        call: &RequestOptions<'_>,
    ) -> Result<Response<Vec<u8>>, VaultError> {
        let invalid = |error: ClientError| VaultError::new(ErrorKind::Invalid, path, root_cause(&error));
        let target = self.url(path, endpoint.query().map_err(invalid)?.as_deref())?;
        let headers = call.headers(path, self.headers.clone())?;
        let body = Bytes::from(endpoint.body().map_err(invalid)?.unwrap_or_default());
        let exchange =
            async { self.receive(self.exchange(endpoint.method().into(), target, headers, body).await?).await };
        self.in_time(exchange).await.map_err(|error| network_error(path, &error))
    }
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
mod tests;
