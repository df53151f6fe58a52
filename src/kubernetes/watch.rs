//! One watch: a task and a back-off of its own, so that one that fails holds up no other.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::store::Sink;
use crate::api::ObjectRef;
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
        match namespaces.is_empty() {
            true => vec![Scope::All],
            false => namespaces.iter().cloned().map(Scope::Namespace).collect(),
        }
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

    /// The API of this scope.
    pub fn api<K>(&self, client: &kube::Client) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Scope::All => Api::all(client.clone()),
            Scope::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// Whether a watch has listed its objects at least once.
#[derive(Debug)]
pub struct WatchHealth {
    /// Kind and scope, for the readiness report.
    pub name: String,
    synced: AtomicBool,
}

impl WatchHealth {
    /// True from the first complete list on.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }
}

/// Objects are listed in pages of this many: small pages keep the peak of memory at start low.
const PAGE_SIZE: u32 = 100;
/// Watches are renewed after so many seconds; load balancers that cut idle connections at five minutes never see one idle.
const WATCH_SECONDS: u32 = 240;

/// Pauses of a watch that fails. The library's own grow to a minute: so long would an API server that is back be thought
/// gone, and what changes meanwhile not be seen.
const RETRY_PAUSES: Policy = Policy {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(8),
    multiplier: 2.0,
    randomization: 0.3,
    max_elapsed: Duration::ZERO,
};

#[derive(Default)]
struct Pause(Backoff);

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next(&RETRY_PAUSES, Instant::now(), &mut rand::rng())
    }
}

impl kube::runtime::utils::Backoff for Pause {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Starts a watch that puts what it sees into `sink`. It ends with `stop`.
pub fn spawn_watch<K>(
    api: Api<K>,
    labels: Option<&str>,
    scope: &Scope,
    sink: Arc<dyn Sink<K>>,
    stop: CancellationToken,
) -> Arc<WatchHealth>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let name = format!("{}{}", K::plural(&()), scope.namespace().map(|n| format!(" in {n}")).unwrap_or_default());
    let health = Arc::new(WatchHealth { name, synced: AtomicBool::new(false) });
    let mut config = watcher::Config::default().page_size(PAGE_SIZE).timeout(WATCH_SECONDS);
    if let Some(labels) = labels {
        config = config.labels(labels);
    }
    let (own, scope) = (health.clone(), scope.clone());
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(api, config).backoff(Pause::default()));
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
                        tracing::warn!(watch = own.name, %error, "watch failed, trying again");
                    }
                    failing = true;
                    continue;
                }
                Some(Ok(Event::Init)) => {
                    // A list begins; whether it works is not known before its first page.
                    listed.clear();
                    continue;
                }
                Some(Ok(Event::InitApply(object))) => {
                    listed.insert(ObjectRef::of(object.meta()));
                    sink.apply_listed(object);
                }
                Some(Ok(Event::InitDone)) => {
                    sink.retain(scope.namespace(), &listed);
                    let objects = listed.len();
                    listed = HashSet::new();
                    if !own.synced.swap(true, Ordering::AcqRel) {
                        tracing::debug!(watch = own.name, objects, "watch is synced");
                    }
                }
                Some(Ok(Event::Apply(object))) => sink.apply(object),
                Some(Ok(Event::Delete(object))) => sink.delete(object),
            }
            if std::mem::take(&mut failing) {
                tracing::info!(watch = own.name, "watch works again");
            }
        }
    });
    health
}
