//! Instant updates: which objects read which path, so that an event of Vault makes those due and no others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::sync::mpsc;

use super::conditions::{self, New};
use super::triggers::RECOVERY_SPREAD;
use super::{Context, Kind};
use crate::api::VaultStaticSecret;
use crate::cluster::EventType;
use crate::resolve::ObjectRef;
use crate::schedule::{Class, Policy, spread};
use crate::vault::{EventStream, EventStreams, Fault, ServerId, Session, SessionError, Signal, StreamKey, StreamState};

/// Condition of an object that asks for instant updates.
const CONDITION: &str = "InstantUpdates";
/// A path that is written all the time makes its objects due this often.
const PACE: Duration = Duration::from_millis(500);
/// Signals that wait to be looked at. When there are more, the streams wait.
const BACKLOG: usize = 1024;

/// Streams, and who reads what.
pub(super) struct InstantUpdates {
    streams: EventStreams,
    readers: Arc<Readers>,
}

/// The objects of each path of each stream.
#[derive(Default)]
struct Readers(Mutex<HashMap<StreamKey, HashMap<String, Path>>>);

/// A path that objects read.
struct Path {
    objects: HashMap<ObjectRef, Arc<Inbox>>,
    /// Another event makes them due no sooner.
    not_before: Instant,
}

/// What an object has not taken note of yet.
#[derive(Default)]
struct Inbox(Mutex<Option<News>>);

/// Something was written, or may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// A read that began earlier does not show it.
    pub since: Instant,
    /// State that a server must have reached to show it.
    pub index: Option<String>,
}

/// The subscription of one object. Ends when it is dropped.
pub(super) struct Watch {
    stream: Arc<EventStream>,
    path: String,
    id: ObjectRef,
    /// Of the object and its plan when they were last looked at.
    fingerprint: u64,
    inbox: Arc<Inbox>,
    readers: Arc<Readers>,
}

impl InstantUpdates {
    /// Nobody listens yet. The receiver is told what the streams tell.
    pub fn new(reconnect: Policy) -> (Self, mpsc::Receiver<Signal>) {
        let (signals, receiver) = mpsc::channel(BACKLOG);
        (Self { streams: EventStreams::new(signals, reconnect), readers: Arc::default() }, receiver)
    }

    /// Makes `watch` follow the writes to a path, with the token of a session.
    pub fn follow(
        &self,
        watch: &mut Option<Watch>,
        session: &Arc<Session>,
        id: &ObjectRef,
        (namespace, path): (&str, &str),
        fingerprint: u64,
    ) {
        let fits = |w: &Watch| {
            let key = w.stream.key();
            key.identity == session.identity && key.namespace == namespace && w.path == path && !w.stream.has_ended()
        };
        if let Some(watch) = watch.as_mut().filter(|watch| fits(watch)) {
            if watch.fingerprint != fingerprint {
                // What was changed may be what the server refused.
                watch.fingerprint = fingerprint;
                if !matches!(watch.stream.state(), StreamState::Streaming) {
                    watch.stream.retry();
                }
            }
            return;
        }
        // Before the new one is made: it would take that off the list.
        *watch = None;
        let Some(stream) = self.streams.stream(session, namespace) else { return };
        let inbox: Arc<Inbox> = Arc::default();
        self.readers.add(stream.key(), path, id, &inbox);
        let readers = self.readers.clone();
        *watch = Some(Watch { stream, path: path.to_owned(), id: id.clone(), fingerprint, inbox, readers });
    }

