//! One login, shared by every object whose plan leads to the same identity.
//!
//! At most one login per session is under way at any time; those that need the token meanwhile wait for it. A login
//! that failed is remembered for a while, so that a thousand objects with a wrong role cost one attempt per back-off
//! step.

mod credential;
mod credential_change;
mod denials;
mod keep_alive;
mod login;
mod pool;
mod refused;
mod stored;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::Mutex;

use super::request::{Envelope, RawRequest, Read};
use super::server::Server;
use super::transport::RequestOptions;
use super::{ErrorKind, VaultError};
use crate::backoff::{Backoff, Policy};
use credential_change::KnownCredential;
use denials::Denials;
use keep_alive::keep_alive;
use pool::Shared;
use refused::Refused;

pub use credential::{CredentialError, CredentialProvider, LoginRequest, Proof, ProvidedToken, TokenSource};
pub(super) use keep_alive::AfterDenial;
pub use pool::SessionPool;
pub use stored::{StoredLogin, TokenStore};
pub(super) use token::Token;
pub use token::{TokenInUse, TokenInfo};

/// A hash over everything that decides which token a login gives: server, Vault namespace, method, mount, role, and the
/// service account or Secret that proves the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

/// Why a request was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no credential for the login.
    #[error("{0}")]
    Credential(CredentialError),
    /// Vault refused the login, or did not answer it.
    #[error("{0}")]
    Login(VaultError),
    /// Vault refused the request, or did not answer it.
    #[error("{0}")]
    Request(VaultError),
}

enum State {
    None,
    Live(Arc<Token>),
    Failed { error: SessionError, until: Instant },
}

/// What is known of the token that is stored over a restart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoredToken {
    /// There may be one that is good.
    Unknown,
    /// It is not good any more.
    Invalid,
    /// There is none.
    Absent,
}

struct Inner {
    state: State,
    stored: StoredToken,
    login_backoff: Backoff,
    refused: Option<Refused>,
    /// `None`: it was never asked for.
    credential: Option<KnownCredential>,
}

/// One identity on one server. Lives as long as an object refers to it.
pub struct Session {
    /// What it is shared by.
    pub identity: Identity,
    /// Where it is valid.
    pub server: Arc<Server>,
    source: TokenSource,
    login_policy: Policy,
    inner: Mutex<Inner>,
    /// Paces fresh logins after denials, so that a policy that stays wrong does not cause a login per read.
    denials: parking_lot::Mutex<Denials>,
    /// The sessions that it shares a limit with.
    shared: Option<Arc<Shared>>,
    /// When the token was last asked for, on the clock of [`Shared`].
    pub(super) used: AtomicU64,
    live: AtomicBool,
}

/// Pauses between the tries of a read that a node cannot answer yet. Its replication takes milliseconds.
pub(super) const REPLICATION_RETRIES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// Paces looks for a credential that Kubernetes did not have, or for another than the one that was refused. No watch
/// tells of a Secret that is made or changed, or of a right that is granted, and a look costs one request.
const CREDENTIAL_BACKOFF: Policy = Policy {
    initial: Duration::from_secs(2),
    max: Duration::from_secs(15),
    multiplier: 1.5,
    randomization: 0.2,
    max_elapsed: Duration::ZERO,
};

/// A token with less than this left is not used for a request any more.
const EXPIRY_MARGIN: Duration = Duration::from_secs(2);

impl Session {
    /// A session of its own, without a token; the first request logs in. `login_policy` paces failed logins.
    pub fn new(identity: Identity, server: Arc<Server>, source: TokenSource, login_policy: Policy) -> Self {
        Self::shared(identity, server, source, login_policy, None)
    }

    fn shared(
        identity: Identity,
        server: Arc<Server>,
        source: TokenSource,
        login_policy: Policy,
        shared: Option<Arc<Shared>>,
    ) -> Self {
        let inner = Inner {
            state: State::None,
            stored: StoredToken::Unknown,
            login_backoff: Backoff::default(),
            refused: None,
            credential: None,
        };
        let inner = Mutex::new(inner);
        let (used, live) = Default::default();
        Self { identity, server, source, login_policy, inner, denials: Default::default(), shared, used, live }
    }

