//! `/healthz`, `/readyz` and `/metrics`, on a thread of their own: work that keeps the others busy must not make a
//! probe fail.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use crate::settings::BindAddress;

/// Looks at everything that readiness depends on.
pub type ReadinessChecks = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// One thing that readiness depends on.
pub struct Check {
    /// What it is, for `/readyz`.
    pub name: String,
    /// How it is.
    pub state: CheckState,
}

/// How one thing is that readiness depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// All is as it should be.
    Passed,
    /// The process is not ready before it is there.
    Awaited,
    /// It is not as it should be, for this reason, and the process does without it.
    Tolerated(&'static str),
}

/// Decides on a bearer token and a path, or says why it cannot.
pub type Authorize = Arc<dyn Fn(String, String) -> BoxFuture<'static, Result<Access, String>> + Send + Sync>;

/// Whether a caller may see the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Granted,
    /// The token is not valid.
    Unauthenticated,
    /// The token is valid, and its holder lacks the right.
    Forbidden,
}

/// How metrics are kept from callers without the right to see them.
pub struct Secure {
    /// Directory with `tls.crt` and `tls.key`; without one the certificate signs itself.
    pub certificates: Option<PathBuf>,
    /// Asked for each scrape.
    pub authorize: Authorize,
}

/// What is served where.
pub struct Endpoints {
    /// Address of `/metrics`, if it is served.
    pub metrics: Option<BindAddress>,
    /// Serve metrics over HTTPS with TokenReview and SubjectAccessReview; plain HTTP, for every caller, otherwise.
    pub secure: Option<Secure>,
    /// Address of `/healthz` and `/readyz`, if they are served.
    pub health: Option<BindAddress>,
    /// Renders the metrics.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
    /// What `/readyz` asks.
    pub ready: ReadinessChecks,
}

/// What listens at one address.
enum Endpoint {
    Health,
    Metrics,
    SecureMetrics(TlsAcceptor, Authorize),
}

/// A certificate that was changed is used after this at the latest.
const CERTIFICATE_REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// A client that does not finish its handshake is not waited for longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Nor is one that does not send a request, or its next one. Longer than scrapes usually are apart is not needed: a new
/// connection costs little.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// So many connections a listener has. One more ends the oldest: a crowd that does nothing but hold connections does
/// not keep a probe or a scrape from its answer, which takes milliseconds.
const MAX_CONNECTIONS: usize = 48;

/// Serves until `stop`. Returns when all addresses are bound, or why one cannot be.
pub fn serve(mut endpoints: Endpoints, stop: CancellationToken) -> std::io::Result<()> {
    let metrics = bind(&endpoints.metrics, "--metrics-bind-address")?;
    let health = bind(&endpoints.health, "--health-probe-bind-address")?;
    let mut certificate = None;
    let metrics_as = match endpoints.secure.take().filter(|_| metrics.is_some()) {
        None => Endpoint::Metrics,
        Some(Secure { certificates, authorize }) => {
            let loaded = Certificate::load(certificates).map_err(|e| Error::new(ErrorKind::InvalidInput, e))?;
            let loaded = certificate.insert(Arc::new(loaded));
            let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(loaded.clone());
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Endpoint::SecureMetrics(TlsAcceptor::from(Arc::new(config)), authorize)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".into()).spawn(move || {
        let endpoints = Arc::new(endpoints);
        runtime.block_on(async move {
            for (listener, served) in [(metrics, metrics_as), (health, Endpoint::Health)] {
                let Some(Ok(listener)) = listener.map(TcpListener::from_std) else { continue };
                tokio::spawn(accept(listener, endpoints.clone(), Arc::new(served), HEADER_TIMEOUT));
            }
            if let Some(certificate) = certificate {
                tokio::spawn(refresh(certificate));
            }
            stop.cancelled().await;
        });
    })?;
    Ok(())
}

fn bind(address: &Option<BindAddress>, flag: &str) -> std::io::Result<Option<std::net::TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let mut bound = Err(ErrorKind::AddrNotAvailable.into());
    for candidate in address.candidates() {
        bound = std::net::TcpListener::bind(candidate);
        if bound.is_ok() {
            break;
        }
    }
    let listener = bound.map_err(|e| Error::new(e.kind(), format!("{flag}={address} cannot be bound: {e}")))?;
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}

async fn refresh(certificate: Arc<Certificate>) {
    let mut said = None;
    loop {
        tokio::time::sleep(CERTIFICATE_REFRESH_INTERVAL).await;
        let failure = certificate.refresh().err();
        if let Some(failure) = &failure
            && said.as_ref() != Some(failure)
        {
            tracing::warn!(%failure, "metrics are served with the certificate from before");
        }
        said = failure;
    }
}

