//! Credentials that Vault has refused, where it counts refusals.
//!
//! Vault locks a role of AppRole for 15 minutes after 5 logins with a wrong secret ID: for every caller, the right ones
//! included (<https://developer.hashicorp.com/vault/docs/concepts/user-lockout>). So a secret ID that was refused is
//! not offered again and again; another one is at once.

use std::time::{Duration, Instant};

use crate::vault::{ErrorKind, VaultError};

/// A refused credential is offered this often, in case Vault did not know it yet. Two that share a role stay below 5.
const MAX_OFFERS: u32 = 2;
/// And then once in so long: Vault has forgotten the refusals before after 15 minutes.
const OFFER_INTERVAL: Duration = Duration::from_secs(16 * 60);

/// The last credential that was refused.
pub(super) struct Refused {
    credential: String,
    offers: u32,
    at: Instant,
    error: VaultError,
}

impl Refused {
    /// The error that Vault would answer with, if this credential is not to be offered now.
    pub fn hold_back(refused: &Option<Self>, credential: Option<&str>, now: Instant) -> Result<(), VaultError> {
        let same = refused.as_ref().filter(|refused| credential == Some(&refused.credential));
        match same {
            Some(refused) if refused.offers >= MAX_OFFERS && now < refused.at + OFFER_INTERVAL => {
                Err(refused.error.clone())
            }
            _ => Ok(()),
        }
    }

    /// Remembers that a login with the credential failed, if that is for the credential, and gives the error to show.
    pub fn note(refused: &mut Option<Self>, credential: Option<String>, error: VaultError, now: Instant) -> VaultError {
        let Some(credential) = credential.filter(|_| error.kind == ErrorKind::Invalid) else { return error };
        let offers = refused.take().filter(|known| known.credential == credential).map_or(0, |known| known.offers);
        let message = format!(
            "{}; it is offered again when its Secret changes, else every {} minutes, since Vault locks a role that is \
             tried too often",
            error.message,
            OFFER_INTERVAL.as_secs() / 60
        );
        let error = VaultError { message, ..error };
        *refused = Some(Self { credential, offers: offers + 1, at: now, error: error.clone() });
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_credential_is_offered_twice_and_then_rarely_and_another_one_at_once() {
        let mut refused = None;
        let mut now = Instant::now();
        let mut offers = vec![];
        let refuse = |refused: &mut _, credential: &str, now| {
            let offered = Refused::hold_back(refused, Some(credential), now).is_ok();
            if offered {
                Refused::note(refused, Some(credential.into()), VaultError::new(ErrorKind::Invalid, "p", "no"), now);
            }
            offered
        };
        for _ in 0..3600 {
            offers.extend(refuse(&mut refused, "one", now).then_some(now));
            now += Duration::from_secs(1);
        }
        let pauses: Vec<u64> = offers.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(pauses, [1, 960, 960, 960]);
        assert!(refuse(&mut refused, "two", now) && refuse(&mut refused, "two", now));
        assert!(!refuse(&mut refused, "two", now));
    }

    #[test]
    fn only_a_refusal_counts_and_only_where_vault_counts() {
        let now = Instant::now();
        let error = |kind| VaultError::new(kind, "p", "text");
        for (credential, kind) in [
            (Some("id"), ErrorKind::PermissionDenied),
            (Some("id"), ErrorKind::Unreachable),
            (None, ErrorKind::Invalid),
        ] {
            let mut refused = None;
            let shown = Refused::note(&mut refused, credential.map(str::to_owned), error(kind), now);
            assert!(refused.is_none() && shown.message == "text");
        }
    }
}
