//! A websocket over the pool, trust, headers and proxy of a transport (RFC 6455).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Response, StatusCode, header};
use reqwest::Upgraded;
use reqwest::redirect::Policy;
use sha1::{Digest as _, Sha1};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{RequestOptions, Transport, network_error, receive};
use crate::vault::{ErrorKind, VaultError};

/// An open websocket.
pub(in crate::vault) type Socket = WebSocketStream<Upgraded>;

/// What the server said to the wish for a websocket.
pub(in crate::vault) enum Opened {
    Socket(Box<Socket>),
    /// Anything else.
    Answer(Response<Vec<u8>>),
}

/// Longest message that is taken, in bytes; an event of the KV engine has a few hundred.
const LONGEST_MESSAGE: usize = 256 * 1024;
/// There may be thousands of sockets, and little comes through each.
const BUFFER: usize = 4 * 1024;
/// What the server has to append to the key of the handshake, RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// One redirect, as from a standby to the active node. That of a websocket names a scheme that is none of HTTP's, and is
/// left to [`Transport::open`].
pub(super) fn redirects() -> Policy {
    Policy::custom(|attempt| match (attempt.url().scheme(), attempt.previous().len()) {
        ("ws" | "wss", _) => attempt.stop(),
        (_, 0 | 1) => attempt.follow(),
        _ => attempt.error("too many redirects"),
    })
}

impl Transport {
    /// Asks for a websocket on an API path. Any HTTP status is an answer.
    pub(in crate::vault) async fn open(
        &self,
        path: &str,
        query: &str,
        call: &RequestOptions<'_>,
    ) -> Result<Opened, VaultError> {
        let mut url = self.url(path, Some(query))?.to_string();
        let headers = call.headers(path)?;
        let mut host = self.host_header.clone();
        let failed = |error: reqwest::Error| network_error(path, &error.without_url());
        for _ in 0..2 {
            let key = STANDARD.encode(rand::random::<[u8; 16]>());
            let mut request = self
                .http
                .get(&url)
                .headers(self.headers.clone())
                .headers(headers.clone())
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, "13")
                .header(header::SEC_WEBSOCKET_KEY, &key);
            if let Some(host) = host.take() {
                request = request.header(header::HOST, host);
            }
            let answer = request.send().await.map_err(failed)?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
                if accepted.is_none_or(|value| value.as_bytes() != accept(&key).as_bytes()) {
                    return Err(VaultError::new(ErrorKind::Protocol, path, "the answer is not that of a websocket"));
                }
                let stream = answer.upgrade().await.map_err(failed)?;
                return Ok(Opened::Socket(Box::new(
                    WebSocketStream::from_raw_socket(stream, Role::Client, Some(config())).await,
                )));
            }
            match moved(&answer) {
                Some(there) => url = there,
                None => return Ok(Opened::Answer(receive(answer).await.map_err(failed)?)),
            }
        }
        Err(VaultError::new(ErrorKind::Protocol, path, "the server redirects more than once"))
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE))
}

/// Where a redirect to a websocket leads, as a URL for HTTP.
fn moved(answer: &reqwest::Response) -> Option<String> {
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    let rest = location.strip_prefix("ws").filter(|_| answer.status().is_redirection())?;
    Some(format!("http{rest}"))
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}

#[cfg(test)]
mod tests {
    use super::accept;

    #[test]
    fn the_accepted_key_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
