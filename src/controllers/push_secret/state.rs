//! What this process remembers of a PushSecret between two runs. All of it can be lost: the next run finds it again. No
//! data of a Secret is part of it, but for what a generator has made, until all stores have it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pass::{Pass, SecretPlace, Step};
use crate::api::Key;
use crate::api::external_secrets::PushSecret;
use crate::api::external_secrets::push_secret::SyncedPushSecrets;
use crate::backoff::Backoff;
use crate::controllers::drift::Drift;
use crate::controllers::open_store::OpenStore;
use crate::external_secret::Data;
use crate::external_secret::push::Expansion;
use crate::external_secret::template::CompiledTemplate;
use crate::vault::Session;
use crate::workqueue::{Class, Job, Lane, Next};

/// The state of one object.
#[derive(Default)]
pub(super) struct State {
    /// Of each store, by its name in the status.
    pub targets: BTreeMap<String, TargetState>,
    /// Held so that it is not compiled again at each push.
    pub template: Option<Arc<CompiledTemplate>>,
    /// Pauses after failures that concern no store.
    pub backoff: Backoff,
    /// Pauses after a status that the API server did not take.
    pub status_backoff: Backoff,
    /// What the generator has made that not all stores are known to have.
    pub generated: Option<Pending>,
    /// When the generator has made something last.
    pub generated_at: Option<Instant>,
    /// The login of the generator. What it has made may end with it.
    pub sessions: Vec<Arc<Session>>,
    /// What was pushed that the status does not name yet, by store.
    pub unrecorded: SyncedPushSecrets,
    /// Since when the Secret is gone.
    pub source_gone: Option<Instant>,
    /// When the condition told last how far a large push is, or when that began.
    pub told: Option<Instant>,
}

/// What a generator has made, until all stores have it and the status says so: a run that is tried again makes nothing
/// new.
pub(super) struct Pending {
    /// The generator as it was.
    pub version: (String, String, i64),
    /// The object as it was.
    pub of: String,
    /// By key.
    pub data: Data,
    /// It may not be used any more from then on.
    pub until: Instant,
}

/// The state of one store.
#[derive(Default)]
pub(super) struct TargetState {
    /// Digest of all that was pushed there.
    pub inputs: Option<[u8; 32]>,
    /// When it is looked at again.
    pub due: Option<Instant>,
    /// That there is no such store.
    pub missing: Option<String>,
    /// What could not be pushed, and why.
    pub failures: Vec<String>,
    /// What could not be deleted, and why.
    pub not_deleted: Vec<String>,
    /// Whether the last run found no login for it.
    pub has_no_login: bool,
    /// Pauses after failures.
    pub backoff: Backoff,
    /// When it was last written.
    pub written: Option<Instant>,
    /// Pauses between writes that follow each other: a push may change what is pushed.
    pub drift: Drift,
    /// The lane of its server.
    pub lane: Option<Lane>,
    /// The login in use. Dropping it ends it if nothing else uses it.
    pub session: Option<Arc<Session>>,
    /// How far the look at the store is.
    pub pass: Option<Pass>,
}

/// A write that comes so soon after another may be caused by it.
const CHAIN: Duration = Duration::from_secs(5);

impl TargetState {
    /// Goes on with the look at the store, or begins another one.
    pub fn begin(&mut self, inputs: [u8; 32], expansion: &Expansion) {
        if self.pass.as_ref().is_some_and(|pass| pass.inputs == inputs) {
            return;
        }
        self.failures = expansion.failures.iter().map(|(_, why)| why.clone()).collect();
        (self.missing, self.not_deleted, self.due) = Default::default();
        self.pass = Some(Pass::new(inputs));
    }

    /// What is done there next.
    pub fn step(&self) -> Step {
        self.pass.as_ref().map_or(Step::Done, |pass| pass.step)
    }

