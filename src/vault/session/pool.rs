//! The sessions in use, by identity, and how many of them may have a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::server::Server;
use super::{Identity, Session, TokenSource};
use crate::backoff::Policy;
use crate::telemetry::Metrics;
use crate::util::WeakTable;

/// Finds or makes the session of an identity. Holds no session alive: the objects that use one do.
pub struct SessionPool {
    shared: Arc<Shared>,
    login_backoff: Policy,
}

/// What the sessions of a pool have in common.
pub(super) struct Shared {
    sessions: WeakTable<Identity, Session>,
    /// How many may have a token.
    limit: usize,
    /// Counts requests for tokens, so that it can be told which was last.
    clock: AtomicU64,
    pub metrics: Arc<Metrics>,
}

impl SessionPool {
    /// An empty pool. `login_backoff` paces failed logins of each session; `limit` of them have a token at the same
    /// time.
    pub fn new(login_backoff: Policy, limit: usize, metrics: Arc<Metrics>) -> Self {
        metrics.client.cache_size.set(i64::try_from(limit).unwrap_or(i64::MAX));
        let shared = Shared { sessions: WeakTable::default(), limit, clock: AtomicU64::default(), metrics };
        Self { shared: Arc::new(shared), login_backoff }
    }

    /// The session of `identity`, a new one without a token if no object uses it yet.
    pub fn session(
        &self,
        identity: Identity,
        server: &Arc<Server>,
        source: impl FnOnce() -> TokenSource,
    ) -> Arc<Session> {
        self.shared.sessions.get_or_insert_with(identity, |_| {
            let shared = Some(self.shared.clone());
            Arc::new(Session::shared(identity, server.clone(), source(), self.login_backoff, shared))
        })
    }

    /// Number of sessions in use.
    pub fn len(&self) -> usize {
        self.shared.sessions.len()
    }

    /// True if no session is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shared {
    /// A time that is later than every one before.
    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// After a session got a token: if there are too many now, those that were used least recently lose theirs.
    pub fn make_room(&self, newcomer: &Arc<Session>) {
        let mut live = self.sessions.values();
        live.retain(|session| session.is_live());
        let mut too_many = live.len().saturating_sub(self.limit);
        if too_many == 0 {
            return;
        }
        live.sort_by_key(|session| session.used.load(Ordering::Relaxed));
        for session in live.iter().filter(|s| !Arc::ptr_eq(s, newcomer)) {
            if too_many > 0 && session.evict() {
                too_many -= 1;
                self.metrics.client.cache_evictions.inc();
            }
        }
    }
}
