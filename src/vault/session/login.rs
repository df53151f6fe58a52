//! How a session comes by a token: one that was kept, or a login.

use std::time::Instant;

use serde_json::{Map, Value};

use super::refused::Refused;
use super::token::Granted;
use super::{Inner, Kept, Session, SessionError, TokenStore, kept};
use crate::vault::request::Any;
use crate::vault::transport::Call;
use crate::vault::{Fault, VaultError};

/// A login request, made anew for every login since it carries a short-lived credential.
pub struct Login {
    /// Vault namespace of the auth mount.
    pub namespace: String,
    /// Sent with this request only.
    pub headers: Vec<(String, String)>,
    /// The method's parameters. Holds the credential: never printed.
    pub body: Map<String, Value>,
    /// UID of the object that the credential belongs to, part of upstream's cache key.
    pub credential_uid: String,
    /// What tells this credential from others, without being it, if Vault locks the role for everybody after some wrong
    /// ones: see `refused.rs`.
    pub lockable: Option<String>,
}

/// Where a login request comes from: only the cluster can make one.
#[async_trait::async_trait]
pub trait LoginSource: Send + Sync {
    /// Where the login is asked for, with `auth/` and the mount.
    fn path(&self) -> String;

    /// Obtains a fresh credential and builds the request.
    async fn login(&self) -> Result<Login, String>;
}

/// Where a session gets its token from.
pub struct Origin {
    /// Makes login requests.
    pub login: Box<dyn LoginSource>,
    /// Where the token is kept over a restart.
    pub store: Option<Box<dyn TokenStore>>,
}

impl Session {
    /// A token that was kept, or that of a fresh login.
    pub(super) async fn obtain(&self, inner: &mut Inner) -> Result<Granted, SessionError> {
        if self.server.down().is_some() {
            // No credential is asked for while it could not be used. Whichever of the two fails, its text is the same for
            // all who wait: a condition that says it stays as it is.
            let path = self.origin.login.path();
            self.server.admit(&path).map_err(SessionError::Login)?;
            let probed = self.server.probe().await;
            probed.map_err(|error| SessionError::Login(VaultError { path, ..error }))?;
        }
        if let Some(store) = &self.origin.store {
            let restored = match inner.kept {
                Kept::Perhaps => self.restore(&**store).await?,
                Kept::Spent => {
                    store.forget(None).await;
                    None
                }
                Kept::Nothing => None,
            };
            inner.kept = Kept::Nothing;
            if let Some(granted) = restored {
                return Ok(granted);
            }
        }
        let started = Instant::now();
        let result = self.login(&mut inner.refused).await;
        if let Some(shared) = &self.shared {
            shared.metrics.client.factory("get", result.is_ok(), started.elapsed());
        }
        result
    }

    async fn login(&self, refused: &mut Option<Refused>) -> Result<Granted, SessionError> {
        let login = self.origin.login.login().await.map_err(SessionError::Credential)?;
        Refused::hold_back(refused, login.lockable.as_deref(), Instant::now()).map_err(SessionError::Login)?;
        let path = self.origin.login.path();
        let call = Call { token: None, namespace: Some(&login.namespace), headers: &login.headers };
        let request = Any::put(&path, Value::Object(login.body));
        let sent = self.server.send_for_body(request, &call).await;
        let sent = sent.map_err(|error| Refused::note(refused, login.lockable.clone(), error, Instant::now()));
        let (answer, body) = sent.map_err(SessionError::Login)?;
        let auth = answer.auth.ok_or_else(|| {
            SessionError::Login(VaultError::new(Fault::Protocol, &path, "the answer to the login has no token"))
        })?;
        tracing::info!(
            path,
            accessor_known = !auth.accessor.is_empty(),
            ttl_s = auth.lease_duration,
            "logged in to Vault"
        );
        let answer = self.origin.store.as_ref().filter(|_| auth.renewable).and_then(|_| kept::go_json(&body));
        let Login { namespace, credential_uid, .. } = login;
        Ok(Granted { auth, namespace, credential_uid, answer, kept_as: None })
    }
}
