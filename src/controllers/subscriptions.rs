//! Instant updates: which objects read which path or have which lease, so that an event of Vault makes those objects
//! due and no others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::dependents::RECOVERY_SPREAD;
use super::outputs::EventText;
use super::stores::Stores;
use super::work::Work;
use crate::api::{Condition, ConditionStatus, ConditionType, ConditionUpdate, Key, Reason, SecretOwner, condition};
use crate::backoff::{Policy, spread};
use crate::vault::{
    ErrorKind, EventStream, EventStreams, Product, ServerId, Session, SessionError, Signal, StreamKey, StreamState,
    Topic,
};
use crate::workqueue::Class;

/// Condition of an object that asks for instant updates.
const CONDITION: ConditionType = ConditionType::InstantUpdates;
/// A path that is written all the time makes its objects due this often.
const PACE: Duration = Duration::from_millis(500);
/// Signals that wait to be looked at. When there are more, the streams wait.
const BACKLOG: usize = 1024;

/// The event streams, and the objects that are concerned by what they tell.
pub(crate) struct Subscriptions {
    streams: EventStreams,
    subscribers: Arc<Subscribers>,
}

/// The objects of each subject of each stream.
#[derive(Default)]
struct Subscribers(Mutex<HashMap<StreamKey, HashMap<String, Subject>>>);

/// A path that objects read, or the lease of one.
struct Subject {
    objects: HashMap<Key, Arc<Inbox>>,
    /// Another event makes them due no sooner.
    not_before: Instant,
}

/// The change that an object has not acknowledged yet.
#[derive(Default)]
struct Inbox(Mutex<Option<PendingChange>>);

/// Something was written, or may have been; or the lease has ended.
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
    /// The path, or the ID of the lease.
    subject: String,
    key: Key,
    /// The fingerprint of the object and its plan when they were last looked at.
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

    /// Makes `subscription` follow what is told of a subject, with the token of a session: the writes to a path, or the
    /// end of a lease.
    pub fn follow(
        &self,
        subscription: &mut Option<Box<Subscription>>,
        session: &Arc<Session>,
        key: &Key,
        (namespace, topic, subject): (&str, Topic, &str),
        fingerprint: u64,
    ) {
        let fits = |s: &Subscription| {
            let stream = s.stream.key();
            stream.identity == session.identity
                && stream.namespace == namespace
                && stream.topic == topic
                && !s.stream.has_ended()
        };
        if let Some(known) = subscription.as_mut().filter(|known| fits(known)) {
            known.move_to(subject);
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
        let Some(stream) = self.streams.stream(session, namespace, topic) else { return };
        let inbox: Arc<Inbox> = Arc::default();
        self.subscribers.add(stream.key(), subject, key, &inbox);
        let (subject, key, subscribers) = (subject.to_owned(), key.clone(), self.subscribers.clone());
        *subscription = Some(Box::new(Subscription { stream, subject, key, fingerprint, inbox, subscribers }));
    }

    /// This process leads from now on, or does not any more: only the leader listens. The objects that want instant
    /// updates are due, to subscribe.
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
            Signal::Written { stream, path, index } => self.subscribers.told(stream, path, index.as_ref()),
            Signal::LeaseEnded { stream, lease_id } => self.subscribers.told(stream, lease_id, None),
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
    /// Follows another subject of the stream. What was told of the one before concerns the object no more.
    pub fn move_to(&mut self, subject: &str) {
        if self.subject == subject {
            return;
        }
        self.subscribers.remove(self);
        (self.subject, self.inbox) = (subject.to_owned(), Arc::default());
        self.subscribers.add(self.stream.key(), subject, &self.key, &self.inbox);
    }

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

    /// The state of a change was not reached in time. The change stays pending without it; that of a change that has
    /// come meanwhile is waited for.
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
    fn add(&self, stream: &StreamKey, subject: &str, key: &Key, inbox: &Arc<Inbox>) {
        let mut streams = self.0.lock();
        let subjects = streams.entry(stream.clone()).or_default();
        let new = || Subject { objects: HashMap::new(), not_before: Instant::now() };
        subjects.entry(subject.to_owned()).or_insert_with(new).objects.insert(key.clone(), inbox.clone());
    }

    fn remove(&self, gone: &Subscription) {
        let mut streams = self.0.lock();
        let Entry::Occupied(mut subjects) = streams.entry(gone.stream.key().clone()) else { return };
        if let Some(subject) = subjects.get_mut().get_mut(&gone.subject)
            && subject.objects.get(&gone.key).is_some_and(|inbox| Arc::ptr_eq(inbox, &gone.inbox))
        {
            subject.objects.remove(&gone.key);
            if subject.objects.is_empty() {
                subjects.get_mut().remove(&gone.subject);
            }
        }
        if subjects.get().is_empty() {
            subjects.remove();
        }
    }

    /// The objects of a subject of which something is told now, and when they are due.
    fn told(&self, stream: &StreamKey, subject: &str, index: Option<&String>) -> Vec<(Instant, Key)> {
        let mut streams = self.0.lock();
        let Some(subject) = streams.get_mut(stream).and_then(|subjects| subjects.get_mut(subject)) else {
            return vec![];
        };
        let now = Instant::now();
        let due = subject.not_before.max(now);
        if due == now {
            subject.not_before = now + PACE;
        }
        subject.objects.values().for_each(|inbox| inbox.put(now, index));
        subject.objects.keys().map(|key| (due, key.clone())).collect()
    }

    /// All objects of a stream, with the time at which each is due: those of one path together. They have to read if
    /// writes may have been `missed`. Leases have not ended for that: one that has is noticed when it is renewed.
    fn all(&self, stream: &StreamKey, missed: bool) -> Vec<(Instant, Key)> {
        let streams = self.0.lock();
        let now = Instant::now();
        let mut rng = rand::rng();
        let mut all = vec![];
        for subject in streams.get(stream).into_iter().flat_map(HashMap::values) {
            let due = now + spread(RECOVERY_SPREAD, &mut rng);
            for (key, inbox) in &subject.objects {
                if missed && stream.topic != Topic::Leases {
                    inbox.put(now, None);
                }
                all.push((due, key.clone()));
            }
        }
        all
    }
}