    /// Reads a path. A denial that a fresh login may cure is answered with one, and the read is tried once more.
    /// `index` is the state that the answering node must have reached: what `X-Vault-Index` says.
    pub async fn read(
        self: &Arc<Self>,
        read: &Read,
        index: Option<&str>,
    ) -> Result<(Envelope, TokenInfo), SessionError> {
        self.ask((&read.namespace, &read.path), index, || RawRequest::read(read)).await
    }

    /// Lists a folder of a Vault namespace, as [`Session::read`] reads.
    pub async fn list(self: &Arc<Self>, namespace: &str, path: &str) -> Result<(Envelope, TokenInfo), SessionError> {
        self.ask((namespace, path), None, || RawRequest::list(path)).await
    }

    /// Writes to a path of a Vault namespace, as [`Session::read`] reads.
    pub async fn write(
        self: &Arc<Self>,
        namespace: &str,
        path: &str,
        body: &Value,
    ) -> Result<(Envelope, TokenInfo), SessionError> {
        self.ask((namespace, path), None, || RawRequest::put(path, body.clone())).await
    }

    /// Deletes what is at a path of a Vault namespace, as [`Session::read`] reads.
    pub async fn delete(self: &Arc<Self>, namespace: &str, path: &str) -> Result<(Envelope, TokenInfo), SessionError> {
        self.ask((namespace, path), None, || RawRequest::delete(path)).await
    }

    /// Writes with the token that there is, and never logs in. `None`: there is no token that is good.
    pub async fn write_without_login(
        &self,
        namespace: &str,
        path: &str,
        body: &Value,
    ) -> Option<Result<Envelope, VaultError>> {
        let token = match &self.inner.lock().await.state {
            State::Live(token) if token.is_good(Instant::now()) && token.take_use() => token.clone(),
            _ => return None,
        };
        let call = RequestOptions { token: Some(&token.secret), namespace: Some(namespace), headers: &[] };
        Some(self.server.send(RawRequest::put(path, body.clone()), &call).await)
    }

    async fn ask(
        self: &Arc<Self>,
        (namespace, path): (&str, &str),
        index: Option<&str>,
        request: impl Fn() -> RawRequest,
    ) -> Result<(Envelope, TokenInfo), SessionError> {
        let mut token = self.token().await?;
        let mut retried = false;
        let mut behind = REPLICATION_RETRIES.iter();
        loop {
            // What is asked for came after the login.
            let index = index.map(str::to_owned).or_else(|| token.needed_index(Instant::now()));
            let headers: Vec<_> = index.map(|index| ("X-Vault-Index".to_owned(), index)).into_iter().collect();
            let call = RequestOptions { token: Some(&token.secret), namespace: Some(namespace), headers: &headers };
            match self.server.send(request(), &call).await {
                Ok(envelope) => {
                    self.denials.lock().allowed(namespace, path);
                    return Ok((envelope, token.info.clone()));
                }
                Err(error) if error.kind == ErrorKind::StaleReplica => match behind.next() {
                    Some(pause) => {
                        tokio::time::sleep(*pause).await;
                        token = self.token().await?;
                    }
                    None => return Err(SessionError::Request(error)),
                },
                Err(error) if error.kind == ErrorKind::PermissionDenied => {
                    if retried || self.on_permission_denied(&token, (namespace, path)).await == AfterDenial::Stands {
                        return Err(SessionError::Request(token.explain(error)));
                    }
                    retried = true;
                    token = self.token().await?;
                }
                Err(error) => return Err(SessionError::Request(error)),
            }
        }
    }

