//! One rollout of a workload for all that is owed to it.
//!
//! Whatever asks for a restart joins the rollout of its target that is being gathered, or opens one. When the window of
//! time is over, the first that comes patches the target once, with the marks of all. With a window of zero, nothing is
//! gathered: each restart is a rollout of its own, and those of one target take turns. Nothing of this has to outlive
//! the process: what is owed is found again in the objects and their Secrets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::restart::{Mark, restart_patch};
use crate::api::{RestartKind, RolloutRestartTarget};
use crate::kubernetes::{ErrorKind, KubernetesError, Workload, Workloads};

/// The controllers of workloads update their objects all the time.
const ATTEMPTS: usize = 6;
/// A rollout that has to wait for others is tried again after this.
const LIMIT_PAUSE: Duration = Duration::from_secs(2);
/// A rollout that takes longer counts no more: pods that never get ready hold up no others. It is the deadline of a
/// Deployment that sets none.
const LONGEST_ROLLOUT: Duration = Duration::from_secs(600);

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarted {
    /// It was restarted for the mark that was asked for, and this is told for the first time. Else it had been before,
    /// or was made after the content.
    pub for_mark: bool,
    /// It was this call that restarted it, for whatever.
    pub now: bool,
}

/// Why a target was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// A paused Deployment rolls nothing out.
    #[error("deployment {0} is paused, cannot restart it; resume it first")]
    Paused(String),
    /// As many rollouts are under way in the namespace as may be.
    #[error("other rollouts of the namespace are not complete yet")]
    Later(Instant),
    /// The API server did not do it.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
}

/// A workload, with its namespace.
type Target = (Arc<str>, RolloutRestartTarget);

/// The rollouts that are being gathered.
pub struct Rollouts {
    window: Duration,
    gathered: Mutex<HashMap<Target, Weak<Rollout>>>,
    limit: Limit,
}

/// One rollout of one target, to come or done. The table forgets it when nothing waits for it any more.
pub struct Rollout {
    target: Target,
    state: Mutex<State>,
    /// The marks that the target got, but for those of which that was told.
    done: OnceCell<Mutex<Vec<Mark>>>,
    /// Held while the target is patched, and shared with the other rollouts of the target: they would be in conflict.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct State {
    due: Instant,
    asks: BTreeMap<String, Ask>,
    /// It has begun: what is asked for now is for another one.
    begun: bool,
}

struct Ask {
    mark: Mark,
    /// A target made after this, in seconds since the epoch, has started with the content.
    content_since: Option<i64>,
}

impl Ask {
    fn is_met(&self, workload: &Workload, kind: &RestartKind) -> bool {
        self.mark.is_on(workload, kind) || self.content_since.is_some_and(|since| workload.created > since)
    }
}

impl Rollouts {
    /// What is asked for within `window` is one rollout; each is its own if that is zero. At most `max_per_namespace`
    /// are under way in a namespace at the same time, unless that is zero.
    pub fn new(window: Duration, max_per_namespace: usize) -> Self {
        Self { window, gathered: Mutex::default(), limit: Limit { max: max_per_namespace, running: Mutex::default() } }
    }

    /// How long what is asked for is gathered.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Asks for a restart of a target for the content of a mark. `held` has the rollouts that were asked before. A
    /// target made after `content_since` (seconds since the epoch) has started with this content.
    pub fn ask(
        &self,
        namespace: &str,
        target: &RolloutRestartTarget,
        mark: Mark,
        content_since: Option<i64>,
        held: &[Arc<Rollout>],
    ) -> Arc<Rollout> {
        if let Some(held) = held.iter().find(|held| held.target.1 == *target)
            && let Some(ask) = held.state.lock().asks.get_mut(&mark.key)
            && ask.mark == mark
        {
            ask.content_since = content_since;
            return held.clone();
        }
        let ask = |state: &mut State| {
            state.asks.insert(mark.key.clone(), Ask { mark: mark.clone(), content_since });
        };
        let target: Target = (namespace.into(), target.clone());
        let mut gathered = self.gathered.lock();
        let before = gathered.get(&target).and_then(Weak::upgrade);
        if let Some(rollout) = before.as_ref().filter(|_| !self.window.is_zero()) {
            let mut state = rollout.state.lock();
            if !state.begun {
                ask(&mut state);
                return rollout.clone();
            }
        }
        gathered.retain(|_, rollout| rollout.strong_count() > 0);
        let mut state = State { due: Instant::now() + self.window, asks: BTreeMap::new(), begun: false };
        ask(&mut state);
        let turn = before.map(|rollout| rollout.turn.clone()).unwrap_or_default();
        let rollout = Rollout { target: target.clone(), state: Mutex::new(state), done: OnceCell::new(), turn };
        let rollout = Arc::new(rollout);
        gathered.insert(target, Arc::downgrade(&rollout));
        rollout
    }