    /// A step is done.
    pub fn enter(&mut self, step: Step) {
        if let Some(pass) = &mut self.pass {
            pass.enter(step);
        }
    }

    /// The rest of a step is for the next run.
    pub fn pause(&mut self, after: &SecretPlace, seen: usize, left: usize) {
        if let Some(pass) = &mut self.pass {
            pass.pause(after, seen, left);
        }
    }

    /// A run has opened the store.
    pub fn opened(&mut self, store: &OpenStore<'_>) {
        self.lane = Some(store.lane);
        self.session = store.session().cloned();
    }

    /// It was written.
    pub fn note_write(&mut self, now: Instant) {
        if self.written.is_some_and(|before| now.duration_since(before) < CHAIN) {
            self.drift.repaired(now);
        }
        self.written = Some(now);
    }

    /// When something else may be written there, if that is not now.
    pub fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.drift.wait_until(now)
    }

    /// Whether the last push did not get through.
    pub fn fails(&self) -> bool {
        self.missing.is_some() || !self.failures.is_empty() || !self.not_deleted.is_empty()
    }

    /// Whether it is to be looked at now. `retries`: one that failed may be good again.
    fn is_due(&self, inputs: &[u8; 32], retries: bool, now: Instant) -> bool {
        self.pass.is_some()
            || self.inputs.as_ref() != Some(inputs)
            || self.due.is_some_and(|due| due <= now)
            || (retries && self.fails())
    }
}

