//! One login, shared by every object whose plan leads to the same identity.
//!
//! At most one login per session is under way at any time; those that need the token meanwhile wait for it. A login that
//! failed is remembered for a while, so that a thousand objects with a wrong role cost one attempt per back-off step.

mod keep_alive;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::request::{Any, Envelope, Read};
use super::server::Server;
use super::transport::Call;
use super::{Fault, VaultError};
use crate::schedule::{Backoff, Policy};
use keep_alive::keep_alive;
use token::Granted;

pub(super) use token::Token;
pub use token::TokenInfo;

/// A hash over everything that decides which token a login gives: server, Vault namespace, method, mount, role, and the
/// service account or Secret that proves the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 32]);

/// A login request, made anew for every login since it carries a short-lived credential.
pub struct Login {
    /// Auth mount without `auth/`.
    pub mount: String,
    /// Vault namespace of the auth mount.
    pub namespace: String,
    /// Sent with this request only.
    pub headers: Vec<(String, String)>,
    /// The method's parameters. Holds the credential: never printed.
    pub body: Map<String, Value>,
    /// UID of the object that the credential belongs to, part of upstream's cache key.
    pub credential_uid: String,
}

/// Why a request was not answered.
#[derive(Clone, Debug)]
pub enum SessionError {
    /// The credential for the login could not be had from Kubernetes.
    Credential(String),
    /// Vault refused the login, or did not answer it.
    Login(VaultError),
    /// Vault refused the request, or did not answer it.
    Request(VaultError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::Credential(error) => f.write_str(error),
            SessionError::Login(error) | SessionError::Request(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {}

/// Where a login request comes from: only the cluster can make one.
#[async_trait::async_trait]
pub trait LoginSource: Send + Sync {
    /// Obtains a fresh credential and builds the request.
    async fn login(&self) -> Result<Login, String>;
}

enum State {
    None,
    Live(Arc<Token>),
    Failed { error: SessionError, until: Instant },
}

struct Inner {
    state: State,
    epoch: u64,
    login_backoff: Backoff,
    /// Paces fresh logins after denials, so that a policy that stays wrong does not cause a login per read.
    denial_backoff: Backoff,
    relogin_from: Instant,
}

/// One identity on one server. Lives as long as an object refers to it.
pub struct Session {
    /// What it is shared by.
    pub identity: Identity,
    /// Where it is valid.
    pub server: Arc<Server>,
    source: Box<dyn LoginSource>,
    login_policy: Policy,
    inner: Mutex<Inner>,
}

/// Between the tries of a read that a node cannot answer yet. Its replication takes milliseconds.
const BEHIND: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// Looks for a credential that Kubernetes did not have. Nothing tells of a Secret that is made or a right that is granted,
/// and a look costs one request.
const CREDENTIAL: Policy = Policy {
    initial: Duration::from_secs(2),
    max: Duration::from_secs(15),
    multiplier: 1.5,
    randomization: 0.2,
    max_elapsed: Duration::ZERO,
};

/// A token with less than this left is not used for a request any more.
const MARGIN: Duration = Duration::from_secs(2);

impl Session {
    /// A session without a token; the first read logs in. `login_policy` paces failed logins.
    pub fn new(identity: Identity, server: Arc<Server>, source: Box<dyn LoginSource>, login_policy: Policy) -> Self {
        let inner = Inner {
            state: State::None,
            epoch: 0,
            login_backoff: Backoff::default(),
            denial_backoff: Backoff::default(),
            relogin_from: Instant::now(),
        };
        Self { identity, server, source, login_policy, inner: Mutex::new(inner) }
    }

    /// Reads a path. A denial that a fresh login may cure is answered with one, and the read is tried once more. `index` is
    /// the state that the answering node must have reached: what `X-Vault-Index` says.
    pub async fn read(
        self: &Arc<Self>,
        read: &Read,
        index: Option<&str>,
    ) -> Result<(Envelope, TokenInfo), SessionError> {
        let headers: Vec<_> = index.map(|index| ("X-Vault-Index".to_owned(), index.to_owned())).into_iter().collect();
        let mut token = self.token().await?;
        let mut retried = false;
        let mut behind = BEHIND.iter();
        loop {
            let call = Call { token: Some(&token.secret), namespace: Some(&read.namespace), headers: &headers };
            match self.server.send(Any::read(read), &call).await {
                Ok(envelope) => return Ok((envelope, token.info.clone())),
                Err(error) if error.fault == Fault::Behind => match behind.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(SessionError::Request(error)),
                },
                Err(error) if error.fault == Fault::Denied && !retried => {
                    retried = true;
                    if !self.doubt(&token).await {
                        return Err(SessionError::Request(error));
                    }
                    token = self.token().await?;
                }
                Err(error) => return Err(SessionError::Request(error)),
            }
        }
    }

    /// The token, after a login if there is none that is good.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Arc<Token>, SessionError> {
        let mut inner = self.inner.lock().await;
        let now = Instant::now();
        match &inner.state {
            State::Live(token) if token.expires.is_none_or(|e| now + MARGIN < e) => return Ok(token.clone()),
            State::Failed { error, until } if now < *until => return Err(error.clone()),
            _ => {}
        }
        // The lock is held over the login: whoever needs the token meanwhile waits here and then finds it.
        match self.login().await {
            Ok(granted) => {
                inner.epoch += 1;
                inner.login_backoff.reset();
                let token = Arc::new(Token::new(granted, inner.epoch));
                inner.state = State::Live(token.clone());
                drop(inner);
                Ok(token)
            }
            Err(error) => {
                let pause = match &error {
                    // The server paces these by itself.
                    SessionError::Login(e) if e.fault.concerns_server() => Duration::from_millis(500),
                    _ => {
                        let credential = matches!(error, SessionError::Credential(_));
                        let policy = if credential { CREDENTIAL } else { self.login_policy };
                        inner.login_backoff.next(&policy, now, &mut rand::rng()).unwrap_or(Duration::from_secs(60))
                    }
                };
                inner.state = State::Failed { error: error.clone(), until: Instant::now() + pause };
                Err(error)
            }
        }
    }

    /// When a login that failed is tried again. `None` if the last one did not fail, or failed for the server's sake:
    /// then the server's recovery is what to wait for.
    pub async fn next_login(&self) -> Option<Instant> {
        match &self.inner.lock().await.state {
            State::Failed { error: SessionError::Login(e), .. } if e.fault.concerns_server() => None,
            State::Failed { until, .. } => Some(*until),
            State::None | State::Live(_) => None,
        }
    }

    async fn login(self: &Arc<Self>) -> Result<Granted, SessionError> {
        if self.server.down().is_some() {
            // No credential is asked for while it could not be used.
            self.server.admit("login").map_err(SessionError::Login)?;
            self.server.probe().await.map_err(SessionError::Login)?;
        }
        let login = self.source.login().await.map_err(SessionError::Credential)?;
        let path = format!("auth/{}/login", login.mount.trim_matches('/'));
        let call = Call { token: None, namespace: Some(&login.namespace), headers: &login.headers };
        let answer =
            self.server.send(Any::put(&path, Value::Object(login.body)), &call).await.map_err(SessionError::Login)?;
        let auth = answer.auth.ok_or_else(|| {
            SessionError::Login(VaultError::new(Fault::Protocol, &path, "the answer to the login has no token"))
        })?;
        tracing::info!(
            path,
            accessor_known = !auth.accessor.is_empty(),
            ttl_s = auth.lease_duration,
            "logged in to Vault"
        );
        if auth.renewable && auth.lease_duration > 0 {
            tokio::spawn(keep_alive(Arc::downgrade(self)));
        }
        Ok(Granted { auth, namespace: login.namespace, credential_uid: login.credential_uid })
    }
}
