//! Instant updates: which objects read which path, so that an event of Vault makes those objects due and no others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::dependents::RECOVERY_SPREAD;
use super::outputs::EventText;
use super::stores::Stores;
use super::work::Work;
use crate::api::{ConditionType, ConditionUpdate, Key, Reason, SecretOwner, condition};
use crate::backoff::{Policy, spread};
use crate::vault::{
    ErrorKind, EventStream, EventStreams, Product, ServerId, Session, SessionError, Signal, StreamKey, StreamState,
};
use crate::workqueue::Class;

/// Condition of an object that asks for instant updates.
const CONDITION: ConditionType = ConditionType::InstantUpdates;
/// A path that is written all the time makes its objects due this often.
const PACE: Duration = Duration::from_millis(500);
/// Signals that wait to be looked at. When there are more, the streams wait.
const BACKLOG: usize = 1024;

/// The event streams, and the objects that read the paths they tell of.
pub(crate) struct Subscriptions {
    streams: EventStreams,
    subscribers: Arc<Subscribers>,
}

/// The objects of each path of each stream.
#[derive(Default)]
struct Subscribers(Mutex<HashMap<StreamKey, HashMap<String, SubscribedPath>>>);

/// A path that objects read.
struct SubscribedPath {
    objects: HashMap<Key, Arc<Inbox>>,
    /// Another event makes them due no sooner.
    not_before: Instant,
}

/// The change that an object has not acknowledged yet.
#[derive(Default)]
struct Inbox(Mutex<Option<PendingChange>>);

/// Something was written, or may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingChange {
    /// A read that began earlier does not show it.
    pub since: Instant,
    /// State that a server must have reached to show it.
    pub index: Option<String>,
}

/// The subscription of one object. Ends when it is dropped.
pub(crate) struct Subscription {
    stream: Arc<EventStream>,
    path: String,
    key: Key,
    /// Of the object and its plan when they were last looked at.
    fingerprint: u64,
    inbox: Arc<Inbox>,
    subscribers: Arc<Subscribers>,
}

impl Subscriptions {
    /// No stream is open yet. The receiver is told what the streams tell.
    pub fn new(reconnect: Policy) -> (Self, mpsc::Receiver<Signal>) {
        let (signals, receiver) = mpsc::channel(BACKLOG);
        (Self { streams: EventStreams::new(signals, reconnect), subscribers: Arc::default() }, receiver)
    }

    /// Makes `subscription` follow the writes to a path, with the token of a session.
    pub fn follow(
        &self,
        subscription: &mut Option<Subscription>,
        session: &Arc<Session>,
        key: &Key,
        (namespace, path): (&str, &str),
        fingerprint: u64,
    ) {
        let fits = |s: &Subscription| {
            let stream = s.stream.key();
            stream.identity == session.identity
                && stream.namespace == namespace
                && s.path == path
                && !s.stream.has_ended()
        };
        if let Some(known) = subscription.as_mut().filter(|known| fits(known)) {
            if known.fingerprint != fingerprint {
                // What was changed may be what the server refused.
                known.fingerprint = fingerprint;
                if !matches!(known.stream.state(), StreamState::Streaming) {
                    known.stream.retry();
                }
            }
            return;
        }
        // Before the new one is made: it would take that off the list.
        *subscription = None;
        let Some(stream) = self.streams.stream(session, namespace) else { return };
        let inbox: Arc<Inbox> = Arc::default();
        self.subscribers.add(stream.key(), path, key, &inbox);
        let (path, key, subscribers) = (path.to_owned(), key.clone(), self.subscribers.clone());
        *subscription = Some(Subscription { stream, path, key, fingerprint, inbox, subscribers });
    }

    /// This process leads from now on, or does not any more: only the leader listens. The objects that want instant updates
    /// are due, to subscribe.
    pub fn lead(&self, leads: bool, stores: &Stores, work: &Work) {
        if !leads {
            return self.streams.stop();
        }
        self.streams.start();
        for owner in stores.all_owners().filter(|owner| owner.wants_instant_updates()) {
            work.push_now(Key { kind: owner.kind(), id: owner.id() }, Class::Refresh);
        }
    }

    /// Makes the objects due that a signal of a stream concerns.
    pub fn on_signal(&self, signal: &Signal, work: &Work) {
        let due = match signal {
            Signal::Started(stream) => self.subscribers.all(stream, true),
            Signal::Changed(stream) => self.subscribers.all(stream, false),
            Signal::Written { stream, path, index } => self.subscribers.written(stream, path, index.as_ref()),
        };
        for (due, key) in due {
            work.push(key, due, Class::Event);
        }
    }

    /// A server works again.
    pub fn server_works(&self, server: ServerId) {
        self.streams.retry(server);
    }

    /// Number of open websockets.
    pub fn open_streams(&self) -> usize {
        self.streams.open()
    }
}

impl Subscription {
    /// The change that the object has not acknowledged.
    pub fn pending(&self) -> Option<PendingChange> {
        self.inbox.0.lock().clone()
    }

    /// The object has been read since a change. A change that has come meanwhile stays pending.
    pub fn acknowledge(&self, change: &PendingChange) {
        let mut inbox = self.inbox.0.lock();
        if inbox.as_ref() == Some(change) {
            *inbox = None;
        }
    }

    /// The state of a change was not reached in time. The change stays pending without it; that of a change that has come
    /// meanwhile is waited for.
    pub fn give_up_index(&self, change: &PendingChange) {
        self.inbox.give_up_index(change);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.remove(self);
    }
}

impl Inbox {
    fn put(&self, since: Instant, index: Option<&String>) {
        let mut inbox = self.0.lock();
        let known = inbox.take().and_then(|change| change.index);
        *inbox = Some(PendingChange { since, index: index.cloned().or(known) });
    }