async fn accept(listener: TcpListener, endpoints: Arc<Endpoints>, served: Arc<Endpoint>, header_timeout: Duration) {
    let mut connections = VecDeque::<AbortHandle>::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (endpoints, served) = (endpoints.clone(), served.clone());
        let connection = tokio::spawn(async move {
            match &*served {
                Endpoint::SecureMetrics(acceptor, _) => {
                    // A client that does not speak TLS, or not to us, is its own affair.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                        serve_connection(stream, endpoints, &served, header_timeout).await;
                    }
                }
                Endpoint::Health | Endpoint::Metrics => {
                    serve_connection(stream, endpoints, &served, header_timeout).await;
                }
            }
        });
        connections.retain(|connection| !connection.is_finished());
        connections.push_back(connection.abort_handle());
        if connections.len() > MAX_CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    endpoints: Arc<Endpoints>,
    served: &Endpoint,
    header_timeout: Duration,
) {
    let service = service_fn(|request| {
        let endpoints = endpoints.clone();
        async move { Ok::<_, Infallible>(answer(&request, &endpoints, served).await) }
    });
    // So is one that hangs up in the middle.
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: &Request<Incoming>, endpoints: &Endpoints, served: &Endpoint) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (status, body) = match (served, path) {
        (Endpoint::Metrics, "/metrics") => (StatusCode::OK, (endpoints.render)()),
        (Endpoint::SecureMetrics(_, authorize), "/metrics") => match access(request, authorize).await {
            Ok(Access::Granted) => (StatusCode::OK, (endpoints.render)()),
            Ok(Access::Unauthenticated) => {
                (StatusCode::UNAUTHORIZED, "a bearer token that Kubernetes knows is needed\n".to_owned())
            }
            Ok(Access::Forbidden) => {
                (StatusCode::FORBIDDEN, format!("the right to get the nonResourceURL {path} is needed\n"))
            }
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("the token could not be checked: {error}\n")),
        },
        (Endpoint::Health, "/healthz") => (StatusCode::OK, "ok".to_owned()),
        (Endpoint::Health, "/readyz") => readiness(&(endpoints.ready)(), is_verbose(request.uri())),
        _ => (StatusCode::NOT_FOUND, "not found".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

/// Whether the query has `verbose`, as those of the API server's own checks.
fn is_verbose(uri: &Uri) -> bool {
    let mut parameters = uri.query().unwrap_or("").split('&');
    parameters.any(|parameter| parameter.split('=').next() == Some("verbose"))
}

fn readiness(checks: &[Check], verbose: bool) -> (StatusCode, String) {
    let awaited: Vec<&str> =
        checks.iter().filter(|check| check.state == CheckState::Awaited).map(|check| check.name.as_str()).collect();
    let (status, summary) = if awaited.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready, waiting for:\n{}\n", awaited.join("\n")))
    };
    if !verbose {
        return (status, summary);
    }
    let line = |Check { name, state }: &Check| match state {
        CheckState::Passed => format!("[+] {name}\n"),
        CheckState::Awaited => format!("[-] {name}: awaited\n"),
        CheckState::Tolerated(reason) => format!("[!] {name}: {reason}\n"),
    };
    let lines: String = checks.iter().map(line).collect();
    (status, lines + summary.lines().next().unwrap_or_default() + "\n")
}

async fn access(request: &Request<Incoming>, authorize: &Authorize) -> Result<Access, String> {
    let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            authorize(token.trim().to_owned(), request.uri().path().to_owned()).await
        }
        _ => Ok(Access::Unauthenticated),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn listen(header_timeout: Duration) -> std::net::SocketAddr {
        let endpoints = Endpoints {
            metrics: None,
            secure: None,
            health: None,
            render: Arc::new(String::new),
            ready: Arc::new(Vec::new),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, Arc::new(endpoints), Arc::new(Endpoint::Health), header_timeout));
        address
    }

    /// Waits until the server ends the connection.
    async fn ended(stream: &mut TcpStream) {
        let end = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} };
        tokio::time::timeout(Duration::from_secs(60), end).await.expect("the server ends the connection");
    }

    async fn get(address: std::net::SocketAddr, path: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 1024];
        let n = stream.read(&mut answer).await.unwrap();
        (stream, String::from_utf8_lossy(&answer[..n]).into_owned())
    }

    #[test]
    fn what_is_missing_is_shown_and_only_what_is_awaited_delays_readiness() {
        let check = |name: &str, state| Check { name: name.into(), state };
        let checks = [
            check("one", CheckState::Passed),
            check("two", CheckState::Tolerated("it is gone")),
            check("three", CheckState::Awaited),
        ];
        assert_eq!(readiness(&checks[..2], false), (StatusCode::OK, "ok".into()));
        assert_eq!(readiness(&checks[..2], true), (StatusCode::OK, "[+] one\n[!] two: it is gone\nok\n".into()));
        let (status, text) = readiness(&checks, false);
        assert_eq!((status.as_u16(), text.as_str()), (503, "not ready, waiting for:\nthree\n"));
        let (status, text) = readiness(&checks, true);
        assert_eq!(status.as_u16(), 503);
        assert!(text.ends_with("[-] three: awaited\nnot ready, waiting for:\n"), "{text}");
        for (uri, verbose) in [("/readyz?verbose", true), ("/readyz?a&verbose=1", true), ("/readyz?verboser", false)] {
            assert_eq!(is_verbose(&uri.parse().unwrap()), verbose, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_crowd_of_idle_connections_ends_and_a_probe_is_answered() {
        let address = listen(Duration::from_secs(3600)).await;
        let mut idle = vec![];
        for _ in 0..3 * MAX_CONNECTIONS {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let (_probe, answer) = get(address, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for stream in &mut idle[..2 * MAX_CONNECTIONS] {
            ended(stream).await;
        }
    }

    #[tokio::test]
    async fn a_client_that_sends_nothing_is_not_waited_for() {
        let address = listen(Duration::from_millis(200)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /healthz HTTP/1.1\r\nHost").await.unwrap();
        let (mut served, answer) = get(address, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        for stream in [&mut silent, &mut half, &mut served] {
            ended(stream).await;
        }
    }
}
