//! The work of a run: the stores that are due, one after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::PushSecrets;
use super::pass::{Step, Turn};
use super::state::{State, TargetState};
use super::target::Busy;
use super::task::{Done, Task};
use super::tasks::{Tasks, schedule};
use crate::api::Key;
use crate::api::external_secrets::PushSecret;
use crate::api::external_secrets::push_secret::SyncedPushSecrets;
use crate::backoff::spread;
use crate::controllers::dependents::DEPENDENTS_SPREAD;
use crate::controllers::retry::RECHECK_DENIAL;
use crate::resolve;
use crate::workqueue::{Job, Lane};

/// What a run has done.
pub(super) struct Worked {
    /// What the stores hold of what was pushed.
    pub synced: SyncedPushSecrets,
    /// Whether anything was written.
    pub changed: bool,
    /// What is left to the next run.
    pub rest: Option<Rest>,
}

/// Why something is left to the next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is more to do than fits a run. With the lane of its server.
    Large(Option<Lane>),
    /// A store has to wait for its server.
    Waits(Lane),
}

impl PushSecrets {
    /// Does what is due: first all is pushed, then what is obsolete is deleted. Stores that failed come last, and those
    /// of which much is left come after those that were not looked at yet.
    pub(super) async fn work(&self, job: &Job<Key>, object: &PushSecret, tasks: &Tasks, state: &mut State) -> Worked {
        let (turn, mut rest) = (Turn::new(tasks.is_volatile), None);
        let State { targets, unrecorded, .. } = state;
        let mut order: Vec<usize> = (0..tasks.all.len()).collect();
        order.sort_by_key(|i| {
            let target = targets.get(&tasks.all[*i].target.name);
            target.map(|target| (target.fails(), target.pass.is_some())).unwrap_or_default()
        });
        let mut done: BTreeMap<usize, Done> = BTreeMap::new();
        for i in &order {
            let task = &tasks.all[*i];
            let of_target = targets.entry(task.target.name.clone()).or_default();
            if !tasks.needs_push(*i, of_target) {
                continue;
            }
            if matches!(rest, Some(Rest::Large(_))) {
                break;
            }
            of_target.begin(tasks.inputs[*i], &task.expansion);
            match self.push_to(job, object, task, of_target, unrecorded, &turn).await {
                Ok(pushed) => {
                    done.insert(*i, pushed);
                    if of_target.step() == Step::Push {
                        rest = Some(Rest::Large(of_target.lane));
                    }
                }
                Err(Busy(lane)) => {
                    of_target.inputs = None;
                    rest = Some(Rest::Waits(lane));
                }
            }
        }
        let wanted = tasks.wanted();
        let held = tasks.held(&done);
        let (mut synced, mut changed) = (resolve::pushed_by_others(object, &**self.stores()), false);
        for i in order {
            let task = &tasks.all[i];
            let name = &task.target.name;
            let of_target = targets.entry(name.clone()).or_default();
            let entries = if let Some(mut done) = done.remove(&i) {
                let obsolete = task.obsolete();
                of_target.inputs = Some(tasks.inputs[i]);
                match &wanted {
                    _ if of_target.step() == Step::Push => done.keep(obsolete),
                    _ if obsolete.is_empty() || !object.deletes() => of_target.enter(Step::Done),
                    // Not all is pushed yet.
                    _ if matches!(rest, Some(Rest::Large(_))) => done.keep(obsolete),
                    // What is not known to be pushed may be just that.
                    None => {
                        done.keep(obsolete);
                        of_target.enter(Step::Done);
                    }
                    Some(wanted) => {
                        match self.delete_from(job, task, (wanted, &held), of_target, &mut done, &turn).await {
                            Ok(_) if of_target.step() == Step::Delete => rest = Some(Rest::Large(of_target.lane)),
                            Ok(false) => {}
                            Ok(true) => of_target.inputs = None,
                            Err(Busy(lane)) => {
                                of_target.inputs = None;
                                rest = rest.or(Some(Rest::Waits(lane)));
                            }
                        }
                    }
                }
                changed |= done.changed;
                self.note(of_target, task, tasks.interval, &done);
                if task.can_move(&done) && of_target.pass.is_none() && !of_target.fails() {
                    (of_target.inputs, of_target.due) = (None, Some(Instant::now()));
                }
                done.entries
            } else {
                // What a run has pushed that gave way before its end stands in the state.
                let pushed = unrecorded.get(name).into_iter().flatten();
                let pushed = pushed.map(|(place, entry)| (place.clone(), entry.clone()));
                task.known.clone().into_iter().chain(pushed).collect()
            };
            if !entries.is_empty() {
                synced.insert(name.clone(), entries);
            }
        }
        Worked { synced, changed, rest }
    }

    /// Notes what was done with a store, and when it is looked at again if all is done.
    fn note(&self, target: &mut TargetState, task: &Task, interval: Option<Duration>, done: &Done) {
        let Some(pass) = &mut target.pass else { return };
        pass.has_written |= done.changed;
        if pass.step != Step::Done {
            return;
        }
        if pass.has_written {
            target.note_write(Instant::now());
        }
        target.pass = None;
        let retry_at = done.unusable.as_ref().and_then(|unusable| unusable.retry_at);
        target.due = retry_at.map(|at| at.max(Instant::now()) + spread(DEPENDENTS_SPREAD, &mut rand::rng()));
        target.has_no_login = done.unusable.as_ref().is_some_and(|unusable| unusable.is_login);
        self.schedule_next(target, task, interval);
    }

    fn schedule_next(&self, target: &mut TargetState, task: &Task, interval: Option<Duration>) {
        if !target.fails() {
            return schedule(target, interval);
        }
        let now = Instant::now();
        let pause = match (&task.target.plan, task.expansion.failures.is_empty()) {
            // A change of the store, or of the Secret, is a trigger.
            (Err(_), _) => RECHECK_DENIAL,
            _ => target.backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL),
        };
        // The login or the server of the store may say when it is tried again.
        target.due = Some(target.due.filter(|due| *due > now).unwrap_or(now + pause));
    }
}