    fn give_up_index(&self, change: &PendingChange) {
        if let Some(known) = &mut *self.0.lock()
            && known.index == change.index
        {
            known.index = None;
        }
    }
}

impl Subscribers {
    fn add(&self, stream: &StreamKey, path: &str, key: &Key, inbox: &Arc<Inbox>) {
        let mut streams = self.0.lock();
        let paths = streams.entry(stream.clone()).or_default();
        let new = || SubscribedPath { objects: HashMap::new(), not_before: Instant::now() };
        paths.entry(path.to_owned()).or_insert_with(new).objects.insert(key.clone(), inbox.clone());
    }

    fn remove(&self, gone: &Subscription) {
        let mut streams = self.0.lock();
        let Entry::Occupied(mut paths) = streams.entry(gone.stream.key().clone()) else { return };
        if let Some(path) = paths.get_mut().get_mut(&gone.path)
            && path.objects.get(&gone.key).is_some_and(|inbox| Arc::ptr_eq(inbox, &gone.inbox))
        {
            path.objects.remove(&gone.key);
            if path.objects.is_empty() {
                paths.get_mut().remove(&gone.path);
            }
        }
        if paths.get().is_empty() {
            paths.remove();
        }
    }

    /// The objects that read a path that was written now, and when they are due.
    fn written(&self, stream: &StreamKey, path: &str, index: Option<&String>) -> Vec<(Instant, Key)> {
        let mut streams = self.0.lock();
        let Some(path) = streams.get_mut(stream).and_then(|paths| paths.get_mut(path)) else { return vec![] };
        let now = Instant::now();
        let due = path.not_before.max(now);
        if due == now {
            path.not_before = now + PACE;
        }
        path.objects.values().for_each(|inbox| inbox.put(now, index));
        path.objects.keys().map(|key| (due, key.clone())).collect()
    }

    /// All objects of a stream, with the time at which each is due: those of one path together. They have to read if
    /// writes may have been `missed`.
    fn all(&self, stream: &StreamKey, missed: bool) -> Vec<(Instant, Key)> {
        let streams = self.0.lock();
        let now = Instant::now();
        let mut rng = rand::rng();
        let mut all = vec![];
        for path in streams.get(stream).into_iter().flat_map(HashMap::values) {
            let due = now + spread(RECOVERY_SPREAD, &mut rng);
            for (key, inbox) in &path.objects {
                if missed {
                    inbox.put(now, None);
                }
                all.push((due, key.clone()));
            }
        }
        all
    }
}

/// The conditions of an object, with what there is to say of instant updates, and nothing of them if it does not want any.
pub(super) fn with_condition(
    owner: &dyn SecretOwner,
    subscription: Option<&Subscription>,
    mut known: Vec<Condition>,
) -> Vec<Condition> {
    if !owner.wants_instant_updates() {
        known.retain(|c| c.type_ != CONDITION.as_str());
        return known;
    }
    let update = match subscription.map(|subscription| subscription.stream.state()) {
        // What was said last stands.
        None | Some(StreamState::Connecting) => return known,
        Some(StreamState::Streaming) => {
            ConditionUpdate::holds(CONDITION, Reason::EventWatcherStarted, "Started watching events")
        }
        Some(StreamState::Failed(error)) => {
            let server = subscription.and_then(|subscription| subscription.stream.server_version());
            let (reason, message) = failure(&error, server.map_or(Product::Unknown, |server| server.product));
            ConditionUpdate::fails(CONDITION, reason, message)
        }
    };
    condition::merge(&known, owner.generation(), &[update])
}

/// The event that tells what has changed of instant updates between two lists of conditions.
pub(super) fn events(old: &[Condition], new: &[Condition]) -> Vec<EventText> {
    let Some(new) = condition::find(new, CONDITION) else { return vec![] };
    let old = condition::find(old, CONDITION);
    if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
        return vec![];
    }
    let message = new.message.as_str();
    vec![match new.status.as_str() {
        "True" => EventText::normal(Reason::EventWatcherStarted, message),
        _ => EventText::warning(Reason::EventWatcherError, format!("Failed to watch events: {message}")),
    }]
}

/// Reason and text of a stream that could not be opened.
fn failure(error: &SessionError, product: Product) -> (Reason, String) {
    let (reason, advice) = match error {
        SessionError::Request(error) => match (error.kind, product) {
            (ErrorKind::NotFound | ErrorKind::PermissionDenied, Product::OpenBao) => (
                Reason::NotAvailable,
                "OpenBao has no event stream up to version 2.7; in a later one that has, the policy of the VaultAuth's role must allow it",
            ),
            (ErrorKind::NotFound, Product::Vault) => (
                Reason::NotAvailable,
                "this Vault has no event stream; Vault Enterprise has one since 1.16, the Community Edition has none",
            ),
            (ErrorKind::NotFound, Product::Unknown) => (
                Reason::NotAvailable,
                "this server has no event stream; Vault Enterprise has one since 1.16, the Community Edition and OpenBao have none",
            ),
            (ErrorKind::PermissionDenied, _) => (
                Reason::Denied,
                "the policy of the VaultAuth's role must allow read on sys/events/subscribe/kv*, and subscribe with subscribe_event_types on the path of the secret; on a server without events this can be the answer too",
            ),
            _ => (Reason::EventWatcherError, "the event stream cannot be opened"),
        },
        SessionError::Credential(_) | SessionError::Login(_) => (Reason::EventWatcherError, "there is no login"),
    };
    (reason, format!("No instant updates, the path is read every refreshAfter: {advice}; err={error}"))
}

#[cfg(test)]
mod tests;
