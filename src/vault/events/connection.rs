//! One websocket with events: opened with the token of a session, kept alive, read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::message::Event;
use super::topic::Topic;
use crate::vault::session::{AfterDenial, Session, SessionError, Token};
use crate::vault::transport::{RequestOptions, Socket};
use crate::vault::{ErrorKind, VaultError};

const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A server that is alive answers a ping in this time, or has sent one of its own.
const MAX_SILENCE: Duration = Duration::from_secs(35);

/// An open websocket.
pub(super) struct Connection {
    socket: Socket,
    topic: Topic,
    token: Arc<Token>,
    pings: Interval,
    heard: Instant,
}

/// Why a connection ended.
pub(super) enum End {
    /// The session has another token, or none.
    Token,
    /// It could not be used any more.
    Broken(SessionError),
}

impl Connection {
    /// Opens one. A denial that a fresh login may cure is answered with one, and opening is tried once more.
    pub async fn open(session: &Arc<Session>, namespace: &str, topic: Topic) -> Result<Self, SessionError> {
        let mut token = session.token().await?;
        let mut retried = false;
        loop {
            let call = RequestOptions { token: Some(&token.secret), namespace: Some(namespace), headers: &[] };
            match session.server.open(topic.path(), "json=true", &call).await {
                Ok(socket) => {
                    let now = Instant::now();
                    let mut pings = interval_at((now + PING_INTERVAL).into(), PING_INTERVAL);
                    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    return Ok(Self { socket, topic, token, pings, heard: now });
                }
                Err(error) if error.kind == ErrorKind::PermissionDenied && !retried => {
                    retried = true;
                    if session.on_permission_denied(&token, (namespace, topic.path())).await == AfterDenial::Stands {
                        return Err(SessionError::Request(error));
                    }
                    token = session.token().await?;
                }
                Err(error) => return Err(SessionError::Request(error)),
            }
        }
    }

    /// Waits for something to happen: a change, or nothing of interest.
    pub async fn next(&mut self, session: &Session) -> Result<Option<Event>, End> {
        tokio::select! {
            message = self.socket.next() => {
                self.heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => Ok(Event::parse(&text).unwrap_or_else(|error| {
                        tracing::debug!(%error, "an event of Vault is not understood");
                        None
                    })),
                    Some(Ok(Message::Close(frame))) => {
                        let reason = frame.map(|frame| format!("{}: {}", frame.code, frame.reason));
                        Err(broken(self.topic, &format!("the server has closed the event stream {}", reason.unwrap_or_default())))
                    }
                    Some(Ok(_)) => Ok(None),
                    Some(Err(error)) => Err(broken(self.topic, &error.to_string())),
                    None => Err(broken(self.topic, "the event stream has ended")),
                }
            }
            _ = self.pings.tick() => {
                if !session.is_current(&self.token).await {
                    return Err(End::Token);
                }
                if self.heard.elapsed() > MAX_SILENCE {
                    return Err(broken(self.topic, "the server does not answer on the event stream"));
                }
                match self.socket.send(Message::Ping(Bytes::new())).await {
                    Ok(()) => Ok(None),
                    Err(error) => Err(broken(self.topic, &error.to_string())),
                }
            }
        }
    }
}

fn broken(topic: Topic, what: &str) -> End {
    End::Broken(SessionError::Request(VaultError::new(ErrorKind::Unreachable, topic.path(), what)))
}
