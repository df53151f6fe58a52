//! How a session comes by a token: one that was stored, or one that its credential gives.

use std::time::Instant;

use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::credential::{LoginRequest, Proof};
use super::credential_change::KnownCredential;
use super::refused::Refused;
use super::stored::StoredLogin;
use super::token::Granted;
use super::{Inner, Session, SessionError, StoredToken};
use crate::vault::request::{Auth, RawRequest};
use crate::vault::transport::RequestOptions;
use crate::vault::{ErrorKind, VaultError};

impl Session {
    /// A token that was stored, or that of a fresh credential.
    pub(super) async fn obtain(&self, inner: &mut Inner) -> Result<Granted, SessionError> {
        if self.server.last_error().is_some()
            && let Some(path) = self.source.provider.login_path()
        {
            // No credential is asked for while it could not be used. Admission and probe fail with one text for all
            // sessions that wait: a condition that says it stays as it is.
            self.server.check_circuit(&path).map_err(SessionError::Login)?;
            let probed = self.server.probe().await;
            probed.map_err(|error| SessionError::Login(VaultError { path, ..error }))?;
        }
        if let Some(store) = &self.source.store {
            let restored = match inner.stored {
                StoredToken::Unknown => self.restore(&**store).await?,
                StoredToken::Invalid => {
                    store.delete(None).await;
                    None
                }
                StoredToken::Absent => None,
            };
            inner.stored = StoredToken::Absent;
            if let Some(granted) = restored {
                return Ok(granted);
            }
        }
        let started = Instant::now();
        let result = self.grant(inner).await;
        if let Some(shared) = &self.shared {
            shared.metrics.client.factory("get", result.is_ok(), started.elapsed());
        }
        result
    }

    async fn grant(&self, inner: &mut Inner) -> Result<Granted, SessionError> {
        let asked = Instant::now();
        let proof = self.source.provider.proof().await;
        inner.credential = Some(KnownCredential::new(asked, proof.as_ref().ok()));
        match proof.map_err(SessionError::Credential)? {
            Proof::Login(request) => self.login(request, &mut inner.refused).await,
            Proof::Token(token) => {
                tracing::info!(location = token.location, "took a Vault token from where it is provided");
                Ok(token.into())
            }
        }
    }

    async fn login(&self, login: LoginRequest, refused: &mut Option<Refused>) -> Result<Granted, SessionError> {
        let LoginRequest { path, namespace, headers, body, credential_uid, lockout_key, .. } = login;
        Refused::hold_back(refused, lockout_key.as_deref(), Instant::now()).map_err(SessionError::Login)?;
        let call = RequestOptions { token: None, namespace: Some(&namespace), headers: &headers };
        let request = RawRequest::put(&path, Value::Object(body));
        let sent = self.server.send_for_body(request, &call).await;
        let sent = sent.map_err(|error| Refused::note(refused, lockout_key, error, Instant::now()));
        let (answer, body) = sent.map_err(SessionError::Login)?;
        let index = answer.index;
        let auth = answer.auth.ok_or_else(|| {
            SessionError::Login(VaultError::new(ErrorKind::Protocol, &path, "the answer to the login has no token"))
        })?;
        if auth.client_token.expose_secret().is_empty() {
            return Err(SessionError::Login(no_token(&path, &auth)));
        }
        tracing::info!(
            path,
            accessor_known = !auth.accessor.is_empty(),
            ttl_s = auth.lease.as_secs(),
            "logged in to Vault"
        );
        let login_response = self
            .source
            .store
            .as_ref()
            .filter(|_| auth.renewable && auth.num_uses == 0)
            .and_then(|_| StoredLogin::go_json(&body));
        Ok(Granted { auth, namespace, index, credential_uid, login_response, stored_under: None, location: None })
    }
}

/// The error of a login that was answered without a token.
fn no_token(path: &str, auth: &Auth) -> VaultError {
    if auth.mfa_requirement.is_some() {
        let text = "the login asks for multi-factor authentication, which has no place in an operator: exempt this role \
                    or mount from Vault's login MFA enforcement";
        return VaultError::new(ErrorKind::PermissionDenied, path, text);
    }
    VaultError::new(ErrorKind::Protocol, path, "the answer to the login has no token")
}
