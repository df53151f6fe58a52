//! Changes of the Secrets and ConfigMaps that objects name. A source is followed only while anything of it is named,
//! and nothing of what it tells is kept but which objects have to look again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::dependents::DEPENDENTS_SPREAD;
use super::named::{Name, Named, Source};
use super::work::Work;
use crate::api::{Key, ObjectRef};
use crate::backoff::{Backoff, Policy, spread};
use crate::kubernetes::{Feed, FeedError, News, Scope};
use crate::providers::watching_client;
use crate::resolve::ClusterStore;
use crate::workqueue::Class;

/// Changes that come together are told together: a server cannot keep the operator busy with them.
const BATCH: Duration = Duration::from_millis(300);
/// A Secret of a store is gone so long before its absence counts: one that is made anew, for another type or by another
/// tool, is gone for a moment, and what was copied from it would go, too.
const GONE_PATIENCE: Duration = Duration::from_secs(10);
/// More changes at once count as a change of everything.
const MAX_BATCH: usize = 1_000;
/// Where the right to watch is missing, the interval of the object is what there is. It is tried again after this.
const DENIED_PAUSE: Duration = Duration::from_secs(900);
/// A connection is made anew after this: the token in it may end after an hour.
const CONNECTION_TTL: Duration = Duration::from_secs(1200);
/// A watch that lives longer is none that fails.
const SHORTEST_WATCH: Duration = Duration::from_secs(10);
const RETRY_PAUSES: Policy = Policy {
    initial: Duration::from_millis(500),
    max: Duration::from_secs(60),
    multiplier: 2.0,
    randomization: 0.3,
    max_elapsed: Duration::ZERO,
};

/// Follows what is named.
pub(crate) struct Feeds {
    client: kube::Client,
    work: Arc<Work>,
    scopes: Vec<Scope>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    named: Named,
    followed: HashMap<Source, Followed>,
    /// What an object names has changed, and no run has seen it.
    changed: HashMap<Key, NamedChange>,
}

/// A source that is followed until this is dropped.
struct Followed {
    _stop: DropGuard,
    /// Ends a pause.
    again: Arc<Notify>,
}

/// Something that an object names has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamedChange {
    /// When that was told. What was read before may be older.
    pub at: Instant,
    /// False: it may have changed while it was not followed.
    pub is_sure: bool,
}

impl Feeds {
    /// `scopes` are served.
    pub fn new(client: kube::Client, work: Arc<Work>, scopes: Vec<Scope>) -> Self {
        Self { client, work, scopes, state: Mutex::default() }
    }

    /// Has an object told of changes of what it names, and of nothing else.
    pub fn set(self: &Arc<Self>, user: &Key, names: Vec<Name>) {
        let mut state = self.state.lock();
        if !state.named.set(user, names) {
            return;
        }
        let State { named, followed, .. } = &mut *state;
        let sources: HashSet<&Source> = named.sources().collect();
        followed.retain(|source, _| sources.contains(source));
        for source in sources {
            if !followed.contains_key(source) {
                followed.insert(source.clone(), self.start(source));
            }
        }
    }

    /// Forgets an object.
    pub fn forget(self: &Arc<Self>, user: &Key) {
        self.set(user, vec![]);
        self.state.lock().changed.remove(user);
    }

    /// That something that an object names has changed since this was asked last.
    pub fn take_change(&self, user: &Key) -> Option<NamedChange> {
        self.state.lock().changed.remove(user)
    }

    /// Has a store that told nothing followed again: it has another login.
    pub fn retry(&self, store: &ClusterStore) {
        if let Some(followed) = self.state.lock().followed.get(&Source::Store(Arc::new(store.clone()))) {
            followed.again.notify_one();
        }
    }

    fn start(self: &Arc<Self>, source: &Source) -> Followed {
        let (stop, again) = (CancellationToken::new(), Arc::new(Notify::new()));
        let batch: Arc<Mutex<Option<Batch>>> = Arc::default();
        let mut paths = vec![];
        match source {
            Source::Store(store) => paths.push(Scope::Namespace(store.namespace.clone()).path("secrets")),
            Source::Secrets => paths.extend(self.scopes.iter().map(|scope| scope.path("secrets"))),
            Source::ConfigMaps => paths.extend(self.scopes.iter().map(|scope| scope.path("configmaps"))),
            Source::ServiceAccounts => paths.extend(self.scopes.iter().map(|scope| scope.path("serviceaccounts"))),
        }
        for path in paths {
            let (this, source, batch, again) = (self.clone(), source.clone(), batch.clone(), again.clone());
            let follow = async move { this.follow(&source, &path, &batch, &again).await };
            tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        }
        Followed { _stop: stop.drop_guard(), again }
    }

