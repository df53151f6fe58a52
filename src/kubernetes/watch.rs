//! One watch: a task and a back-off of its own, so that one that fails holds up no other.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::api::ApiResource;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::client::metadata_only;
use super::raw_object::{RawObject, RawSink, Reader};
use super::store::Sink;
use crate::backoff::{Backoff, Policy};

/// What part of the cluster a watch covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces.
    All,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// What `--watch-namespaces` names: the whole cluster if that is empty.
    pub fn watched(namespaces: &BTreeSet<String>) -> Vec<Scope> {
        if namespaces.is_empty() {
            return vec![Scope::All];
        }
        namespaces.iter().cloned().map(Scope::Namespace).collect()
    }

    /// These scopes and a namespace, if they do not cover it.
    pub fn including(mut scopes: Vec<Scope>, namespace: &str) -> Vec<Scope> {
        let one = Scope::Namespace(namespace.to_owned());
        if !scopes.contains(&Scope::All) && !scopes.contains(&one) {
            scopes.push(one);
        }
        scopes
    }

    fn namespace(&self) -> Option<&str> {
        match self {
            Scope::All => None,
            Scope::Namespace(namespace) => Some(namespace),
        }
    }

    /// The path of the core resource with this plural in this scope.
    pub fn path(&self, plural: &str) -> String {
        match self {
            Scope::All => format!("/api/v1/{plural}"),
            Scope::Namespace(namespace) => format!("/api/v1/namespaces/{namespace}/{plural}"),
        }
    }

    /// The objects of a kind in this scope.
    fn api(&self, client: kube::Client, resource: &ApiResource) -> Api<RawObject> {
        match self {
            Scope::All => Api::all_with(client, resource),
            Scope::Namespace(namespace) => Api::namespaced_with(client, namespace, resource),
        }
    }
}

/// How a watch is.
#[derive(Debug)]
pub struct WatchHealth {
    /// Kind and scope, for the readiness report.
    pub name: String,
    /// The namespace that is watched; empty for the whole cluster.
    pub namespace: String,
    synced: AtomicBool,
    /// Since when the list, or the start of the watch, is answered by 403 or 404 and nothing else.
    missing_since: Mutex<Option<Instant>>,
}

impl WatchHealth {
    /// True from the first complete list on.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// True if the namespace, the kind or the right to list it has been missing for a while. The watch goes on, and
    /// what appears is seen.
    pub fn is_missing(&self) -> bool {
        self.missing_since.lock().is_some_and(|since| since.elapsed() >= MISSING_AFTER)
    }

    /// True before the first complete list, unless there is nothing to wait for.
    pub fn is_awaited(&self) -> bool {
        !self.synced() && !self.is_missing()
    }

    fn new(name: String, scope: &Scope) -> Self {
        let namespace = scope.namespace().unwrap_or_default().to_owned();
        Self { name, namespace, synced: AtomicBool::new(false), missing_since: Mutex::default() }
    }

    fn works(&self) {
        *self.missing_since.lock() = None;
    }

    fn failed(&self, missing: bool) {
        let mut since = self.missing_since.lock();
        *since = missing.then(|| since.unwrap_or_else(Instant::now));
    }
}

/// What a watch is sent of the objects of a kind.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// All objects, as they are.
    Whole,
    /// The metadata of the objects with these labels: no data of a Secret comes here.
    MetadataOf(&'a str),
}

impl Part<'_> {
    /// Objects are listed in pages of this many. A page is in memory two or three times while it is read, and an object
    /// has up to 1.5 MB, its metadata a fifth of that.
    fn page_size(self) -> u32 {
        match self {
            Part::Whole => 10,
            Part::MetadataOf(_) => 50,
        }
    }
}

/// Watches are renewed after so many seconds; load balancers that cut idle connections at five minutes never see one
/// idle.
const WATCH_SECONDS: u32 = 240;

/// A scope that is missing for so long counts as empty.
const MISSING_AFTER: Duration = Duration::from_secs(10);
/// The longest pause of a watch whose namespace, kind or right is missing: it costs next to nothing, for as long as it
/// lasts.
const MAX_MISSING_PAUSE: Duration = Duration::from_secs(30);
/// Pauses of a watch that fails. The library's own grow to a minute: so long would an API server that is back be
/// thought gone, and what changes meanwhile not be seen.
const RETRY_PAUSES: Policy = Policy {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(8),
    multiplier: 2.0,
    randomization: 0.3,
    max_elapsed: Duration::ZERO,
};

/// The failures in a row of one watch.
#[derive(Clone, Default)]
struct Pause(Arc<Mutex<Failures>>);

#[derive(Default)]
struct Failures {
    backoff: Backoff,
    missing: bool,
}

impl Pause {
    fn failed(&self, missing: bool) {
        self.0.lock().missing = missing;
    }

    /// The watch works.
    fn works(&self) {
        self.0.lock().backoff.reset();
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let mut failures = self.0.lock();
        let max = if failures.missing { MAX_MISSING_PAUSE } else { RETRY_PAUSES.max };
        failures.backoff.next(&Policy { max, ..RETRY_PAUSES }, Instant::now(), &mut rand::rng())
    }
}