    /// Listens, or stops to.
    pub fn lead(&self, leads: bool) {
        if leads { self.streams.start() } else { self.streams.stop() }
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

impl Watch {
    /// What the object has to take note of.
    pub fn news(&self) -> Option<News> {
        self.inbox.lock().clone()
    }

    /// The object has taken note, of this and of nothing that has come meanwhile.
    pub fn noted(&self, news: &News) {
        let mut inbox = self.inbox.lock();
        if inbox.as_ref() == Some(news) {
            *inbox = None;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.readers.remove(self);
    }
}

impl Inbox {
    fn put(&self, since: Instant, index: Option<&String>) {
        let mut inbox = self.lock();
        let known = inbox.take().and_then(|news| news.index);
        *inbox = Some(News { since, index: index.cloned().or(known) });
    }

    fn lock(&self) -> MutexGuard<'_, Option<News>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    fn add(&self, stream: &StreamKey, path: &str, id: &ObjectRef, inbox: &Arc<Inbox>) {
        let mut readers = self.lock();
        let paths = readers.entry(stream.clone()).or_default();
        let new = || Path { objects: HashMap::new(), not_before: Instant::now() };
        paths.entry(path.to_owned()).or_insert_with(new).objects.insert(id.clone(), inbox.clone());
    }

    fn remove(&self, watch: &Watch) {
        let mut readers = self.lock();
        let Entry::Occupied(mut paths) = readers.entry(watch.stream.key().clone()) else { return };
        if let Some(path) = paths.get_mut().get_mut(&watch.path)
            && path.objects.get(&watch.id).is_some_and(|inbox| Arc::ptr_eq(inbox, &watch.inbox))
        {
            path.objects.remove(&watch.id);
            if path.objects.is_empty() {
                paths.get_mut().remove(&watch.path);
            }
        }
        if paths.get().is_empty() {
            paths.remove();
        }
    }

    /// The objects that read a path that was written now, and when they are due.
    fn written(&self, stream: &StreamKey, path: &str, index: Option<&String>) -> Option<(Instant, Vec<ObjectRef>)> {
        let mut readers = self.lock();
        let path = readers.get_mut(stream)?.get_mut(path)?;
        let now = Instant::now();
        let due = path.not_before.max(now);
        if due == now {
            path.not_before = now + PACE;
        }
        path.objects.values().for_each(|inbox| inbox.put(now, index));
        Some((due, path.objects.keys().cloned().collect()))
    }

    /// All objects of a stream, with the time at which each is due: those of one path together. They have to read if
    /// writes may have been `missed`.
    fn all(&self, stream: &StreamKey, missed: bool) -> Vec<(Instant, ObjectRef)> {
        let readers = self.lock();
        let now = Instant::now();
        let mut rng = rand::rng();
        let mut all = vec![];
        for path in readers.get(stream).into_iter().flat_map(HashMap::values) {
            let due = now + spread(RECOVERY_SPREAD, &mut rng);
            for (id, inbox) in &path.objects {
                if missed {
                    inbox.put(now, None);
                }
                all.push((due, id.clone()));
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, HashMap<String, Path>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes those due whom a signal concerns.
pub(super) fn signalled(context: &Context, signal: &Signal) {
    let readers = &context.instant_updates.readers;
    let due = match signal {
        Signal::Started(stream) => readers.all(stream, true),
        Signal::Changed(stream) => readers.all(stream, false),
        Signal::Written { stream, path, index } => match readers.written(stream, path, index.as_ref()) {
            Some((due, ids)) => ids.into_iter().map(|id| (due, id)).collect(),
            None => vec![],
        },
    };
    for (due, id) in due {
        context.push(Kind::StaticSecret, id, due, Class::Event);
    }
}

/// This process leads, or does not any more: only one listens.
pub(super) fn leadership(context: &Context, leads: bool) {
    context.instant_updates.lead(leads);
    if leads {
        for object in context.statics.all() {
            if asked_for(&object) {
                let meta = &object.metadata;
                let id = ObjectRef::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""));
                context.push(Kind::StaticSecret, id, Instant::now(), Class::Refresh);
            }
        }
    }
}

/// Whether an object wants instant updates.
pub(super) fn asked_for(object: &VaultStaticSecret) -> bool {
    object.spec.sync_config.as_ref().is_some_and(|c| c.instant_updates)
}

/// The conditions of an object, with what there is to say of instant updates, and nothing of them if it does not want any.
pub(super) fn with_condition(
    object: &VaultStaticSecret,
    watch: Option<&Watch>,
    mut known: Vec<Condition>,
) -> Vec<Condition> {
    if !asked_for(object) {
        known.retain(|c| c.type_ != CONDITION);
        return known;
    }
    let generation = object.metadata.generation.unwrap_or(0);
    let (status, reason, message) = match watch.map(|watch| watch.stream.state()) {
        // What was said last stands.
        None | Some(StreamState::Connecting) => return known,
        Some(StreamState::Streaming) => (true, "EventWatcherStarted", "Started watching events".to_owned()),
        Some(StreamState::Failed(error)) => {
            let (reason, message) = failure(&error);
            (false, reason, message)
        }
    };
    conditions::merge(&known, generation, &[New { type_: CONDITION, status, reason, message: &message }])
}

/// Reason and text of a stream that could not be opened.
fn failure(error: &SessionError) -> (&'static str, String) {
    let (reason, advice) = match error {
        SessionError::Request(error) => match error.fault {
            Fault::NotFound => (
                "NotAvailable",
                "this server has no event stream; Vault Enterprise has one since 1.16, the Community Edition and OpenBao have none",
            ),
            Fault::Denied => (
                "Denied",
                "the policy of the VaultAuth's role must allow read on sys/events/subscribe/kv*, and subscribe with subscribe_event_types on the path of the secret; on a server without events this can be the answer too",
            ),
            _ => ("EventWatcherError", "the event stream cannot be opened"),
        },
        SessionError::Credential(_) | SessionError::Login(_) => ("EventWatcherError", "there is no login"),
    };
    (reason, format!("No instant updates, the path is read every refreshAfter: {advice}; err={error}"))
}

/// Says in an event what has changed of instant updates.
pub(super) async fn tell(context: &Context, object: &VaultStaticSecret, old: &[Condition], new: &[Condition]) {
    let Some(new) = conditions::find(new, CONDITION) else { return };
    let old = conditions::find(old, CONDITION);
    if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
        return;
    }
    let (type_, reason) = match new.status.as_str() {
        "True" => (EventType::Normal, "EventWatcherStarted"),
        _ => (EventType::Warning, "EventWatcherError"),
    };
    context.event(object, type_, reason, &new.message).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Identity;

    fn key(namespace: &str) -> StreamKey {
        StreamKey { identity: Identity([7; 32]), namespace: namespace.to_owned() }
    }

    fn reader(readers: &Readers, path: &str, name: &str) -> Arc<Inbox> {
        let inbox: Arc<Inbox> = Arc::default();
        readers.add(&key("a"), path, &ObjectRef::new("ns", name), &inbox);
        inbox
    }

    #[test]
    fn an_event_concerns_those_who_read_its_path_in_its_namespace() {
        let readers = Readers::default();
        let (one, two) = (reader(&readers, "kv/data/x", "one"), reader(&readers, "kv/data/x", "two"));
        let other = reader(&readers, "kv/data/y", "other");
        assert!(readers.written(&key("b"), "kv/data/x", None).is_none());
        let (due, mut ids) = readers.written(&key("a"), "kv/data/x", Some(&"i".to_owned())).unwrap();
        ids.sort();
        assert_eq!(ids, [ObjectRef::new("ns", "one"), ObjectRef::new("ns", "two")]);
        assert!(due <= Instant::now(), "at once");
        let news = |inbox: &Inbox| inbox.lock().clone();
        assert_eq!(news(&one), news(&two), "one read is enough for both");
        assert_eq!(news(&one).and_then(|news| news.index).as_deref(), Some("i"));
        assert_eq!(news(&other), None);
    }

    #[test]
    fn a_path_that_is_written_all_the_time_is_read_at_a_pace() {
        let readers = Readers::default();
        let inbox = reader(&readers, "p", "one");
        let due = |index| readers.written(&key("a"), "p", index).unwrap().0;
        let index = "i".to_owned();
        let first = due(Some(&index));
        let later: Vec<Instant> = (0..100).map(|_| due(None)).collect();
        assert!(later.iter().all(|at| *at == first + PACE), "all of them are one run");
        let news = inbox.lock().clone().unwrap();
        assert!(news.since > first && news.index.as_deref() == Some("i"), "the newest time, the last known state");
    }

    #[test]
    fn after_a_gap_all_read_those_of_one_path_together() {
        let readers = Readers::default();
        let inboxes: Vec<_> = (0..6).map(|i| reader(&readers, &format!("p{}", i % 2), &i.to_string())).collect();
        assert_eq!(readers.all(&key("a"), false).len(), 6);
        assert!(inboxes.iter().all(|inbox| inbox.lock().is_none()), "a change of state is no reason to read");
        let times: std::collections::BTreeSet<_> =
            readers.all(&key("a"), true).into_iter().map(|(due, _)| due).collect();
        assert_eq!(times.len(), 2);
        assert!(inboxes.iter().all(|inbox| inbox.lock().is_some()));
    }

    #[test]
    fn every_failure_says_what_to_do_and_that_polling_goes_on() {
        let of = |fault| failure(&SessionError::Request(crate::vault::VaultError::new(fault, "p", "m")));
        for (fault, reason, text) in [
            (Fault::NotFound, "NotAvailable", "Vault Enterprise"),
            (Fault::Denied, "Denied", "subscribe_event_types"),
            (Fault::Unreachable, "EventWatcherError", "cannot be opened"),
        ] {
            let (found, message) = of(fault);
            assert_eq!(found, reason);
            assert!(message.contains(text) && message.contains("refreshAfter"), "{message}");
        }
    }
}