    /// Follows a source for ever.
    async fn follow(self: &Arc<Self>, source: &Source, path: &str, batch: &Arc<Mutex<Option<Batch>>>, again: &Notify) {
        let has_worked = AtomicBool::new(false);
        let tell = |news: News| {
            has_worked.store(true, Ordering::Relaxed);
            self.collect(source, batch, news);
        };
        let mut feed = Feed::default();
        let mut backoff = Backoff::default();
        let mut connection: Option<(kube::Client, Instant)> = None;
        loop {
            let began = Instant::now();
            let mut is_new = true;
            let client = match (&connection, source) {
                (Some((client, made)), _) if made.elapsed() < CONNECTION_TTL => Ok(client.clone()),
                (_, Source::Store(store)) => self.connect(store).await,
                (_, Source::Secrets | Source::ConfigMaps | Source::ServiceAccounts) => Ok(self.client.clone()),
            };
            let ended = match client {
                Ok(client) => {
                    is_new = connection.is_none();
                    connection.get_or_insert_with(|| (client.clone(), began));
                    feed.follow(&client, path, &tell).await
                }
                Err(error) => Err(error),
            };
            if ended.is_err() || connection.as_ref().is_some_and(|(_, made)| made.elapsed() >= CONNECTION_TTL) {
                connection = None;
            }
            let pause = match ended {
                // The token of an older connection may have ended. An API server that was just started denies
                // everything for a moment, so one that has allowed it, or of which the chart has the rights, is asked
                // again sooner.
                Err(FeedError::Denied)
                    if is_new && matches!(source, Source::Store(_)) && !has_worked.load(Ordering::Relaxed) =>
                {
                    feed = Feed::default();
                    Some(DENIED_PAUSE)
                }
                _ if began.elapsed() >= SHORTEST_WATCH => {
                    backoff.reset();
                    None
                }
                _ => backoff.next(&RETRY_PAUSES, Instant::now(), &mut rand::rng()),
            };
            tokio::select! {
                () = tokio::time::sleep(pause.unwrap_or_default()) => {}
                () = again.notified() => (connection, backoff) = Default::default(),
            }
        }
    }

    async fn connect(&self, store: &ClusterStore) -> Result<kube::Client, FeedError> {
        watching_client(&self.client, store).await.map_err(|_| FeedError::Failed)
    }

    /// Takes in a change. All that come within a short while are told together.
    fn collect(self: &Arc<Self>, source: &Source, batch: &Arc<Mutex<Option<Batch>>>, news: News) {
        let mut waiting = batch.lock();
        let is_first = waiting.is_none();
        waiting.get_or_insert_default().add(source, news);
        if is_first {
            let (this, source, batch) = (self.clone(), source.clone(), batch.clone());
            tokio::spawn(async move {
                tokio::time::sleep(BATCH).await;
                let batch = batch.lock().take().unwrap_or_default();
                this.tell(&source, &batch);
            });
        }
    }

    /// Makes those due that name what has changed.
    fn tell(&self, source: &Source, batch: &Batch) {
        let mut state = self.state.lock();
        let users: HashMap<Key, Duration> = match batch {
            Batch::Some(changed) => {
                let mut users = HashMap::new();
                for (id, patience) in changed {
                    for user in state.named.users_of(source, id) {
                        let known = users.entry(user).or_insert(*patience);
                        *known = (*known).min(*patience);
                    }
                }
                users
            }
            Batch::All => state.named.users_of_any(source).into_iter().map(|user| (user, Duration::ZERO)).collect(),
        };
        let change = NamedChange { at: Instant::now(), is_sure: matches!(batch, Batch::Some(_)) };
        for user in users.keys() {
            let known = state.changed.entry(user.clone()).or_insert(change);
            *known = NamedChange { is_sure: known.is_sure || change.is_sure, ..change };
        }
        drop(state);
        let mut rng = rand::rng();
        for (user, patience) in users {
            self.work.push(user, change.at + patience + spread(DEPENDENTS_SPREAD, &mut rng), Class::Event);
        }
    }
}

/// What has changed of a source in a short while.
enum Batch {
    /// Each with the time until those look that name it.
    Some(HashMap<ObjectRef, Duration>),
    All,
}

impl Default for Batch {
    fn default() -> Self {
        Batch::Some(HashMap::new())
    }
}

impl Batch {
    fn add(&mut self, source: &Source, news: News) {
        let Batch::Some(changed) = self else { return };
        let (id, patience) = match (news, source) {
            (News::Unknown, _) => {
                *self = Batch::All;
                return;
            }
            (News::Deleted(id), Source::Store(_)) => (id, GONE_PATIENCE),
            (News::Changed(id) | News::Deleted(id), _) => (id, Duration::ZERO),
        };
        // The server of a store does not say where its Secrets are: that is known.
        let id = if let Source::Store(store) = source { ObjectRef::new(&*store.namespace, id.name) } else { id };
        changed.insert(id, patience);
        if changed.len() > MAX_BATCH {
            *self = Batch::All;
        }
    }
}
