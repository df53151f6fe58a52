//! Vault's event stream: one websocket per session, Vault namespace and topic, for all objects that want to know.
//!
//! A task keeps the websocket open as long as an object holds the [`EventStream`]. It says when the stream starts: what
//! was written before that moment may have been missed, so every subscriber has to read once.

mod connection;
mod message;
mod topic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rand::RngExt as _;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::server::{Server, ServerId};
use super::session::{Identity, Session, SessionError};
use super::{ErrorKind, ServerVersion, VaultError};
use crate::backoff::{Backoff, Policy};
use crate::util::WeakTable;
pub use message::{Change, Event};
pub use topic::Topic;

use connection::{Connection, End};

/// A server that has no events, or does not give them to this login, is asked again after about this time. Only its
/// administrator can change that, and seldom does.
const REFUSED_RETRY_INTERVAL: Duration = Duration::from_secs(600);
/// Attempts that are asked for by [`EventStream::retry`] do not follow each other faster.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// So many failures in a row are told. Fewer are an interruption that needs no look.
const FAILURES_TO_TELL: u32 = 5;
/// A connection that lasted so long was a good one. When such a one breaks, or the first one after it, another is
/// opened at once. One that is cut off again and again is none.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// Identifies a stream. Streams with equal keys carry the same events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// Whose token is used: it decides which events are sent.
    pub identity: Identity,
    /// Vault namespace, empty for the root.
    pub namespace: String,
    /// What it tells of.
    pub topic: Topic,
}

/// What a stream tells.
#[derive(Debug)]
pub enum Signal {
    /// The websocket is open, for the first time or again.
    Started(StreamKey),
    /// The state is another one.
    Changed(StreamKey),
    /// Something was written.
    Written {
        /// The stream.
        stream: StreamKey,
        /// API path, without `/v1/`, that reads it.
        path: String,
        /// What the read has to send as `X-Vault-Index`.
        index: Option<String>,
    },
    /// A lease was revoked, or has expired.
    LeaseEnded {
        /// The stream.
        stream: StreamKey,
        /// Its ID.
        lease_id: String,
    },
}

/// What is known of a stream.
#[derive(Clone, Debug)]
pub enum StreamState {
    /// Not open now; what was last told still stands.
    Connecting,
    /// Open.
    Streaming,
    /// It could not be opened, and will not be soon.
    Failed(SessionError),
}

/// A subscription. Ends when its last holder drops it.
pub struct EventStream(Arc<Shared>);

struct Shared {
    key: StreamKey,
    server: Arc<Server>,
    state: Mutex<StreamState>,
    /// Something has happened that may make the next attempt work.
    retry: Notify,
    end: CancellationToken,
}

impl EventStream {
    /// What it is shared by.
    pub fn key(&self) -> &StreamKey {
        &self.0.key
    }

    /// What is known of it.
    pub fn state(&self) -> StreamState {
        self.0.state().clone()
    }

    /// Which server it is from, if that is known.
    pub fn server_version(&self) -> Option<ServerVersion> {
        self.0.server.version()
    }

    /// True after all streams were ended; it does not come back.
    pub fn has_ended(&self) -> bool {
        self.0.end.is_cancelled()
    }

    /// Tries again now instead of later.
    pub fn retry(&self) {
        self.0.retry.notify_one();
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.0.end.cancel();
    }
}

/// The streams in use. Holds none of them alive.
pub struct EventStreams {
    /// `None` while this process does not lead: then it does not listen.
    streams: Mutex<Option<WeakTable<StreamKey, EventStream>>>,
    signals: mpsc::Sender<Signal>,
    reconnect: Policy,
}

impl EventStreams {
    /// No streams; [`EventStreams::start`] allows them. `reconnect` paces failed attempts.
    pub fn new(signals: mpsc::Sender<Signal>, reconnect: Policy) -> Self {
        Self { streams: Mutex::default(), signals, reconnect }
    }

    /// Allows streams from now on.
    pub fn start(&self) {
        self.streams.lock().get_or_insert_default();
    }

    /// Ends all streams and allows no others.
    pub fn stop(&self) {
        let streams = self.streams.lock().take().map(|streams| streams.values()).unwrap_or_default();
        streams.iter().for_each(|stream| stream.0.end.cancel());
    }

    /// The stream of a session, a new one if no object uses it yet. `None` while streams are not allowed.
    pub fn stream(&self, session: &Arc<Session>, namespace: &str, topic: Topic) -> Option<Arc<EventStream>> {
        let streams = self.streams.lock();
        let key = StreamKey { identity: session.identity, namespace: namespace.to_owned(), topic };
        Some(streams.as_ref()?.get_or_insert_with(key, |key| {
            let shared = Arc::new(Shared {
                key: key.clone(),
                server: session.server.clone(),
                state: Mutex::new(StreamState::Connecting),
                retry: Notify::new(),
                end: CancellationToken::new(),
            });
            let (session, signals) = (session.clone(), self.signals.clone());
            let listener = Listener { shared: shared.clone(), session, signals, reconnect: self.reconnect };
            tokio::spawn(listener.run());
            Arc::new(EventStream(shared))
        }))
    }

