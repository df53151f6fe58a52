//! One login, shared by every object whose plan leads to the same identity.
//!
//! At most one login per session is under way at any time; those that need the token meanwhile wait for it. A login that
//! failed is remembered for a while, so that a thousand objects with a wrong role cost one attempt per back-off step.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};

use super::request::{Any, Auth, Envelope, Read};
use super::server::Server;
use super::transport::Call;
use super::{Fault, VaultError};
use crate::schedule::{Backoff, Policy};

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

/// What the status of an object says of the token that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenInfo {
    /// Hex BLAKE2b-256 of the token's accessor, empty for batch tokens; upstream's client ID.
    pub client_id: String,
    /// UID of the service account or Secret behind the login.
    pub credential_uid: String,
}

/// A token and what is known of it.
pub(super) struct Token {
    pub(super) secret: SecretString,
    info: TokenInfo,
    /// Vault namespace of the login, in which the token is renewed and looked up.
    namespace: String,
    /// Counts the logins of this session.
    epoch: u64,
    /// `None`: does not expire.
    expires: Option<Instant>,
    /// When lookup-self last showed the token to be good.
    verified: Instant,
}

/// What a login gave.
struct Granted {
    auth: Auth,
    namespace: String,
    credential_uid: String,
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

/// Fresh logins after denials. A policy that stays wrong costs one login per step.
const DENIAL: Policy = Policy {
    initial: Duration::from_secs(30),
    max: Duration::from_secs(600),
    multiplier: 2.0,
    randomization: 0.1,
    max_elapsed: Duration::ZERO,
};

/// A denial is looked into again this soon at the earliest; a token younger than this is not doubted.
const TRUST_TOKEN_FOR: Duration = Duration::from_secs(5);
/// Between the tries of a read that a node cannot answer yet. Its replication takes milliseconds.
const BEHIND: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];
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
                    _ => inner
                        .login_backoff
                        .next(&self.login_policy, now, &mut rand::rng())
                        .unwrap_or(Duration::from_secs(60)),
                };
                inner.state = State::Failed { error: error.clone(), until: Instant::now() + pause };
                Err(error)
            }
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

    /// Decides what a denial means. True: the token was given up, another login may help.
    pub(super) async fn doubt(self: &Arc<Self>, denied: &Arc<Token>) -> bool {
        let mut inner = self.inner.lock().await;
        let now = Instant::now();
        let current = match &inner.state {
            State::Live(current) => current.clone(),
            _ => return true,
        };
        if current.epoch != denied.epoch {
            return true;
        }
        if now < current.verified + TRUST_TOKEN_FOR {
            return false;
        }
        if now >= inner.relogin_from {
            // Policies are bound to a token at login; only a new login sees a role that was changed.
            let pause = inner.denial_backoff.next(&DENIAL, now, &mut rand::rng()).unwrap_or(DENIAL.max);
            inner.relogin_from = now + pause;
            inner.state = State::None;
            return true;
        }
        let call = Call { token: Some(&current.secret), namespace: Some(&current.namespace), headers: &[] };
        match self.server.send(LookupTokenSelfRequest {}, &call).await {
            Err(error) if error.fault == Fault::Denied => {
                inner.state = State::None;
                true
            }
            _ => {
                inner.state = State::Live(Arc::new(Token { verified: now, ..current.copy() }));
                false
            }
        }
    }

    /// Extends the token. `None`: this session has no token to extend any more.
    async fn renew(&self, epoch: u64) -> Option<Result<Duration, VaultError>> {
        let current = match &self.inner.lock().await.state {
            State::Live(token) if token.epoch == epoch => token.clone(),
            _ => return None,
        };
        let call = Call { token: Some(&current.secret), namespace: Some(&current.namespace), headers: &[] };
        let result = self.server.send(RenewTokenSelfRequest { increment: None }, &call).await;
        let mut inner = self.inner.lock().await;
        if !matches!(&inner.state, State::Live(token) if token.epoch == epoch) {
            return None;
        }
        match result {
            Ok(answer) => {
                let lease = Duration::from_secs(answer.auth.as_ref().map_or(0, |a| a.lease_duration));
                let expires = Some(Instant::now() + lease);
                inner.state = State::Live(Arc::new(Token { expires, ..current.copy() }));
                Some(Ok(lease))
            }
            Err(error) => {
                if matches!(error.fault, Fault::Denied | Fault::NotFound | Fault::Invalid) {
                    inner.state = State::None;
                }
                Some(Err(error))
            }
        }
    }

    /// Whether a token is still the one to use.
    pub(super) async fn holds(&self, token: &Token) -> bool {
        let now = Instant::now();
        match &self.inner.lock().await.state {
            State::Live(live) => live.epoch == token.epoch && live.expires.is_none_or(|e| now + MARGIN < e),
            _ => false,
        }
    }

    /// Epoch and time left of the live token.
    async fn remaining(&self) -> Option<(u64, Duration)> {
        match &self.inner.lock().await.state {
            State::Live(token) => Some((token.epoch, token.expires?.saturating_duration_since(Instant::now()))),
            _ => None,
        }
    }
}

impl Token {
    fn new(granted: Granted, epoch: u64) -> Self {
        let now = Instant::now();
        let Granted { auth, namespace, credential_uid } = granted;
        let client_id = match auth.accessor.as_str() {
            "" => String::new(),
            accessor => hex(&Blake2b::<U32>::digest(accessor.as_bytes())),
        };
        Self {
            secret: auth.client_token,
            info: TokenInfo { client_id, credential_uid },
            namespace,
            epoch,
            expires: (auth.lease_duration > 0).then(|| now + Duration::from_secs(auth.lease_duration)),
            verified: now,
        }
    }

    fn copy(&self) -> Self {
        Self {
            secret: self.secret.clone(),
            info: self.info.clone(),
            namespace: self.namespace.clone(),
            epoch: self.epoch,
            expires: self.expires,
            verified: self.verified,
        }
    }
}

/// Renews the token at two thirds of its time, until it cannot be renewed, is replaced, or nobody needs the session.
async fn keep_alive(session: Weak<Session>) {
    // The login that spawned this task stores its token a moment later, under the lock that `remaining` takes.
    let Some((epoch, mut left)) = (match session.upgrade() {
        Some(session) => session.remaining().await,
        None => None,
    }) else {
        return;
    };
    let granted = left;
    let mut pause = left.mul_f64(2.0 / 3.0);
    let mut after_error = Duration::from_secs(1);
    loop {
        tokio::time::sleep(pause).await;
        let Some(session) = session.upgrade() else { return };
        match session.renew(epoch).await {
            None => return,
            Some(Ok(lease)) => {
                left = lease;
                after_error = Duration::from_secs(1);
                // Vault grants less and less as the maximal lifetime nears. Then the token is left to expire, and the
                // next read logs in.
                if left < granted / 10 || left < MARGIN * 2 {
                    return;
                }
                pause = left.mul_f64(2.0 / 3.0);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "token could not be renewed");
                let Some((current, left)) = session.remaining().await else { return };
                if current != epoch || left < MARGIN {
                    return;
                }
                pause = after_error.min(left / 2);
                after_error = (after_error * 2).min(Duration::from_secs(60));
            }
        }
    }
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_is_upstreams() {
        let digest = hex(&Blake2b::<U32>::digest(b"hmac-sha256-accessor"));
        assert_eq!(digest, "37d25e07a251bd7cddbbadc56fe8ae18db468560bcf84051169a2390f4ccac78");
    }
}
