//! A websocket over the pool, trust, headers and proxy of a transport (RFC 6455).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{RequestOptions, Transport, TransportError, network_error};
use crate::vault::{ErrorKind, VaultError};

/// An open websocket.
pub(in crate::vault) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What the server said to the wish for a websocket.
pub(in crate::vault) enum Opened {
    Socket(Box<Socket>),
    /// Anything else.
    Answer(Response<Vec<u8>>),
}

/// Longest message that is taken; an event of the KV engine has a few hundred bytes.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// There may be thousands of sockets, and little comes through each.
const READ_BUFFER_BYTES: usize = 4 * 1024;

impl Transport {
    /// Asks for a websocket on an API path. Any HTTP status is an answer.
    pub(in crate::vault) async fn open(
        &self,
        path: &str,
        query: &str,
        call: &RequestOptions<'_>,
    ) -> Result<Opened, VaultError> {
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        let target = self.url(path, Some(query))?;
        let mut headers = call.headers(path, self.headers.clone())?;
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key_header = HeaderValue::from_str(&key);
        headers.insert(header::SEC_WEBSOCKET_KEY, key_header.map_err(|_| not_a_websocket(path))?);
        let failed = |error: TransportError| network_error(path, &error);
        let opened = self.in_time(async {
            let answer = self.exchange(Method::GET, target, headers, Bytes::new()).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Err(self.receive(answer).await?));
            }
            let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT).cloned();
            Ok(Ok((accepted, hyper::upgrade::on(answer).await?)))
        });
        let (accepted, stream) = match opened.await.map_err(failed)? {
            Ok(switched) => switched,
            Err(answer) => return Ok(Opened::Answer(answer)),
        };
        if accepted.is_none_or(|value| value.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(not_a_websocket(path));
        }
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, Some(config())).await;
        Ok(Opened::Socket(Box::new(socket)))
    }
}

fn not_a_websocket(path: &str) -> VaultError {
    VaultError::new(ErrorKind::Protocol, path, "the answer is not that of a websocket")
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
}