    /// A server works again: its streams need not wait.
    pub fn retry(&self, server: ServerId) {
        for stream in self.live() {
            if stream.0.server.id == server {
                stream.retry();
            }
        }
    }

    /// Number of websockets that are open.
    pub fn open(&self) -> usize {
        self.live().iter().filter(|stream| matches!(&*stream.0.state(), StreamState::Streaming)).count()
    }

    fn live(&self) -> Vec<Arc<EventStream>> {
        self.streams.lock().as_ref().map(WeakTable::values).unwrap_or_default()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock()
    }
}

/// Keeps the websocket of one stream open.
struct Listener {
    shared: Arc<Shared>,
    session: Arc<Session>,
    signals: mpsc::Sender<Signal>,
    reconnect: Policy,
}

impl Listener {
    async fn run(self) {
        let end = self.shared.end.clone();
        tokio::select! {
            () = end.cancelled() => {}
            () = self.listen() => {}
        }
    }

    async fn listen(&self) {
        let key = &self.shared.key;
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            let opened = Connection::open(&self.session, &key.namespace, key.topic).await;
            let was_open = opened.is_ok();
            let end = match opened {
                Ok(connection) => self.follow(connection, &mut backoff).await,
                Err(error) => End::Broken(error),
            };
            let error = match end {
                // The token is another one. That is no failure.
                End::Token => continue,
                End::Broken(error) => error,
            };
            let refused = refusal(&error).is_some();
            let is_first_break = was_open && backoff.attempts() == 0;
            let pause = if refused {
                REFUSED_RETRY_INTERVAL.mul_f64(rand::rng().random_range(0.8..1.2))
            } else {
                let pause = backoff.next(&self.reconnect, Instant::now(), &mut rand::rng());
                if is_first_break { Duration::ZERO } else { pause.unwrap_or(REFUSED_RETRY_INTERVAL) }
            };
            let topic = key.topic.as_str();
            tracing::info!(%error, namespace = key.namespace, topic, again_in = ?pause, "no events of Vault");
            if refused || backoff.attempts() >= FAILURES_TO_TELL {
                self.tell(error).await;
            } else if matches!(&*self.shared.state(), StreamState::Streaming) {
                *self.shared.state() = StreamState::Connecting;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.retry.notified() => tokio::time::sleep_until((started + MIN_RETRY_INTERVAL).into()).await,
            }
        }
    }

    /// Passes on what a connection brings, until it ends.
    async fn follow(&self, mut connection: Connection, backoff: &mut Backoff) -> End {
        let key = &self.shared.key;
        let opened = Instant::now();
        let mut streaming = backoff.attempts() < FAILURES_TO_TELL;
        if streaming {
            *self.shared.state() = StreamState::Streaming;
        }
        tracing::info!(namespace = key.namespace, topic = key.topic.as_str(), "events of Vault are followed");
        self.signal(Signal::Started(key.clone())).await;
        loop {
            let event = connection.next(&self.session).await;
            if opened.elapsed() > STABLE_AFTER {
                backoff.reset();
                if !streaming {
                    streaming = true;
                    *self.shared.state() = StreamState::Streaming;
                    self.signal(Signal::Changed(key.clone())).await;
                }
            }
            match event {
                Ok(None) => {}
                Ok(Some(message)) if message.namespace != key.namespace => {}
                Ok(Some(message)) => {
                    let stream = key.clone();
                    self.signal(match message.change {
                        Change::Written { path, index } => Signal::Written { stream, path, index },
                        Change::LeaseEnded { lease_id } => Signal::LeaseEnded { stream, lease_id },
                    })
                    .await;
                }
                Err(end) => return end,
            }
        }
    }

    /// Lets the objects say what is wrong. They say it once, however often it happens.
    async fn tell(&self, error: SessionError) {
        {
            let mut state = self.shared.state();
            if let StreamState::Failed(known) = &*state
                && refusal(known) == refusal(&error)
            {
                return;
            }
            *state = StreamState::Failed(error);
        }
        self.signal(Signal::Changed(self.shared.key.clone())).await;
    }

    async fn signal(&self, signal: Signal) {
        // The receiver lives as long as the process; a closed channel means that it is ending.
        let _ = self.signals.send(signal).await;
    }
}

/// The answer of a server that another attempt will not change.
fn refusal(error: &SessionError) -> Option<ErrorKind> {
    match error {
        SessionError::Request(VaultError { kind, .. }) => Some(*kind).filter(|kind| {
            matches!(kind, ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Protocol)
        }),
        SessionError::Credential(_) | SessionError::Login(_) => None,
    }
}

#[cfg(test)]
mod tests;
