//! Reads that objects share: equal path, version, Vault namespace and session means one request for all of them.
//!
//! Sharing never crosses a session, so no object sees what its own login could not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::request::{Envelope, Read};
use super::revision::{Newest, Revision};
use super::session::{Identity, REPLICATION_RETRIES, Session, SessionError, TokenInfo};
use super::{ErrorKind, VaultError};
use crate::util::WeakTable;

/// An answer that several objects look at.
pub type Answer = Result<(Arc<Envelope>, TokenInfo), SessionError>;

/// The last answer.
struct Last {
    /// When its request began.
    asked: Instant,
    /// The state that the answering node had to have reached.
    index: Option<String>,
    answer: Answer,
}

/// One read and those that share it. There is one of these for each path that is read, so it is kept small.
pub struct SharedRead {
    read: Arc<Read>,
    last: tokio::sync::Mutex<Option<Box<Last>>>,
    /// What is known of the latest version of a secret of KV v2.
    newest: Mutex<Newest>,
    /// How many wait for the answer of a request.
    waiting: AtomicUsize,
    /// When the objects with a refresh interval are due together, by that interval, of which there is mostly one.
    due: Mutex<Vec<(Duration, Instant)>>,
}

/// An answer that others may still want is kept this long at most. Secret data is not a cache.
const ANSWER_TTL: Duration = Duration::from_secs(2);

impl SharedRead {
    /// What is read.
    pub fn read(&self) -> &Read {
        &self.read
    }

    /// The answer of a request that began at `not_before` or later: one that another object has just got, one that is
    /// under way, or a new one. With `index`, of a node that has reached that state.
    pub async fn get(self: &Arc<Self>, session: &Arc<Session>, not_before: Instant, index: Option<&str>) -> Answer {
        let waiting = Waiting::new(&self.waiting);
        let mut last = self.last.lock().await;
        drop(waiting);
        if let Some(known) = &*last
            && known.asked >= not_before
            && (index.is_none() || known.index.as_deref() == index)
        {
            let answer = known.answer.clone();
            if self.is_long_and_unwanted(&answer) {
                *last = None;
            }
            return answer;
        }
        let asked = Instant::now();
        let answer = self.ask(session, index).await.map(|(envelope, token)| (Arc::new(envelope), token));
        // The table holds a weak reference, the caller a strong one: more of them are other objects.
        if Arc::strong_count(self) > 1 && !self.is_long_and_unwanted(&answer) {
            *last = Some(Box::new(Last { asked, index: index.map(str::to_owned), answer: answer.clone() }));
            let this = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(ANSWER_TTL).await;
                if let Some(this) = this.upgrade() {
                    let mut last = this.last.lock().await;
                    if last.as_ref().is_some_and(|last| last.asked == asked) {
                        *last = None;
                    }
                }
            });
        }
        answer
    }

    /// Reads, and asks again while the node that answers is behind one that has answered before: it soon has what it
    /// lacks, and the next connection may lead to another node.
    async fn ask(&self, session: &Arc<Session>, index: Option<&str>) -> Result<(Envelope, TokenInfo), SessionError> {
        let mut pauses = REPLICATION_RETRIES.iter();
        loop {
            let answer = session.read(&self.read, index).await;
            let Err(error) = self.learn(&answer) else { return answer };
            let Some(pause) = pauses.next() else {
                if error.kind == ErrorKind::NotFound {
                    self.newest.lock().forget();
                }
                return Err(SessionError::Request(error));
            };
            if let Ok((Envelope { connection: Some(connection), .. }, _)) = &answer {
                connection.give_up();
            }
            tokio::time::sleep(*pause).await;
        }
    }

    /// Learns which version of a secret an answer has.
    ///
    /// # Errors
    /// If an earlier answer had a newer one, or there was one and now is none.
    fn learn(&self, answer: &Result<(Envelope, TokenInfo), SessionError>) -> Result<(), VaultError> {
        if self.read.version != Some(0) {
            return Ok(());
        }
        let mut newest = self.newest.lock();
        match answer {
            Ok((envelope, _)) => match Revision::of(envelope) {
                Some(revision) => newest.learn(&self.read.path, revision, Instant::now()),
                None => Ok(()),
            },
            Err(SessionError::Request(error)) if error.kind == ErrorKind::NotFound && newest.is_known() => {
                Err(error.clone())
            }
            Err(_) => Ok(()),
        }
    }

    /// True of a long answer that no other object waits for: those are few at one time, and none is kept in case.
    fn is_long_and_unwanted(&self, answer: &Answer) -> bool {
        let is_long = answer.as_ref().is_ok_and(|(envelope, _)| envelope.turn.is_some());
        is_long && self.waiting.load(Ordering::Relaxed) == 0
    }

    /// When an object that refreshes every `interval` is due next. Those that share the read are due together;
    /// `horizon` is used by the first of them.
    pub fn next_due(&self, interval: Duration, now: Instant, horizon: Duration) -> Instant {
        let mut due = self.due.lock();
        if let Some((_, at)) = due.iter_mut().find(|(of, _)| *of == interval) {
            if *at <= now {
                *at = now + horizon;
            }
            return *at;
        }
        due.reserve_exact(1);
        due.push((interval, now + horizon));
        now + horizon
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The login, and what is read with it.
type Key = (Identity, Arc<Read>);

/// The reads in use.
#[derive(Default)]
pub struct ReadCache {
    reads: WeakTable<Key, SharedRead>,
}

impl ReadCache {
    /// The shared read of `read` with the session of `identity`. It is forgotten when the last object drops it.
    pub fn share(&self, identity: Identity, read: Read) -> Arc<SharedRead> {
        self.reads.get_or_insert_with((identity, Arc::new(read)), |(_, read)| {
            Arc::new(SharedRead {
                read: read.clone(),
                last: Default::default(),
                newest: Default::default(),
                waiting: AtomicUsize::new(0),
                due: Default::default(),
            })
        })
    }
}
