//! `/healthz`, `/readyz` and `/metrics`, on a thread of their own: work that keeps the others busy must not make a probe
//! fail.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::BindAddress;

/// Answers what is still missing before the process is ready; nothing when it is.
pub type Gate = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// What is served where.
pub struct Endpoints {
    /// Address of `/metrics`, if it is served.
    pub metrics: Option<BindAddress>,
    /// Address of `/healthz` and `/readyz`, if they are served.
    pub health: Option<BindAddress>,
    /// Renders the metrics.
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
    /// For `/readyz`.
    pub ready: Gate,
}

/// Serves until `stop`. Returns when all addresses are bound, or why one cannot be.
pub fn serve(endpoints: Endpoints, stop: CancellationToken) -> std::io::Result<()> {
    let bind = |address: &Option<BindAddress>, flag: &str| -> std::io::Result<Option<std::net::TcpListener>> {
        let Some(address) = address else { return Ok(None) };
        let mut bound = Err(std::io::ErrorKind::AddrNotAvailable.into());
        for candidate in address.candidates() {
            bound = std::net::TcpListener::bind(candidate);
            if bound.is_ok() {
                break;
            }
        }
        let listener =
            bound.map_err(|e| std::io::Error::new(e.kind(), format!("{flag}={address} cannot be bound: {e}")))?;
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    };
    let metrics = bind(&endpoints.metrics, "--metrics-bind-address")?;
    let health = bind(&endpoints.health, "--health-probe-bind-address")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("admin".into()).spawn(move || {
        let endpoints = Arc::new(endpoints);
        runtime.block_on(async move {
            for (listener, has_metrics) in [(metrics, true), (health, false)] {
                let Some(Ok(listener)) = listener.map(TcpListener::from_std) else { continue };
                tokio::spawn(accept(listener, endpoints.clone(), has_metrics));
            }
            stop.cancelled().await;
        });
    })?;
    Ok(())
}

async fn accept(listener: TcpListener, endpoints: Arc<Endpoints>, has_metrics: bool) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: wait for some to be closed.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let endpoints = endpoints.clone();
        let service = service_fn(move |request| {
            let answer = answer(&request, &endpoints, has_metrics);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(async move {
            // A client that hangs up in the middle is its own affair.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>, endpoints: &Endpoints, has_metrics: bool) -> Response<Full<Bytes>> {
    let (status, body) = match (request.uri().path(), has_metrics) {
        ("/metrics", true) => (StatusCode::OK, (endpoints.render)()),
        ("/healthz", false) => (StatusCode::OK, "ok".to_owned()),
        ("/readyz", false) => match (endpoints.ready)() {
            missing if missing.is_empty() => (StatusCode::OK, "ok".to_owned()),
            missing => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready, waiting for:\n{}\n", missing.join("\n"))),
        },
        _ => (StatusCode::NOT_FOUND, "not found".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let text = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, text);
    response
}
