//! What all stores of an object hold together: nothing is deleted that is pushed still, by whatever name or store.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::external_secrets::push_secret::PushData;
use crate::external_secret::push::Expansion;
use crate::providers::{Destination, destination};
use crate::resolve::StorePlan;

/// Properties of a secret. `None`: all of it.
type Properties = BTreeSet<Option<String>>;

/// Secrets, and what of each.
#[derive(Debug, Default)]
pub(super) struct Places {
    of_secrets: BTreeMap<Destination, Properties>,
    /// Keys in stores that cannot be reached: where these lead is not known.
    unplaced: BTreeSet<String>,
}

/// What becomes of an entry that is not pushed any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// What it has pushed goes.
    Goes,
    /// What it has pushed is pushed still.
    Stays,
}

impl Places {
    /// What is to be pushed to the stores, including what cannot be for now. `None`: that is not known of all entries.
    pub fn wanted<'a>(stores: impl Iterator<Item = (Option<&'a StorePlan>, &'a Expansion)>) -> Option<Self> {
        let mut places = Self::default();
        for (plan, expansion) in stores {
            for row in &expansion.rows {
                places.add(plan, &row.entry);
            }
            for (entry, _) in &expansion.failures {
                places.add(plan, entry.as_ref()?);
            }
        }
        Some(places)
    }

    /// Adds an entry of a store. Without its plan, where it leads is not known.
    pub fn add(&mut self, plan: Option<&StorePlan>, entry: &PushData) {
        let remote = &entry.r#match.remote_ref;
        match plan.map(|plan| destination(plan, entry)) {
            Some(Ok(destination)) => {
                self.of_secrets.entry(destination).or_default().insert(remote.property.clone());
            }
            // It can never be pushed.
            Some(Err(_)) => {}
            None => {
                self.unplaced.insert(remote.remote_key.clone());
            }
        }
    }

    /// What becomes of an entry that led to `destination`.
    pub fn fate(&self, destination: &Destination, entry: &PushData) -> Fate {
        let remote = &entry.r#match.remote_ref;
        let properties = self.of_secrets.get(destination);
        let is_pushed =
            properties.is_some_and(|properties| properties.contains(&None) || properties.contains(&remote.property));
        if is_pushed || self.unplaced.contains(&remote.remote_key) { Fate::Stays } else { Fate::Goes }
    }

    /// The properties of a secret that are pushed to it.
    pub fn properties(&self, destination: &Destination) -> BTreeSet<String> {
        self.of_secrets.get(destination).into_iter().flatten().flatten().cloned().collect()
    }

    /// Whether `held` has all that takes the place of an entry: then nothing is left of the entry.
    pub fn is_replaced(&self, held: &Self, destination: &Destination, entry: &PushData) -> bool {
        let remote = &entry.r#match.remote_ref;
        let is_held = |property: &&Option<String>| {
            held.of_secrets.get(destination).is_some_and(|properties| properties.contains(*property))
        };
        let concerns = |property: &&Option<String>| {
            remote.property.is_none() || property.is_none() || **property == remote.property
        };
        let mut replacing = self.of_secrets.get(destination).into_iter().flatten().filter(concerns);
        !self.unplaced.contains(&remote.remote_key) && replacing.all(|property| is_held(&property))
    }
}

/// Two rows of a store that lead to one place are not pushed, however their keys are written.
pub(super) fn refuse_repeated(plan: &StorePlan, expansion: &mut Expansion) {
    expansion.refuse_repeated(|entry| {
        let remote = &entry.r#match.remote_ref;
        (destination(plan, entry).map_err(|_| remote.remote_key.clone()), remote.property.clone())
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::external_secrets::SecretStore;
    use crate::resolve;

    fn plan() -> StorePlan {
        let auth = json!({ "tokenSecretRef": { "name": "t", "key": "k" } });
        let vault = json!({ "server": "https://vault", "path": "secret", "auth": auth });
        let spec = json!({ "provider": { "vault": vault } });
        let mut store = SecretStore::new("store", serde_json::from_value(spec).unwrap());
        store.metadata.namespace = Some("app".into());
        resolve::secret_store(&store).unwrap()
    }

    fn entry(place: &str) -> PushData {
        let (key, property) = place.split_once('#').map_or((place, None), |(key, property)| (key, Some(property)));
        serde_json::from_value(json!({ "match": { "remoteRef": { "remoteKey": key, "property": property } } })).unwrap()
    }

    fn places(of: &[&str]) -> Places {
        let mut places = Places::default();
        of.iter().for_each(|place| places.add(Some(&plan()), &entry(place)));
        places
    }

    #[test]
    fn what_is_pushed_still_stays() {
        for (obsolete, pushed, fate) in [
            ("db", &[][..], Fate::Goes),
            ("db", &["db#a", "db#b"], Fate::Goes),
            ("db#a", &["db"], Fate::Stays),
            ("db#a", &["db#b"], Fate::Goes),
            ("db", &["secret/db"], Fate::Stays),
            ("db#a", &["secret/data/db#a"], Fate::Stays),
            ("db", &["other"], Fate::Goes),
        ] {
            let destination = destination(&plan(), &entry(obsolete)).unwrap();
            assert_eq!(places(pushed).fate(&destination, &entry(obsolete)), fate, "{obsolete} {pushed:?}");
        }
        let destination = destination(&plan(), &entry("db")).unwrap();
        assert_eq!(places(&["db#a", "secret/db#b"]).properties(&destination), ["a", "b"].map(str::to_owned).into());
        let mut unknown = Places::default();
        unknown.add(None, &entry("db"));
        assert_eq!(unknown.fate(&destination, &entry("db")), Fate::Stays, "another store may have it");
        assert!(!unknown.is_replaced(&places(&[]), &destination, &entry("db")));
    }

    #[test]
    fn an_entry_is_forgotten_once_its_successors_are_pushed() {
        for (obsolete, wanted, held, is_replaced) in [
            ("db", &[][..], &[][..], true),
            ("db", &["db#a", "db#b"], &["db#a"], false),
            ("db", &["db#a", "db#b"], &["db#a", "db#b"], true),
            ("db#a", &["db"], &[], false),
            ("db#a", &["db"], &["db"], true),
            ("db#a", &["db#b"], &[], true),
            ("db", &["secret/db"], &["db"], true),
        ] {
            let destination = destination(&plan(), &entry(obsolete)).unwrap();
            let found = places(wanted).is_replaced(&places(held), &destination, &entry(obsolete));
            assert_eq!(found, is_replaced, "{obsolete} {wanted:?} {held:?}");
        }
    }
}
