//! A token and what is known of it.

use std::time::{Duration, Instant};

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use secrecy::SecretString;

use crate::vault::request::Auth;

/// What the status of an object says of the token that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenInfo {
    /// Hex BLAKE2b-256 of the token's accessor, empty for batch tokens; upstream's client ID.
    pub client_id: String,
    /// UID of the service account or Secret behind the login.
    pub credential_uid: String,
    /// Tells this token from every other.
    pub serial: u64,
    /// Whether it is worth keeping over a restart: it can be renewed.
    pub lasting: bool,
    /// What it was kept as, if it comes from an earlier process.
    pub kept_as: Option<std::sync::Arc<str>>,
}

/// A token and what is known of it.
pub(in crate::vault) struct Token {
    pub secret: SecretString,
    pub info: TokenInfo,
    /// Vault namespace of the login, in which the token is renewed and looked up.
    pub namespace: String,
    /// Vault's answer to the login, where that can be kept.
    pub answer: Option<SecretString>,
    /// `None`: does not expire.
    pub expires: Option<Instant>,
    /// When lookup-self last showed the token to be good.
    pub verified: Instant,
}

/// What a login gave.
pub(super) struct Granted {
    pub auth: Auth,
    pub namespace: String,
    pub credential_uid: String,
    pub answer: Option<SecretString>,
    pub kept_as: Option<String>,
}

impl Token {
    pub(super) fn new(granted: Granted) -> Self {
        let now = Instant::now();
        let Granted { auth, namespace, credential_uid, answer, kept_as } = granted;
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
                lasting: auth.renewable && auth.lease_duration > 0,
                kept_as: kept_as.map(Into::into),
            },
            namespace,
            answer,
            expires: (auth.lease_duration > 0).then(|| now + Duration::from_secs(auth.lease_duration)),
            verified: now,
        }
    }

    pub fn copy(&self) -> Self {
        Self {
            secret: self.secret.clone(),
            info: self.info.clone(),
            namespace: self.namespace.clone(),
            answer: self.answer.clone(),
            expires: self.expires,
            verified: self.verified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_is_upstreams() {
        let digest = hex::encode(Blake2b::<U32>::digest(b"hmac-sha256-accessor"));
        assert_eq!(digest, "37d25e07a251bd7cddbbadc56fe8ae18db468560bcf84051169a2390f4ccac78");
    }
}
