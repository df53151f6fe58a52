//! Makes the connections of a pool: TCP, the tunnel of a proxy, TLS with the name that is verified.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

use super::connection::connected_now;
use super::error::root_cause;
use super::proxy::{Proxies, Proxy};
use super::tls::Tls;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes to and from a server or proxy.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type BoxIo = TokioIo<Box<dyn Io>>;

/// Connects to the host of a URL, and nowhere else, whatever name its certificate must have.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Tls,
    /// Sent (SNI) and verified instead of the host.
    server_name: Option<ServerName<'static>>,
    proxies: Arc<Proxies>,
    timeout: Duration,
}

impl Connector {
    /// `timeout` is for all that it takes until the connection is ready for a request.
    pub fn new(tls: Tls, server_name: Option<ServerName<'static>>, proxies: Arc<Proxies>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        Self { tcp, tls, server_name, proxies, timeout }
    }

    async fn connect(self, target: Uri) -> Result<Stream, BoxError> {
        let is_https = target.scheme_str() == Some("https");
        let proxy = self.proxies.of(&target);
        let forwarded = proxy.is_some() && !is_https;
        let io = match proxy {
            None => self.dial(target.clone()).await?,
            Some(proxy) if is_https => self.tunnel(proxy, target.clone()).await?,
            Some(proxy) => self.to_proxy(proxy.uri.clone()).await?,
        };
        let io = if is_https {
            let name = self.server_name.clone().map_or_else(|| name_of(&target), Ok)?;
            self.handshake(io, name).await?
        } else {
            io
        };
        Ok(Stream { io, forwarded })
    }

    async fn dial(&self, target: Uri) -> Result<BoxIo, BoxError> {
        let mut tcp = self.tcp.clone();
        std::future::poll_fn(|cx| tcp.poll_ready(cx)).await?;
        let address = address_of(&target);
        let connected = tcp.call(target).await.map_err(|error| format!("{address}: {}", root_cause(&error)));
        let stream = connected?.into_inner();
        Ok(TokioIo::new(Box::new(stream)))
    }

    async fn to_proxy(&self, proxy: Uri) -> Result<BoxIo, BoxError> {
        match proxy.scheme_str() {
            Some("http") => self.dial(proxy).await,
            Some("https") => {
                let name = name_of(&proxy)?;
                self.handshake(self.dial(proxy).await?, name).await
            }
            scheme => Err(format!("a proxy with the scheme {:?} is not supported", scheme.unwrap_or_default()).into()),
        }
    }

    async fn tunnel(&self, proxy: &Proxy, target: Uri) -> Result<BoxIo, BoxError> {
        let connector = self.clone();
        let inner = tower::service_fn(move |proxy| {
            let connector = connector.clone();
            Box::pin(async move { connector.to_proxy(proxy).await })
                as Pin<Box<dyn Future<Output = Result<BoxIo, BoxError>> + Send>>
        });
        let mut tunnel = Tunnel::new(proxy.uri.clone(), inner);
        if let Some(authorization) = &proxy.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Ok(tunnel.call(target).await?)
    }

    async fn handshake(&self, io: BoxIo, name: ServerName<'static>) -> Result<BoxIo, BoxError> {
        let stream = self.tls.connector().await?.connect(name, io.into_inner()).await?;
        Ok(TokioIo::new(Box::new(stream)))
    }
}

/// Host and port of a URL as messages have them. It may be that of a proxy, or where a redirect leads.
fn address_of(target: &Uri) -> String {
    let host = target.host().unwrap_or_default();
    target.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The name that a certificate for a URL has.
fn name_of(target: &Uri) -> Result<ServerName<'static>, BoxError> {
    let host = target.host().unwrap_or_default().trim_matches(['[', ']']);
    Ok(ServerName::try_from(host.to_owned())?)
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timeout = connector.timeout;
            let address = address_of(&target);
            let connected = tokio::time::timeout(timeout, connector.connect(target)).await;
            connected
                .unwrap_or_else(|_| Err(format!("no connection to {address} within {timeout:?}: timed out").into()))
        })
    }
}

/// A connection that is ready for requests.
pub(super) struct Stream {
    io: BoxIo,
    /// A proxy sends the requests on, so they name the whole URL.
    forwarded: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        connected_now().proxy(self.forwarded)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
