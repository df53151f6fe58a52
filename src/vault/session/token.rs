//! A token and what is known of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use secrecy::{ExposeSecret as _, SecretString};

use super::{EXPIRY_MARGIN, ProvidedToken};
use crate::vault::VaultError;
use crate::vault::request::Auth;

/// A token that no login gave is read again this long after the last time: a replaced one may go on being good.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// So long after a login, nodes are told which state has its token. If the storage is restored from a snapshot, no node
/// has it.
const MAX_BEHIND_TIME: Duration = Duration::from_secs(300);

/// A token with less than this part of its life left is not extended any more, or its extension fails: it is extended
/// while a third is left.
const LAST_PART: f64 = 0.3;

/// The token that requests are sent with.
#[derive(Clone, Debug)]
pub struct TokenInUse {
    /// What is known of it.
    pub info: TokenInfo,
    /// When it ends, and what Vault has issued with it ends. `None`: never. It may be extended before.
    pub expires: Option<Instant>,
    /// From then on it is not extended any more, if it was not until then.
    pub ending_since: Option<Instant>,
}

/// What the status of an object says of the token that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenInfo {
    /// Hex BLAKE2b-256 of the token's accessor, VSO's client ID; empty for tokens without a known accessor.
    pub client_id: String,
    /// UID of the service account or Secret behind the login.
    pub credential_uid: String,
    /// Tells this token from every other.
    pub serial: u64,
    /// Whether Vault extends its life, so that it is worth storing over a restart.
    pub renewable: bool,
    /// Key that it was stored under, if it comes from an earlier process.
    pub stored_under: Option<Arc<str>>,
}

/// A token and what is known of it.
#[derive(Clone)]
pub(in crate::vault) struct Token {
    pub secret: SecretString,
    pub info: TokenInfo,
    /// State of the server that has the token (`X-Vault-Index`), where it tells that, and until when a node may be
    /// behind it.
    pub(super) index: Option<(Arc<str>, Instant)>,
    /// Vault namespace of the login, in which the token is renewed and looked up.
    pub namespace: String,
    /// Vault's answer to the login, where that can be stored.
    pub login_response: Option<SecretString>,
    /// `None`: does not expire.
    pub expires: Option<Instant>,
    /// How long it lived when it was granted; zero: for ever.
    pub(super) granted: Duration,
    /// When lookup-self last showed the token to be good, or when it was last read where no login gave it.
    pub verified: Instant,
    /// Where it stands, if no login gave it.
    pub(super) location: Option<Arc<str>>,
    /// How many requests it is still good for; `None`: without limit.
    pub(super) uses_left: Option<Arc<AtomicU64>>,
}

/// What a login gave.
pub(super) struct Granted {
    pub auth: Auth,
    pub namespace: String,
    /// State of the server that has the token.
    pub index: Option<String>,
    pub credential_uid: String,
    pub login_response: Option<SecretString>,
    pub stored_under: Option<String>,
    /// See [`ProvidedToken::location`].
    pub location: Option<String>,
}

impl From<ProvidedToken> for Granted {
    /// Nothing is asked of Vault: a server that knows no more than KV cannot tell how long the token lives.
    fn from(token: ProvidedToken) -> Self {
        let ProvidedToken { secret, credential_uid, location } = token;
        Self {
            auth: Auth { client_token: secret, ..Auth::default() },
            namespace: String::new(),
            index: None,
            credential_uid,
            login_response: None,
            stored_under: None,
            location: Some(location),
        }
    }
}

impl Token {
    pub(super) fn new(granted: Granted) -> Self {
        let now = Instant::now();
        let Granted { auth, namespace, index, credential_uid, login_response, stored_under, location } = granted;
        let client_id = match auth.accessor.as_str() {
            "" => String::new(),
            accessor => hex::encode(Blake2b::<U32>::digest(accessor.as_bytes())),
        };
        Self {
            secret: auth.client_token,
            info: TokenInfo {
                client_id,
                credential_uid,
                serial: rand::random(),
                // A renewal is a use too.
                renewable: auth.renewable && !auth.lease.is_zero() && auth.num_uses == 0,
                stored_under: stored_under.map(Into::into),
            },
            index: index.map(|index| (index.into(), now + MAX_BEHIND_TIME)),
            namespace,
            login_response,
            expires: (!auth.lease.is_zero()).then(|| now + auth.lease),
            granted: auth.lease,
            verified: now,
            location: location.map(Into::into),
            uses_left: (auth.num_uses > 0).then(|| Arc::new(AtomicU64::new(auth.num_uses))),
        }
    }

    /// Whether it lives long enough for a request.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        self.expires.is_none_or(|end| now + EXPIRY_MARGIN < end)
    }

    /// The state that a node must have reached to know the token: one that has not would deny it. `None`: all know it,
    /// or it is not known.
    pub(super) fn needed_index(&self, now: Instant) -> Option<String> {
        self.index.as_ref().filter(|(_, until)| now < *until).map(|(index, _)| index.to_string())
    }

    /// Counts a request that is sent with the token. False if the token is used up: Vault would revoke it, or has.
    pub(super) fn take_use(&self) -> bool {
        let Some(left) = &self.uses_left else { return true };
        left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Whether Vault counts the requests that are sent with it.
    pub(super) fn has_limited_uses(&self) -> bool {
        self.uses_left.is_some()
    }

    /// It, and when it ends.
    pub(super) fn in_use(&self) -> TokenInUse {
        let replaceable = self.expires.and_then(|end| end.checked_sub(self.granted.mul_f64(LAST_PART)));
        TokenInUse { info: self.info.clone(), expires: self.expires, ending_since: replaceable }
    }

    /// Whether no login gave it.
    pub(super) fn is_provided(&self) -> bool {
        self.location.is_some()
    }

    /// Whether it may have been replaced where it stands.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_provided() && now >= self.verified + READ_AGAIN_AFTER
    }

    /// Whether a token that was read now is this one.
    pub(super) fn is(&self, provided: &ProvidedToken) -> bool {
        self.secret.expose_secret() == provided.secret.expose_secret()
            && self.info.credential_uid == provided.credential_uid
    }

    /// A denial that stands, with the place where the token can be replaced.
    pub(in crate::vault) fn explain(&self, denied: VaultError) -> VaultError {
        let Some(location) = &self.location else { return denied };
        let message = format!("{}; the token is that in {location}", denied.message);
        VaultError { message, ..denied }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_is_that_of_vso() {
        let digest = hex::encode(Blake2b::<U32>::digest(b"hmac-sha256-accessor"));
        assert_eq!(digest, "37d25e07a251bd7cddbbadc56fe8ae18db468560bcf84051169a2390f4ccac78");
    }
}