impl kube::runtime::utils::Backoff for Pause {
    /// Called for each event, also for the one that says that a list begins, before it fails. [`Pause::works`] ends a
    /// failure.
    fn reset(&mut self) {}
}

/// The HTTP status by which the list, or the start of the watch, is refused.
fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

/// Whether the namespace, the kind or the right to list it is missing.
fn is_missing(error: &watcher::Error) -> bool {
    matches!(refusal(error), Some(403 | 404))
}

/// Logs that a watch fails. Some kinds need not be there; what waits for the others says which it misses.
fn tell(watch: &str, error: &watcher::Error) {
    match refusal(error) {
        Some(404) => tracing::info!(watch, "nothing to watch yet: the namespace or the definition is not there"),
        _ => tracing::warn!(watch, %error, "watch failed, trying again"),
    }
}

/// Starts a watch that puts what it sees into `sink`. It ends with `stop`.
pub fn spawn_watch<K: DeserializeOwned + 'static>(
    client: &kube::Client,
    resource: &ApiResource,
    part: Part<'_>,
    scope: &Scope,
    sink: Arc<dyn Sink<K>>,
    stop: CancellationToken,
) -> Arc<WatchHealth> {
    let sink = Reader { kind: resource.plural.clone(), sink };
    let mut config = watcher::Config::default().page_size(part.page_size()).timeout(WATCH_SECONDS);
    let api = match part {
        Part::Whole => scope.api(client.clone(), resource),
        Part::MetadataOf(labels) => {
            config = config.labels(labels);
            scope.api(metadata_only(client), resource)
        }
    };
    spawn(api, config, &resource.plural, scope, Box::new(sink), stop)
}

fn spawn(
    api: Api<RawObject>,
    config: watcher::Config,
    plural: &str,
    scope: &Scope,
    sink: Box<dyn RawSink>,
    stop: CancellationToken,
) -> Arc<WatchHealth> {
    let name = format!("{plural}{}", scope.namespace().map(|n| format!(" in {n}")).unwrap_or_default());
    let health = Arc::new(WatchHealth::new(name, scope));
    let (own, scope) = (health.clone(), scope.clone());
    tokio::spawn(async move {
        let pause = Pause::default();
        // Told before the pause is chosen.
        let told = pause.clone();
        let watched = watcher(api, config).inspect_err(move |error| told.failed(is_missing(error)));
        let mut events = std::pin::pin!(watched.backoff(pause.clone()));
        let mut listed = HashSet::new();
        let mut failing = false;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Err(error)) => {
                    // Said once per outage; the watcher goes on by itself.
                    if !failing {
                        tell(&own.name, &error);
                    }
                    failing = true;
                    own.failed(is_missing(&error));
                    continue;
                }
                Some(Ok(Event::Init)) => {
                    // A list begins; whether it works is not known before its first page.
                    listed.clear();
                    continue;
                }
                Some(Ok(Event::InitApply(object))) => {
                    listed.insert(object.id());
                    sink.apply_listed(&object);
                    // The next page may fail.
                    continue;
                }
                Some(Ok(Event::InitDone)) => {
                    sink.retain(scope.namespace(), &listed);
                    let objects = listed.len();
                    listed = HashSet::new();
                    if !own.synced.swap(true, Ordering::AcqRel) {
                        tracing::debug!(watch = own.name, objects, "watch is synced");
                    }
                }
                Some(Ok(Event::Apply(object))) => sink.apply(&object),
                Some(Ok(Event::Delete(object))) => sink.delete(&object),
            }
            pause.works();
            own.works();
            if std::mem::take(&mut failing) {
                tracing::info!(watch = own.name, "watch works again");
            }
        }
    });
    health
}

#[cfg(test)]
mod tests {
    use kube::runtime::utils::Backoff as _;

    use super::*;

    #[test]
    fn a_list_that_fails_again_and_again_is_tried_less_and_less() {
        for (missing, longest) in [(true, MAX_MISSING_PAUSE), (false, RETRY_PAUSES.max)] {
            let mut pause = Pause::default();
            let pauses: Vec<Duration> = (0..20)
                .filter_map(|_| {
                    // Each list is announced before it fails.
                    pause.reset();
                    pause.failed(missing);
                    pause.next()
                })
                .collect();
            assert!(pauses[0] < Duration::from_secs(1) && pauses[19] > longest / 2, "{pauses:?}");
            pause.works();
            assert!(pause.next().is_some_and(|pause| pause < Duration::from_secs(1)));
        }
    }

    #[test]
    fn what_is_missing_is_awaited_for_a_while_only() {
        let watch = WatchHealth::new("w".into(), &Scope::All);
        watch.failed(true);
        assert!(watch.is_awaited() && !watch.is_missing());
        let long_ago = Instant::now().checked_sub(MISSING_AFTER);
        *watch.missing_since.lock() = long_ago;
        watch.failed(true);
        assert!(!watch.is_awaited() && watch.is_missing());
        watch.failed(false);
        assert!(watch.is_awaited() && !watch.is_missing(), "an API server that fails is waited for");
        *watch.missing_since.lock() = long_ago;
        watch.works();
        assert!(!watch.is_missing(), "it is there again");
    }
}
