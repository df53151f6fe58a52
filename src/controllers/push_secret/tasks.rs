//! What a run has to do at each of the stores, and which of them are due.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::places::Places;
use super::state::{State, TargetState};
use super::task::{Done, Entries, Task};
use crate::api::Key;
use crate::backoff::horizon;
use crate::external_secret::push::Expansion;
use crate::resolve::PushTarget;
use crate::workqueue::Job;

/// What a run has to do.
pub(super) struct Tasks {
    pub all: Vec<Task>,
    /// Digest over what is pushed to each, in the order of `all`.
    pub inputs: Vec<[u8; 32]>,
    /// Whether each is to be looked at now.
    pub due: Vec<bool>,
    pub interval: Option<Duration>,
    /// Whether equal inputs may give something else each time.
    pub is_volatile: bool,
}

impl Tasks {
    /// Whether a store is pushed to in this run. If not, when it is looked at again is set.
    pub fn needs_push(&self, i: usize, target: &mut TargetState) -> bool {
        if !self.due[i] {
            return false;
        }
        if target.pass.as_ref().is_some_and(|pass| pass.inputs == self.inputs[i]) {
            return true;
        }
        let is_same = target.inputs.as_ref() == Some(&self.inputs[i]) && !target.fails();
        let has_rows = !self.all[i].expansion.rows.is_empty();
        if !is_same
            && !target.fails()
            && has_rows
            && let Some(at) = target.wait_until(Instant::now())
        {
            target.due = Some(at);
            return false;
        }
        if is_same && self.is_volatile {
            // It would come out otherwise at each look.
            schedule(target, self.interval);
            return false;
        }
        true
    }

    /// What the stores are to have. `None`: that is not known of all entries.
    pub fn wanted(&self) -> Option<Places> {
        let mut places = Places::wanted(self.all.iter().map(|task| (task.target.plan.as_ref().ok(), &task.expansion)))?;
        for task in &self.all {
            task.moving.iter().for_each(|entry| places.add(task.target.plan.as_ref().ok(), entry));
        }
        Some(places)
    }

    /// What the stores hold of what is pushed.
    pub fn held(&self, done: &BTreeMap<usize, Done>) -> Places {
        let mut held = Places::default();
        for (i, task) in self.all.iter().enumerate() {
            let entries = done.get(&i).map_or(&task.known, |done| &done.entries);
            for entry in entries.values() {
                held.add(task.target.plan.as_ref().ok(), entry);
            }
        }
        held
    }

    /// Whether all stores have what is pushed.
    pub fn are_done(&self, state: &State) -> bool {
        let mut all = self.all.iter().zip(&self.inputs);
        all.all(|(task, inputs)| {
            let target = state.targets.get(&task.target.name);
            target.is_some_and(|target| target.inputs.as_ref() == Some(inputs) && !target.fails())
        })
    }

    /// Nothing is pushed.
    pub fn only_deleting(
        pushed: Vec<(PushTarget, Entries)>,
        interval: Option<Duration>,
        job: &Job<Key>,
        state: &mut State,
    ) -> Self {
        let tasks = pushed.into_iter().map(|(target, known)| Task::deleting(target, known, Expansion::default()));
        let all: Vec<Task> = tasks.collect();
        state.targets.retain(|name, _| all.iter().any(|task| task.target.name == *name));
        let inputs: Vec<[u8; 32]> = all.iter().map(|task| digest_for(&[0; 32], &task.target)).collect();
        let due = state.due(job, all.iter().map(|task| task.target.name.as_str()).zip(&inputs));
        Self { all, inputs, due, interval, is_volatile: false }
    }
}

/// The store is looked at again after the interval.
pub(super) fn schedule(target: &mut TargetState, interval: Option<Duration>) {
    target.backoff.reset();
    target.due = interval.map(|interval| Instant::now() + horizon(interval, &mut rand::rng()));
}

/// Over what is pushed to a store, and how the store is reached.
pub(super) fn digest_for(inputs: &[u8; 32], target: &PushTarget) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(inputs);
    match &target.plan {
        Ok(plan) => {
            hash.update(plan.uid.as_bytes());
            hash.update(plan.generation.to_be_bytes());
        }
        Err(denied) => hash.update(denied.to_string().as_bytes()),
    }
    for is_meant in &target.data_to {
        hash.update([u8::from(*is_meant)]);
    }
    hash.finalize().into()
}
