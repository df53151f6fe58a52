use super::*;
use crate::api::{CustomObject as _, ObjectRef, VaultDynamicSecret, VaultStaticSecret};
use crate::vault::Identity;

fn stream(namespace: &str) -> StreamKey {
    StreamKey { identity: Identity([7; 32]), namespace: namespace.to_owned(), topic: Topic::Kv }
}

fn key(name: &str) -> Key {
    Key { kind: VaultStaticSecret::KIND, id: ObjectRef::new("ns", name) }
}

fn subscriber(subscribers: &Subscribers, path: &str, name: &str) -> Arc<Inbox> {
    let inbox: Arc<Inbox> = Arc::default();
    subscribers.add(&stream("a"), path, &key(name), &inbox);
    inbox
}

#[test]
fn an_event_concerns_the_objects_that_read_its_path_in_its_namespace() {
    let subscribers = Subscribers::default();
    let one = subscriber(&subscribers, "kv/data/x", "one");
    let other = subscriber(&subscribers, "kv/data/y", "other");
    // Another kind, of an equal name.
    let (two, two_key) = (Arc::<Inbox>::default(), Key { kind: VaultDynamicSecret::KIND, ..key("one") });
    subscribers.add(&stream("a"), "kv/data/x", &two_key, &two);
    assert!(subscribers.told(&stream("b"), "kv/data/x", None).is_empty());
    let due = subscribers.told(&stream("a"), "kv/data/x", Some(&"i".to_owned()));
    let keys: std::collections::HashSet<_> = due.iter().map(|(_, key)| key.clone()).collect();
    assert_eq!(keys, [key("one"), two_key].into());
    assert!(due.iter().all(|(due, _)| *due <= Instant::now()), "at once");
    let pending = |inbox: &Inbox| inbox.0.lock().clone();
    assert_eq!(pending(&one), pending(&two), "one read is enough for both");
    assert_eq!(pending(&one).and_then(|change| change.index).as_deref(), Some("i"));
    assert_eq!(pending(&other), None);
}

#[test]
fn a_path_that_is_written_all_the_time_is_read_at_a_pace() {
    let subscribers = Subscribers::default();
    let inbox = subscriber(&subscribers, "p", "one");
    let due = |index| subscribers.told(&stream("a"), "p", index)[0].0;
    let index = "i".to_owned();
    let first = due(Some(&index));
    let later: Vec<Instant> = (0..100).map(|_| due(None)).collect();
    assert!(later.iter().all(|at| *at == first + PACE), "all of them are one run");
    let change = inbox.0.lock().clone().unwrap();
    assert!(change.since > first && change.index.as_deref() == Some("i"), "the newest time, the last known state");
}

#[test]
fn an_index_that_no_node_reaches_is_given_up_and_the_change_stays() {
    let subscribers = Subscribers::default();
    let inbox = subscriber(&subscribers, "p", "one");
    let pending = || inbox.0.lock().clone().unwrap();
    let (lost, newer) = ("lost".to_owned(), "newer".to_owned());
    subscribers.told(&stream("a"), "p", Some(&lost));
    let change = pending();
    // Events without an index keep the last one that is known.
    subscribers.told(&stream("a"), "p", None);
    let since = pending().since;
    inbox.give_up_index(&change);
    assert_eq!(pending(), PendingChange { since, index: None });
    subscribers.told(&stream("a"), "p", Some(&newer));
    inbox.give_up_index(&change);
    assert_eq!(pending().index.as_deref(), Some("newer"), "another state");
}

#[test]
fn after_a_gap_all_read_those_of_one_path_together() {
    let subscribers = Subscribers::default();
    let inboxes: Vec<_> = (0..6).map(|i| subscriber(&subscribers, &format!("p{}", i % 2), &i.to_string())).collect();
    assert_eq!(subscribers.all(&stream("a"), false).len(), 6);
    assert!(inboxes.iter().all(|inbox| inbox.0.lock().is_none()), "a change of state is no reason to read");
    let times: std::collections::BTreeSet<_> =
        subscribers.all(&stream("a"), true).into_iter().map(|(due, _)| due).collect();
    assert_eq!(times.len(), 2);
    assert!(inboxes.iter().all(|inbox| inbox.0.lock().is_some()));
}

#[test]
fn every_failure_says_what_to_do_and_that_polling_goes_on() {
    let error = |fault| SessionError::Request(crate::vault::VaultError::new(fault, "p", "m"));
    let of = |fault, product| failure(&error(fault), Topic::Kv, product);
    for (fault, product, reason, text) in [
        (ErrorKind::NotFound, Product::Vault, Reason::NotAvailable, "Vault Enterprise"),
        (ErrorKind::NotFound, Product::Unknown, Reason::NotAvailable, "Community Edition and OpenBao"),
        (ErrorKind::NotFound, Product::OpenBao, Reason::NotAvailable, "OpenBao has no event stream"),
        (ErrorKind::PermissionDenied, Product::OpenBao, Reason::NotAvailable, "OpenBao has no event stream"),
        (ErrorKind::PermissionDenied, Product::Vault, Reason::Denied, "subscribe_event_types"),
        (ErrorKind::Unreachable, Product::OpenBao, Reason::EventWatcherError, "cannot be opened"),
    ] {
        let (found, message) = of(fault, product);
        assert_eq!(found, reason);
        let failed = condition::merge(&[], 1, &[ConditionUpdate::fails(CONDITION, reason, message.as_str())]);
        let event = &events(&[], &failed)[0];
        assert_eq!(event.reason, Reason::EventWatcherError);
        assert!(event.message.starts_with("Failed to watch events: "), "VSO's text, for alert rules: {event:?}");
        assert!(message.contains(text) && message.contains("refreshAfter"), "{message}");
    }
    for (topic, lines, instead) in [
        (Topic::Database, "read on sys/events/subscribe/database*, and subscribe", "a rotation is seen when it is due"),
        (Topic::Leases, "read on sys/events/subscribe/lease*, and subscribe", "noticed when it is renewed"),
    ] {
        let (reason, message) = failure(&error(ErrorKind::PermissionDenied), topic, Product::Vault);
        assert_eq!(reason, Reason::Denied);
        assert!(message.contains(lines) && message.contains(instead), "{message}");
    }
}

#[test]
fn a_gap_is_no_end_of_a_lease_and_an_end_concerns_its_lease_alone() {
    let subscribers = Subscribers::default();
    let stream = StreamKey { topic: Topic::Leases, ..stream("a") };
    let inbox = |lease: &str, name: &str| {
        let inbox: Arc<Inbox> = Arc::default();
        subscribers.add(&stream, lease, &key(name), &inbox);
        inbox
    };
    let (one, other) = (inbox("db/creds/app/1", "one"), inbox("db/creds/app/2", "other"));
    assert_eq!(subscribers.all(&stream, true).len(), 2, "their conditions have something to say");
    let is_told = |inbox: &Inbox| inbox.0.lock().is_some();
    assert!(!is_told(&one) && !is_told(&other));
    let due = subscribers.told(&stream, "db/creds/app/1", None);
    assert_eq!(due.into_iter().map(|(_, key)| key).collect::<Vec<_>>(), [key("one")]);
    assert!(is_told(&one) && !is_told(&other));
}