/// The conditions of an object, with what there is to say of instant updates, and nothing of them if it does not want
/// any.
pub(super) fn with_condition(
    owner: &dyn SecretOwner,
    subscription: Option<&Subscription>,
    mut known: Vec<Condition>,
) -> Vec<Condition> {
    if !owner.wants_instant_updates() {
        known.retain(|c| c.type_ != CONDITION);
        return known;
    }
    let update = match subscription.map(|subscription| subscription.stream.state()) {
        // What was said last stands.
        None | Some(StreamState::Connecting) => return known,
        Some(StreamState::Streaming) => {
            ConditionUpdate::holds(CONDITION, Reason::EventWatcherStarted, "Started watching events")
        }
        Some(StreamState::Failed(error)) => {
            let stream = subscription.map(|subscription| &subscription.stream);
            let server = stream.and_then(|stream| stream.server_version());
            let topic = stream.map_or(Topic::Kv, |stream| stream.key().topic);
            let (reason, message) = failure(&error, topic, server.map_or(Product::Unknown, |server| server.product));
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
    let message = &*new.message;
    vec![if new.status == ConditionStatus::True {
        EventText::normal(Reason::EventWatcherStarted, message)
    } else {
        EventText::warning(Reason::EventWatcherError, format!("Failed to watch events: {message}"))
    }]
}

/// Reason and text of a stream that could not be opened.
fn failure(error: &SessionError, topic: Topic, product: Product) -> (Reason, String) {
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
            (ErrorKind::PermissionDenied, _) => (Reason::Denied, needed_policy(topic)),
            _ => (Reason::EventWatcherError, "the event stream cannot be opened"),
        },
        SessionError::Credential(_) | SessionError::Login(_) => (Reason::EventWatcherError, "there is no login"),
    };
    let instead = match topic {
        Topic::Kv => "the path is read every refreshAfter",
        Topic::Database => "a rotation is seen when it is due, and every refreshAfter",
        Topic::Leases => "the end of a lease is noticed when it is renewed",
    };
    (reason, format!("No instant updates, {instead}: {advice}; err={error}"))
}

/// What a login needs that is not allowed to subscribe.
fn needed_policy(topic: Topic) -> &'static str {
    match topic {
        Topic::Kv => {
            "the policy of the VaultAuth's role must allow read on sys/events/subscribe/kv*, and subscribe with subscribe_event_types on the path of the secret; on a server without events this can be the answer too"
        }
        Topic::Database => {
            "the policy of the VaultAuth's role must allow read on sys/events/subscribe/database*, and subscribe with subscribe_event_types on the paths of the mount and on the mount itself, without a slash at its end; on a server without events this can be the answer too"
        }
        Topic::Leases => {
            "the policy of the VaultAuth's role must allow read on sys/events/subscribe/lease*, and subscribe with subscribe_event_types on sys/leases/*; on a server without events this can be the answer too"
        }
    }
}

#[cfg(test)]
mod tests;
