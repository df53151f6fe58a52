//! What is to be done at one store, and what was done there. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::pass::SecretPlace;
use crate::api::external_secrets::push_secret::{PushData, SyncedPushSecrets};
use crate::external_secret::push::{Expansion, PushRow, Pushed, place};
use crate::providers::{Written, destination};
use crate::resolve::PushTarget;

/// What the status says was pushed to a store, by place.
pub(super) type Entries = BTreeMap<String, PushData>;

/// A store, and what is to be done there.
pub(super) struct Task {
    pub target: PushTarget,
    /// What is pushed.
    pub expansion: Expansion,
    /// What was pushed, as the status says.
    pub known: Entries,
    /// Entries that lead elsewhere than what they have pushed. The next run pushes them.
    pub moving: Vec<PushData>,
}

impl Task {
    /// What is to be done at a store of an object that deletes what it does not push any more. The status has one entry
    /// for a place: where the entry leads to another namespace now, what it has pushed goes first.
    pub fn deleting(target: PushTarget, known: Entries, expansion: Expansion) -> Self {
        let mut task = Self { target, known, expansion, moving: vec![] };
        let rows = std::mem::take(&mut task.expansion.rows);
        let (moving, rows): (Vec<_>, _) = rows.into_iter().partition(|row| task.is_elsewhere(&row.entry));
        task.moving = moving.into_iter().map(|row| row.entry).collect();
        task.expansion.rows = rows;
        task
    }