impl State {
    /// The object as if its status named all that was pushed.
    pub fn recorded<'a>(&self, object: &'a PushSecret) -> Cow<'a, PushSecret> {
        if self.unrecorded.is_empty() {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        let synced = &mut object.status.get_or_insert_default().synced_push_secrets;
        for (store, entries) in &self.unrecorded {
            let entries = entries.iter().map(|(place, entry)| (place.clone(), entry.clone()));
            synced.entry(store.clone()).or_default().extend(entries);
        }
        Cow::Owned(object)
    }

    /// The status names all that was pushed.
    pub fn recorded_all(&mut self) {
        self.status_backoff.reset();
        self.unrecorded.clear();
    }

    /// Which of the stores are to be looked at in a run, by their names and by digests of what is pushed there.
    pub fn due<'a>(&self, job: &Job<Key>, stores: impl Iterator<Item = (&'a str, &'a [u8; 32])>) -> Vec<bool> {
        // Whatever made the object due may have repaired what failed.
        let (retries, now) = (job.class != Class::Refresh, Instant::now());
        let is_due = |(name, inputs): (&str, &[u8; 32])| {
            self.targets.get(name).is_none_or(|target| target.is_due(inputs, retries, now))
        };
        stores.map(is_due).collect()
    }

    /// When the object is due again, and the lane that it waits for: that of a store that fails, if one does.
    pub fn next(&self) -> (Next, Option<Lane>) {
        let failing = self.targets.values().filter(|target| target.fails());
        let first = failing.clone().next().or_else(|| self.targets.values().next());
        let lane = first.and_then(|target| target.lane);
        let due = |target: &TargetState| Some((target.due?, target.fails()));
        let next = match self.targets.values().filter_map(due).min() {
            None => Next::WhenChanged,
            Some((at, true)) => Next::At(at, Class::Retry),
            // The lane of a store that fails wakes retries only.
            Some((at, false)) if failing.count() > 0 => Next::At(at, Class::Retry),
            Some((at, false)) => Next::At(at, Class::Refresh),
        };
        (next, lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CustomObject as _;
    use crate::api::ObjectRef;

    const INPUTS: [u8; 32] = [1; 32];

    fn target(due: Option<Instant>, failures: &[&str], lane: Lane) -> TargetState {
        let failures = failures.iter().map(|text| (*text).to_owned()).collect();
        TargetState { inputs: Some(INPUTS), due, failures, lane: Some(lane), ..TargetState::default() }
    }

    #[test]
    fn a_store_is_due_for_a_change_for_its_time_and_when_its_server_is_back() {
        let now = Instant::now();
        let (before, later) = (now.checked_sub(Duration::from_secs(1)), Some(now + Duration::from_secs(60)));
        let key = Key { kind: PushSecret::KIND, id: ObjectRef::new("ns", "ps") };
        let due = |state: &State, inputs: &[u8; 32], class: Class| {
            let names = ["works", "fails", "late", "new"];
            state.due(&Job { key: key.clone(), due: now, class }, names.into_iter().zip(std::iter::repeat(inputs)))
        };
        let targets = [
            ("works", target(later, &[], 1)),
            ("fails", target(later, &["x"], 2)),
            ("late", target(before, &[], 3)),
            ("once", target(None, &[], 4)),
        ];
        let targets = targets.map(|(name, target)| (name.to_owned(), target)).into();
        let state = State { targets, ..State::default() };
        assert_eq!(due(&state, &INPUTS, Class::Refresh), [false, false, true, true]);
        for class in [Class::Retry, Class::Event] {
            assert_eq!(due(&state, &INPUTS, class), [false, true, true, true]);
        }
        assert_eq!(due(&state, &[2; 32], Class::Refresh), [true; 4]);
    }

    #[test]
    fn a_store_of_which_not_all_was_looked_at_is_due() {
        let mut target = target(None, &[], 1);
        assert!(!target.is_due(&INPUTS, false, Instant::now()));
        target.pass = Some(Pass::new(INPUTS));
        assert!(target.is_due(&INPUTS, false, Instant::now()));
    }

    #[test]
    fn what_the_status_does_not_name_yet_counts_as_recorded() {
        let entries = |names: &[&str]| {
            let entry =
                |name: &&str| ((*name).to_owned(), crate::api::external_secrets::push_secret::PushData::default());
            names.iter().map(entry).collect::<std::collections::BTreeMap<_, _>>()
        };
        let mut object = PushSecret::new("ps", Default::default());
        let mut state = State::default();
        assert_eq!(state.recorded(&object).status, None);
        object.status.get_or_insert_default().synced_push_secrets = [("a".to_owned(), entries(&["x"]))].into();
        state.unrecorded = [("a".to_owned(), entries(&["y"])), ("b".to_owned(), entries(&["z"]))].into();
        let found = state.recorded(&object).status.clone().unwrap().synced_push_secrets;
        assert_eq!(found, [("a".to_owned(), entries(&["x", "y"])), ("b".to_owned(), entries(&["z"]))].into());
    }

    #[test]
    fn an_object_waits_in_the_lane_of_a_store_that_fails() {
        let now = Instant::now();
        let (sooner, later) = (now + Duration::from_secs(1), now + Duration::from_secs(60));
        let mut state = State::default();
        assert_eq!(state.next(), (Next::WhenChanged, None));
        state.targets.insert("a".to_owned(), target(None, &[], 1));
        assert_eq!(state.next(), (Next::WhenChanged, Some(1)));
        state.targets.insert("b".to_owned(), target(Some(sooner), &[], 2));
        assert_eq!(state.next(), (Next::At(sooner, Class::Refresh), Some(1)));
        state.targets.insert("c".to_owned(), target(Some(later), &["x"], 3));
        assert_eq!(state.next(), (Next::At(sooner, Class::Retry), Some(3)));
    }

    #[test]
    fn writes_that_follow_each_other_wait_ever_longer() {
        let mut target = TargetState::default();
        let now = Instant::now();
        target.note_write(now);
        assert_eq!(target.wait_until(now), None, "a rotation is pushed at once");
        target.note_write(now + CHAIN + Duration::from_secs(1));
        assert_eq!(target.wait_until(now + CHAIN + Duration::from_secs(1)), None);
        let again = now + CHAIN + Duration::from_secs(2);
        target.note_write(again);
        assert!(target.wait_until(again).is_some());
    }
}
