//! The connection to the API server.

use std::path::Path;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::layer::layer_fn;
use tower::limit::{ConcurrencyLimitLayer, RateLimitLayer};
use tower::{Service, service_fn};

use crate::telemetry::Metrics;

/// So many requests wait for their answer at the same time. More would wait in the API server instead, each on a
/// connection of its own, and a connection costs some 30 KiB here and more there.
const MAX_REQUESTS_IN_FLIGHT: usize = 16;
/// Only metadata are asked for, where the server can tell them apart.
pub(super) const ACCEPT_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
pub(super) const ACCEPT_METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than a watch lives, so that none is cut for being quiet.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// How hard the API server may be pressed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestLimit {
    /// Requests per second in the long run; 0 and less: no limit.
    pub qps: f32,
    /// Requests at once; 0: as many as a second may have.
    pub burst: u32,
    /// Requests that wait for their answer at the same time; 0: the default.
    pub in_flight: usize,
}

/// A client whose answers have the metadata of objects and nothing else.
pub(super) fn metadata_only(client: &kube::Client) -> kube::Client {
    let (inner, namespace) = (client.clone(), client.default_namespace().to_owned());
    let service = service_fn(move |mut request: Request<Body>| {
        let client = inner.clone();
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let accepted = if is_watch { ACCEPT_METADATA } else { ACCEPT_METADATA_LIST };
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accepted));
        async move { client.send(request).await }
    });
    kube::Client::new(service, namespace)
}

/// Connects with a kubeconfig if one is named, else with the service account of the pod, else as `kubectl` would.
pub async fn connect(
    kubeconfig: Option<&Path>,
    limit: RequestLimit,
    metrics: Arc<Metrics>,
) -> Result<kube::Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            let proxied = file.clusters.iter().any(|c| c.cluster.as_ref().is_some_and(|c| c.proxy_url.is_some()));
            let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
            if !proxied {
                // The variable HTTPS_PROXY is for Vault. With the service account of a pod it is not looked at either.
                config.proxy_url = None;
            }
            config
        }
        None => kube::Config::infer().await?,
    };
    // kube would repeat a request for up to 1,000 s inside one call. Here the queue decides when to try again.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // For lists and the start of watches, which have no limit of their own: a connection that died without a word would
    // hold them until the kernel gives up.
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    let in_flight = if limit.in_flight == 0 { MAX_REQUESTS_IN_FLIGHT } else { limit.in_flight };
    let builder = ClientBuilder::try_from(config)?
        .with_layer(&layer_fn(move |inner| Counted { inner, metrics: metrics.clone() }))
        .with_layer(&ConcurrencyLimitLayer::new(in_flight));
    if limit.qps <= 0.0 {
        return Ok(builder.build());
    }
    // As many requests as `burst` in the time in which `qps` allows for them.
    let burst = if limit.burst == 0 { limit.qps.ceil() } else { limit.burst as f32 };
    let window = Duration::try_from_secs_f32(burst / limit.qps)?;
    Ok(builder.with_layer(&RateLimitLayer::new(burst as u64, window)).build())
}

/// Counts what is sent and how it is answered.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().clone();
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            // What client-go writes where there is no status.
            let code = answer.as_ref().map_or("<error>".to_owned(), |a| a.status().as_u16().to_string());
            metrics.kubernetes_request(&code, method.as_str(), &host);
            answer
        })
    }
}