    fn is_elsewhere(&self, entry: &PushData) -> bool {
        let known = self.known.get(&place(&entry.r#match.remote_ref));
        let leads = known.map(|known| (self.destination(known), self.destination(entry)));
        matches!(leads, Some((Ok(before), Ok(now))) if before != now)
    }

    /// Whether the next run can push what leads elsewhere: nothing is left of what it has pushed.
    pub fn can_move(&self, done: &Done) -> bool {
        let is_gone = |entry: &PushData| !done.entries.contains_key(&place(&entry.r#match.remote_ref));
        !self.moving.is_empty() && self.moving.iter().all(is_gone)
    }

    /// Where an entry leads; its key, if the store cannot be reached or the entry is wrong.
    fn destination(&self, entry: &PushData) -> SecretPlace {
        let destination = self.target.plan.as_ref().ok().map(|plan| destination(plan, entry));
        destination.and_then(Result::ok).ok_or_else(|| entry.r#match.remote_ref.remote_key.clone())
    }

    /// The places that are pushed to, or would be if nothing failed.
    fn wanted(&self) -> BTreeSet<String> {
        let failed = self.expansion.failures.iter().filter_map(|(entry, _)| entry.as_ref());
        let rows = self.expansion.rows.iter().map(|row| &row.entry);
        rows.chain(failed).map(|entry| place(&entry.r#match.remote_ref)).collect()
    }

    /// What was pushed and still is to be.
    pub fn wanted_of_known(&self) -> Entries {
        let wanted = self.wanted();
        let known = self.known.iter().filter(|(place, _)| wanted.contains(*place));
        known.map(|(place, entry)| (place.clone(), entry.clone())).collect()
    }

    /// What was pushed and is not to be any more.
    pub fn obsolete(&self) -> Vec<&PushData> {
        let wanted = self.wanted();
        self.known.iter().filter(|(place, _)| !wanted.contains(*place)).map(|(_, entry)| entry).collect()
    }

    /// What is pushed to each secret of the store.
    pub fn rows_of_secrets(&self) -> BTreeMap<SecretPlace, Vec<&PushRow>> {
        let mut of_secrets = BTreeMap::<_, Vec<_>>::new();
        for row in &self.expansion.rows {
            of_secrets.entry(self.destination(&row.entry)).or_default().push(row);
        }
        of_secrets
    }

    /// What is not pushed any more to each secret of the store.
    pub fn obsolete_of_secrets(&self) -> BTreeMap<SecretPlace, Vec<&PushData>> {
        let mut of_secrets = BTreeMap::<_, Vec<_>>::new();
        for entry in self.obsolete() {
            of_secrets.entry(self.destination(entry)).or_default().push(entry);
        }
        of_secrets
    }
}

/// What was done at a store.
#[derive(Default)]
pub(super) struct Done {
    /// What is there of what was pushed, for the status.
    pub entries: Entries,
    /// Whether anything was written.
    pub changed: bool,
    /// Why no more can be done with the store.
    pub unusable: Option<Unusable>,
}

/// A store that does not answer, or does not let the operator in: what else is to be done there fails as well.
pub(super) struct Unusable {
    pub why: String,
    /// When the store is tried again, if its login or its server says so.
    pub retry_at: Option<Instant>,
    /// There is no login for it.
    pub is_login: bool,
}

impl Done {
    /// These entries stay recorded.
    pub fn keep(&mut self, entries: Vec<&PushData>) {
        self.entries.extend(entries.into_iter().map(entry_of));
    }

    /// Takes in what came of the rows of a secret of a store. `unrecorded` gets what the status does not name yet.
    /// Gives the places that could not be written, and why.
    pub fn take_in(
        &mut self,
        store: &str,
        rows: &[&PushRow],
        written: Written,
        unrecorded: &mut SyncedPushSecrets,
    ) -> Vec<(String, String)> {
        self.changed |= written.changed;
        let mut failures = vec![];
        for (row, result) in rows.iter().zip(written.rows) {
            let (place, entry) = entry_of(&row.entry);
            match result {
                Ok(Pushed::Done) => {
                    if self.entries.get(&place) != Some(&entry) {
                        let of_store = unrecorded.entry(store.to_owned()).or_default();
                        of_store.insert(place.clone(), entry.clone());
                    }
                    self.entries.insert(place, entry);
                }
                // What was there before the first push is not the operator's to delete.
                Ok(Pushed::Existed) => {}
                Err(why) => failures.push((place, why)),
            }
        }
        failures
    }
}

/// An entry as it stands in the status.
pub(super) fn entry_of(entry: &PushData) -> (String, PushData) {
    (place(&entry.r#match.remote_ref), entry.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::external_secrets::SecretStore;
    use crate::api::{CustomObject as _, Key, ObjectRef};
    use crate::external_secret::Data;
    use crate::external_secret::push::{Payload, PushSource};
    use crate::resolve::Denied;

    fn row(key: &str) -> PushRow {
        let entry = json!({ "match": { "remoteRef": { "remoteKey": key } } });
        let payload = Payload::all(&Arc::new(Data::from([("k".to_owned(), b"v".to_vec())])));
        PushRow { entry: serde_json::from_value(entry).unwrap(), payload, source: Arc::new(PushSource::default()) }
    }

    #[test]
    fn what_is_new_in_a_store_is_recorded_and_what_was_there_before_is_not() {
        let rows = ["known", "new", "foreign", "refused"].map(row);
        let mut done = Done::default();
        done.keep(vec![&rows[0].entry]);
        let results = vec![Ok(Pushed::Done), Ok(Pushed::Done), Ok(Pushed::Existed), Err("no".to_owned())];
        let mut unrecorded = SyncedPushSecrets::new();
        let written = Written { changed: true, rows: results };
        let failures = done.take_in("SecretStore/s", &rows.each_ref(), written, &mut unrecorded);
        assert_eq!(failures, [("refused".to_owned(), "no".to_owned())]);
        assert_eq!(done.entries.keys().collect::<Vec<_>>(), ["known", "new"]);
        assert_eq!(unrecorded["SecretStore/s"].keys().collect::<Vec<_>>(), ["new"]);
        assert!(done.changed);
    }

    #[test]
    fn an_entry_moves_once_what_it_has_pushed_is_gone() {
        let moving = |entries: &[&PushRow]| Task {
            target: PushTarget {
                name: "SecretStore/s".to_owned(),
                key: Key { kind: SecretStore::KIND, id: ObjectRef::new("ns", "s") },
                plan: Err(Denied::Missing("gone".to_owned())),
                is_named: true,
                data_to: vec![],
            },
            expansion: Expansion::default(),
            known: Entries::new(),
            moving: entries.iter().map(|row| row.entry.clone()).collect(),
        };
        let [one, two] = ["one", "two"].map(row);
        let mut done = Done::default();
        assert!(!moving(&[]).can_move(&done), "nothing moves");
        assert!(moving(&[&one, &two]).can_move(&done));
        // Another store is to have it, and has not got it yet: it would be looked at again and again.
        done.keep(vec![&two.entry]);
        assert!(moving(&[&one]).can_move(&done));
        assert!(!moving(&[&one, &two]).can_move(&done));
    }

    #[test]
    fn a_store_in_which_all_is_known_has_nothing_to_record() {
        let rows = [row("known")];
        let mut done = Done::default();
        done.keep(vec![&rows[0].entry]);
        let mut unrecorded = SyncedPushSecrets::new();
        let written = Written { changed: false, rows: vec![Ok(Pushed::Done)] };
        assert!(done.take_in("SecretStore/s", &rows.each_ref(), written, &mut unrecorded).is_empty());
        assert!(unrecorded.is_empty() && !done.changed);
    }
}
