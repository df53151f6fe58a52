//! The sessions in use, by identity.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::server::Server;
use super::session::{Identity, LoginSource, Session};
use crate::schedule::Policy;

/// Finds or makes the session of an identity. Holds no session alive: the objects that use one do.
pub struct SessionPool {
    sessions: Mutex<HashMap<Identity, Weak<Session>>>,
    login_backoff: Policy,
}

impl SessionPool {
    /// An empty pool; `login_backoff` paces failed logins of each session.
    pub fn new(login_backoff: Policy) -> Self {
        Self { sessions: Mutex::default(), login_backoff }
    }

    /// The session of `identity`, a new one without a token if nobody uses it yet.
    pub fn session(
        &self,
        identity: Identity,
        server: &Arc<Server>,
        source: impl FnOnce() -> Box<dyn LoginSource>,
    ) -> Arc<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&identity).and_then(Weak::upgrade) {
            return session;
        }
        sessions.retain(|_, session| session.strong_count() > 0);
        let session = Arc::new(Session::new(identity, server.clone(), source(), self.login_backoff));
        sessions.insert(identity, Arc::downgrade(&session));
        session
    }

    /// Number of sessions in use.
    pub fn len(&self) -> usize {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().filter(|s| s.strong_count() > 0).count()
    }

    /// True if no session is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