    /// Restarts the target of a rollout that is due, for all that was asked of it; tells what became of one of the
    /// marks.
    ///
    /// # Errors
    /// Why the target was not restarted. What was asked for stays so.
    pub async fn restart(
        &self,
        workloads: &Workloads,
        rollout: &Rollout,
        mark: &Mark,
    ) -> Result<Restarted, RestartError> {
        let mut is_first = false;
        let done = rollout.done.get_or_try_init(|| {
            is_first = true;
            self.roll_out(workloads, rollout)
        });
        let mut marks = done.await?.lock();
        let now = is_first && !marks.is_empty();
        let untold = marks.iter().position(|one| one == mark).map(|place| marks.swap_remove(place));
        Ok(Restarted { for_mark: untold.is_some(), now })
    }

    async fn roll_out(&self, workloads: &Workloads, rollout: &Rollout) -> Result<Mutex<Vec<Mark>>, RestartError> {
        rollout.state.lock().begun = true;
        let ended = self.try_roll_out(workloads, rollout).await;
        if let Err(error) = &ended {
            if !matches!(error, RestartError::Later(_)) {
                self.limit.forget(&rollout.target).await;
            }
            let mut state = rollout.state.lock();
            state.begun = false;
            if let RestartError::Later(at) = error {
                state.due = *at;
            }
        }
        ended.map(Mutex::new)
    }

    async fn try_roll_out(&self, workloads: &Workloads, rollout: &Rollout) -> Result<Vec<Mark>, RestartError> {
        let (_, RolloutRestartTarget { kind, name }) = &rollout.target;
        let _turn = rollout.turn.lock().await;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let workload = workloads.get(kind, name).await?;
            let marks = rollout.unmet(&workload);
            if marks.is_empty() {
                return Ok(marks);
            }
            if workload.paused && *kind == RestartKind::Deployment {
                return Err(RestartError::Paused(name.clone()));
            }
            self.limit.admit(workloads, &rollout.target).await?;
            match workloads.patch(kind, name, &workload, restart_patch(kind, &workload, &marks)).await {
                Ok(()) => return Ok(marks),
                Err(error) if error.kind == ErrorKind::Conflict => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.unwrap_or_else(|| KubernetesError::new(ErrorKind::Conflict, "conflict")).into())
    }
}

impl Rollout {
    /// The workload.
    pub fn target(&self) -> &RolloutRestartTarget {
        &self.target.1
    }

    /// When it is due.
    pub fn due(&self) -> Instant {
        self.state.lock().due
    }

    /// The marks that the workload does not carry yet.
    fn unmet(&self, workload: &Workload) -> Vec<Mark> {
        let state = self.state.lock();
        let unmet = state.asks.values().filter(|ask| !ask.is_met(workload, &self.target.1.kind));
        unmet.map(|ask| ask.mark.clone()).collect()
    }
}

/// How many rollouts are under way in each namespace.
struct Limit {
    /// Zero: any number.
    max: usize,
    running: Mutex<HashMap<Arc<str>, Arc<OfNamespace>>>,
}

/// The rollouts under way in a namespace, held while one is let in.
type OfNamespace = tokio::sync::Mutex<Vec<Running>>;

/// A rollout that was begun.
struct Running {
    target: RolloutRestartTarget,
    since: Instant,
}

impl Limit {
    /// Lets a rollout begin, or tells when to ask again.
    async fn admit(&self, workloads: &Workloads, target: &Target) -> Result<(), RestartError> {
        if self.max == 0 {
            return Ok(());
        }
        let running = self.running.lock().entry(target.0.clone()).or_default().clone();
        let mut running = running.lock().await;
        running.retain(|one| one.target != target.1 && one.since.elapsed() < LONGEST_ROLLOUT);
        let mut complete = vec![];
        for Running { target, .. } in running.iter() {
            if is_complete(workloads, target).await {
                complete.push(target.clone());
            }
        }
        running.retain(|one| !complete.contains(&one.target));
        if running.len() >= self.max {
            return Err(RestartError::Later(Instant::now() + LIMIT_PAUSE));
        }
        running.push(Running { target: target.1.clone(), since: Instant::now() });
        Ok(())
    }

    /// A rollout was not begun after all.
    async fn forget(&self, target: &Target) {
        let running = self.running.lock().get(&target.0).cloned();
        if let Some(running) = running {
            running.lock().await.retain(|one| one.target != target.1);
        }
    }
}