    /// The token for one request, after a login if there is none that is good.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Arc<Token>, SessionError> {
        let mut inner = self.inner.lock().await;
        let now = Instant::now();
        if let Some(shared) = &self.shared {
            self.used.store(shared.now(), Ordering::Relaxed);
        }
        if let State::Live(token) = &inner.state
            && token.is_due(now)
        {
            let token = token.clone();
            self.read_again(&mut inner, &token).await;
        }
        match &inner.state {
            State::Live(token) if token.is_good(now) && token.take_use() => {
                self.count(true);
                return Ok(token.clone());
            }
            State::Failed { error, until } if now < *until => return Err(error.clone()),
            State::Live(_) => self.invalidate(&mut inner),
            _ => {}
        }
        self.count(false);
        // The lock is held over the login: requests that need the token meanwhile wait here and then find it. On the
        // heap, since almost no request needs a login.
        match Box::pin(self.obtain(&mut inner)).await {
            Ok(granted) => {
                inner.login_backoff.reset();
                inner.refused = None;
                let token = Arc::new(Token::new(granted));
                token.take_use();
                inner.state = State::Live(token.clone());
                self.set_live(true);
                drop(inner);
                if token.info.renewable {
                    tokio::spawn(keep_alive(Arc::downgrade(self)));
                }
                if let Some(shared) = &self.shared {
                    shared.make_room(self);
                }
                Ok(token)
            }
            Err(error) => {
                let pause = match &error {
                    // The server paces these by itself.
                    SessionError::Login(e) if e.kind.concerns_server() => Duration::from_millis(500),
                    _ => {
                        let look = matches!(error, SessionError::Credential(_)) || inner.refused.is_some();
                        let policy = if look { CREDENTIAL_BACKOFF } else { self.login_policy };
                        inner.login_backoff.next(&policy, now, &mut rand::rng()).unwrap_or(Duration::from_secs(60))
                    }
                };
                inner.state = State::Failed { error: error.clone(), until: Instant::now() + pause };
                Err(error)
            }
        }
    }

    /// The token that requests are sent with, and when it ends, after a login if there is none. What Vault issues with
    /// it does not outlive it.
    ///
    /// # Errors
    /// If there is no login.
    pub async fn token_in_use(self: &Arc<Self>) -> Result<TokenInUse, SessionError> {
        if let State::Live(token) = &self.inner.lock().await.state
            && token.is_good(Instant::now())
        {
            return Ok(token.in_use());
        }
        self.token().await.map(|token| token.in_use())
    }

    /// Gives up a token that nears its end, so that the next request logs in: what Vault issues then lives longer. What
    /// was issued before lives on until the old token ends.
    pub async fn replace_ending_token(&self) {
        let mut inner = self.inner.lock().await;
        let State::Live(token) = &inner.state else { return };
        if token.in_use().ending_since.is_some_and(|since| since <= Instant::now()) {
            self.invalidate(&mut inner);
        }
    }

    /// When a login that failed is tried again. `None` if the last one did not fail, or failed for the server's sake:
    /// then the server's recovery is what to wait for.
    pub async fn next_login(&self) -> Option<Instant> {
        match &self.inner.lock().await.state {
            State::Failed { error: SessionError::Login(e), .. } if e.kind.concerns_server() => None,
            State::Failed { until, .. } => Some(*until),
            State::None | State::Live(_) => None,
        }
    }

    /// What is known of the token, if there is one.
    pub async fn token_info(&self) -> Option<TokenInfo> {
        match &self.inner.lock().await.state {
            State::Live(token) => Some(token.info.clone()),
            _ => None,
        }
    }

    /// Vault's answer to the login that gave this token, to be stored. `None`: the session has another token by now.
    pub async fn login_response(&self, serial: u64) -> Option<SecretString> {
        match &self.inner.lock().await.state {
            State::Live(token) if token.info.serial == serial => token.login_response.clone(),
            _ => None,
        }
    }

    /// Gives the token up for that of another session. The next request takes it up again from where it is stored, or
    /// logs in. False if the session is in use right now.
    pub(super) fn evict(&self) -> bool {
        let Ok(mut inner) = self.inner.try_lock() else { return false };
        self.invalidate(&mut inner);
        inner.stored = StoredToken::Unknown;
        true
    }

    /// Whether it has a token.
    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    /// The token is no good any more.
    fn invalidate(&self, inner: &mut Inner) {
        // One that is used up was never stored.
        let was_limited = matches!(&inner.state, State::Live(token) if token.has_limited_uses());
        inner.stored = if was_limited { StoredToken::Absent } else { StoredToken::Invalid };
        inner.state = State::None;
        self.set_live(false);
    }

    fn set_live(&self, live: bool) {
        if self.live.swap(live, Ordering::Relaxed) != live
            && let Some(shared) = &self.shared
        {
            shared.metrics.client.cache_length.add(if live { 1 } else { -1 });
        }
    }

    fn count(&self, hit: bool) {
        if let Some(shared) = &self.shared {
            let client = &shared.metrics.client;
            if hit { client.cache_hits.inc() } else { client.cache_misses.inc() }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.set_live(false);
    }
}

/// Whether an answer means that the token is not good, whatever is tried.
fn refuses(error: &VaultError) -> bool {
    matches!(error.kind, ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::Invalid)
}

#[cfg(test)]
mod tests;
