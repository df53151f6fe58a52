//! Keeps a token alive, and decides what a refused request says of it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use vaultrs::api::token::requests::{LookupTokenSelfRequest, RenewTokenSelfRequest};

use super::token::Token;
use super::{CredentialError, EXPIRY_MARGIN, Inner, Proof, Session, State, refuses};
use crate::vault::transport::RequestOptions;
use crate::vault::{ErrorKind, VaultError};

/// A denial is looked into again this soon at the earliest; a token younger than this is taken for good.
const TRUST_TOKEN_FOR: Duration = Duration::from_secs(5);

/// What follows from a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vault) enum AfterDenial {
    /// The session has another token, or gets one: the request is worth one more try.
    Retry,
    /// The token is good, and its policies do not allow the request.
    Stands,
}

impl Session {
    /// Decides what the denial of a path means.
    pub(in crate::vault) async fn on_permission_denied(
        self: &Arc<Self>,
        denied: &Arc<Token>,
        (namespace, path): (&str, &str),
    ) -> AfterDenial {
        let mut inner = self.inner.lock().await;
        let now = Instant::now();
        let current = match &inner.state {
            State::Live(current) => current.clone(),
            _ => return AfterDenial::Retry,
        };
        if current.info.serial != denied.info.serial {
            return AfterDenial::Retry;
        }
        if now < current.verified + TRUST_TOKEN_FOR {
            return AfterDenial::Stands;
        }
        if current.is_provided() {
            self.read_again(&mut inner, &current).await;
            let same = matches!(&inner.state, State::Live(token) if token.info.serial == current.info.serial);
            return if same { AfterDenial::Stands } else { AfterDenial::Retry };
        }
        if self.denials.lock().is_worth_a_login(namespace, path, now) {
            self.invalidate(&mut inner);
            return AfterDenial::Retry;
        }
        if current.has_limited_uses() {
            // A look-up would be a use too.
            return AfterDenial::Stands;
        }
        let call = RequestOptions { token: Some(&current.secret), namespace: Some(&current.namespace), headers: &[] };
        match self.server.send(LookupTokenSelfRequest {}, &call).await {
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                self.invalidate(&mut inner);
                AfterDenial::Retry
            }
            _ => {
                inner.state = State::Live(Arc::new(Token { verified: now, ..(*current).clone() }));
                AfterDenial::Stands
            }
        }
    }

    /// Reads a token that no login gave once more. Another one takes its place with the next request, as does the error
    /// that there is none. While it cannot be read, it stays.
    pub(super) async fn read_again(&self, inner: &mut Inner, current: &Arc<Token>) {
        match self.source.provider.proof().await {
            Ok(Proof::Token(found)) if current.is(&found) => {}
            Err(CredentialError::Unavailable(error)) => {
                tracing::warn!(error, "a Vault token could not be read again where it is provided; it stays in use");
            }
            Ok(_) | Err(CredentialError::Unusable(_)) => return self.invalidate(inner),
        }
        inner.state = State::Live(Arc::new(Token { verified: Instant::now(), ..(**current).clone() }));
    }

    /// Extends the token. `None`: this session has no token to extend any more.
    async fn renew(&self, serial: u64) -> Option<Result<Duration, VaultError>> {
        let current = match &self.inner.lock().await.state {
            State::Live(token) if token.info.serial == serial => token.clone(),
            _ => return None,
        };
        let call = RequestOptions { token: Some(&current.secret), namespace: Some(&current.namespace), headers: &[] };
        let result = self.server.send(RenewTokenSelfRequest { increment: None }, &call).await;
        let mut inner = self.inner.lock().await;
        if !matches!(&inner.state, State::Live(token) if token.info.serial == serial) {
            return None;
        }
        match result {
            Ok(answer) => {
                let lease = answer.auth.as_ref().map_or(Duration::ZERO, |auth| auth.lease);
                let expires = Some(Instant::now() + lease);
                inner.state = State::Live(Arc::new(Token { expires, ..(*current).clone() }));
                Some(Ok(lease))
            }
            Err(error) => {
                if refuses(&error) {
                    self.invalidate(&mut inner);
                }
                Some(Err(error))
            }
        }
    }

    /// Whether a token is still the one to use.
    pub(in crate::vault) async fn is_current(&self, token: &Token) -> bool {
        let now = Instant::now();
        match &self.inner.lock().await.state {
            State::Live(live) => live.info.serial == token.info.serial && live.is_good(now),
            _ => false,
        }
    }

    /// Serial and time left of the live token.
    async fn remaining(&self) -> Option<(u64, Duration)> {
        match &self.inner.lock().await.state {
            State::Live(token) => Some((token.info.serial, token.expires?.saturating_duration_since(Instant::now()))),
            _ => None,
        }
    }
}

/// Renews the token at two thirds of its time, until it cannot be renewed, is replaced, or no object needs the session.
pub(super) async fn keep_alive(session: Weak<Session>) {
    // The login that spawned this task stores its token a moment later, under the lock that `remaining` takes.
    let Some((serial, mut left)) = (match session.upgrade() {
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
        match session.renew(serial).await {
            None => return,
            Some(Ok(lease)) => {
                left = lease;
                after_error = Duration::from_secs(1);
                // Vault grants less and less as the maximal lifetime nears. Then the token is left to expire, and the
                // next read logs in.
                if left < granted / 10 || left < EXPIRY_MARGIN * 2 {
                    return;
                }
                pause = left.mul_f64(2.0 / 3.0);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "token could not be renewed");
                let Some((current, left)) = session.remaining().await else { return };
                if current != serial || left < EXPIRY_MARGIN {
                    return;
                }
                pause = after_error.min(left / 2);
                after_error = (after_error * 2).min(Duration::from_secs(60));
            }
        }
    }
}
