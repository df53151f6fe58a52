//! A credential that was replaced where it stands: the token that the former one gave is given up.

use std::time::Instant;

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use secrecy::{ExposeSecret as _, SecretSlice};

use super::{CredentialError, LoginRequest, Proof, Session, State};

/// The credential as it was last asked for.
pub(super) struct KnownCredential {
    asked: Instant,
    /// `None`: there was none.
    digest: Option<[u8; 32]>,
}

impl KnownCredential {
    /// What was given for a request that began at `asked`.
    pub fn new(asked: Instant, proof: Option<&Proof>) -> Self {
        Self { asked, digest: proof.map(digest) }
    }

    /// Whether both are one credential.
    fn is(&self, other: &Self) -> bool {
        self.digest.is_some() && self.digest == other.digest
    }
}

impl Session {
    /// The object that holds the credential has changed at `at`, or may have (`is_sure` is false). If it holds another
    /// credential, or none, the next request logs in anew, and a failure of the former credential does not hold it up.
    pub async fn on_credential_change(&self, at: Instant, is_sure: bool) {
        let mut inner = self.inner.lock().await;
        let is_newer = inner.credential.as_ref().is_some_and(|known| known.asked >= at);
        if matches!(inner.state, State::None) || is_newer {
            return;
        }
        let asked = Instant::now();
        let proof = self.source.provider.proof().await;
        if let Err(CredentialError::Unavailable(error)) = &proof {
            tracing::warn!(error, "a credential that has changed could not be read; the former login stays in use");
            return;
        }
        let found = KnownCredential::new(asked, proof.as_ref().ok());
        let is_same = match &inner.credential {
            Some(known) => known.is(&found),
            // The token is that of an earlier process.
            None => !is_sure && found.digest.is_some(),
        };
        inner.credential = Some(found);
        if is_same {
            return;
        }
        inner.login_backoff.reset();
        if let State::Live(_) = inner.state {
            self.invalidate(&mut inner);
        } else {
            inner.state = State::None;
        }
    }
}

fn digest(proof: &Proof) -> [u8; 32] {
    let hash = Blake2b::<U32>::new();
    let hash = match proof {
        Proof::Login(LoginRequest { account: Some(account), .. }) => hash.chain_update(account),
        Proof::Login(LoginRequest { body, .. }) => {
            let body = SecretSlice::from(serde_json::to_vec(body).unwrap_or_default());
            hash.chain_update(body.expose_secret())
        }
        Proof::Token(token) => hash.chain_update(token.secret.expose_secret()),
    };
    hash.finalize().into()
}