/// Whether all pods of a workload are new, or there is no such workload any more.
async fn is_complete(workloads: &Workloads, target: &RolloutRestartTarget) -> bool {
    match workloads.get(&target.kind, &target.name).await {
        Ok(workload) => workload.unfinished_rollout().is_none(),
        Err(error) => error.kind == ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn target(name: &str) -> RolloutRestartTarget {
        RolloutRestartTarget { kind: RestartKind::Deployment, name: name.into() }
    }

    fn asks(rollout: &Rollout) -> Vec<String> {
        rollout.state.lock().asks.values().map(|ask| ask.mark.value.clone()).collect()
    }

    #[test]
    fn what_is_asked_of_a_target_is_one_rollout_until_it_begins() {
        let rollouts = Rollouts::new(Duration::from_secs(9), 0);
        let ask = |namespace: &str, name: &str, object: &str, digest: &str, held: &[Arc<Rollout>]| {
            rollouts.ask(namespace, &target(name), Mark::of_object(object, digest), None, held)
        };
        let one = ask("ns", "app", "a", "1", &[]);
        assert!(one.due() > Instant::now() + Duration::from_secs(8));
        assert!(Arc::ptr_eq(&one, &ask("ns", "app", "b", "1", &[])));
        assert!(Arc::ptr_eq(&one, &ask("ns", "app", "a", "2", from_ref(&one))), "newer content of an object");
        assert_eq!(asks(&one), ["2", "1"]);
        let others = [ask("ns", "other", "a", "1", &[]), ask("other", "app", "a", "1", &[])];
        assert!(others.iter().all(|other| !Arc::ptr_eq(&one, other)), "another target");

        one.state.lock().begun = true;
        let next = ask("ns", "app", "c", "1", &[]);
        assert!(!Arc::ptr_eq(&one, &next), "what comes later is another rollout");
        assert!(Arc::ptr_eq(&one, &ask("ns", "app", "a", "2", from_ref(&one))), "what waits for it is told by it");
        assert!(Arc::ptr_eq(&next, &ask("ns", "app", "a", "3", from_ref(&one))), "newer content is not in it");
        assert_eq!(asks(&next), ["3", "1"]);

        drop((next, others));
        let again = ask("ns", "app", "d", "1", &[]);
        assert_eq!(asks(&again), ["1"], "nothing waits for the one before");
        assert_eq!(rollouts.gathered.lock().len(), 1, "what is not waited for takes no room");
    }

    #[test]
    fn without_a_window_each_restart_is_a_rollout_of_its_own() {
        let rollouts = Rollouts::new(Duration::ZERO, 0);
        let ask = |object: &str, digest: &str, held: &[Arc<Rollout>]| {
            rollouts.ask("ns", &target("app"), Mark::of_object(object, digest), None, held)
        };
        let one = ask("a", "1", &[]);
        assert!(one.due() <= Instant::now());
        let other = ask("b", "1", &[]);
        assert!(!Arc::ptr_eq(&one, &other), "one that has not begun is not joined");
        assert!(Arc::ptr_eq(&one.turn, &other.turn), "they take turns");
        assert!(Arc::ptr_eq(&one, &ask("a", "1", from_ref(&one))), "a restart that is asked for again");
        assert!(!Arc::ptr_eq(&one, &ask("a", "2", from_ref(&one))), "newer content");
        assert_eq!((asks(&one), asks(&other)), (vec!["1".to_owned()], vec!["1".to_owned()]));
    }

    #[test]
    fn a_target_is_restarted_unless_it_carries_the_mark_or_is_newer_than_the_content() {
        let workload = |created: i64, digest: &str| {
            let object = serde_json::json!({
                "metadata": { "name": "app", "creationTimestamp": "1970-01-01T00:00:00Z" },
                "spec": { "template": { "metadata": { "annotations": {
                    "restart.vso.secrets.hashicorp.com/a": digest,
                } } } },
            });
            let mut workload = Workload::of(&RestartKind::Deployment, serde_json::from_value(object).unwrap());
            workload.created = created;
            workload
        };
        let rollouts = Rollouts::new(Duration::ZERO, 0);
        let unmet = |created, digest, since| {
            let mark = Mark::of_object("a", "1");
            rollouts.ask("ns", &target("app"), mark, since, &[]).unmet(&workload(created, digest)).len()
        };
        for (created, digest, since, expected) in
            [(0, "0", None, 1), (0, "1", None, 0), (5, "0", Some(5), 1), (6, "0", Some(5), 0), (6, "0", None, 1)]
        {
            assert_eq!(unmet(created, digest, since), expected, "{created} {digest} {since:?}");
        }
    }
}
