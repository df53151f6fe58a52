//! What a scrape shows of the objects and the queue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Controllers;
use crate::api::{Condition, ConditionStatus, ConditionType, CustomObject, condition};
use crate::kubernetes::Store;
use crate::resolve;
use crate::telemetry::{ControllerSnapshot, ObjectCondition, Snapshot};
use crate::workqueue::KeyState;

/// An object this late is overdue.
const OVERDUE: Duration = Duration::from_secs(60);

impl Controllers {
    /// Everything as it is now, except the watches and whether this process leads.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            controllers: self.queues(Instant::now()),
            resources: self.engine.controllers.iter().flat_map(|controller| controller.resources()).collect(),
            conditions: self.conditions(),
            not_synced: self.not_synced(),
            expiries: self.engine.controllers.iter().flat_map(|controller| controller.expiries()).collect(),
            servers: self.shared.vault.servers.infos(),
            sessions: self.shared.vault.logins.len(),
            event_streams: self.shared.subscriptions.open_streams(),
            missing_watches: BTreeMap::new(),
            leads: false,
        }
    }

    fn queues(&self, now: Instant) -> Vec<ControllerSnapshot> {
        let snapshot = |controller: &std::sync::Arc<dyn super::controller::Controller>| ControllerSnapshot {
            controller: controller.kind().controller(),
            objects: controller.objects(),
            ..ControllerSnapshot::default()
        };
        let mut all: Vec<_> = self.engine.controllers.iter().map(snapshot).collect();
        let late = |due: Instant| usize::from(now.saturating_duration_since(due) > OVERDUE);
        for (key, state) in self.shared.work.lock().states() {
            let Some(of) = all.iter_mut().find(|c| c.controller == key.kind.controller()) else { continue };
            match state {
                KeyState::Waiting { due } => {
                    of.depth += usize::from(due <= now);
                    of.overdue += late(due);
                }
                KeyState::Running { due, started } => {
                    let running = now.saturating_duration_since(started);
                    of.active += 1;
                    of.overdue += late(due);
                    of.unfinished += running;
                    of.longest = of.longest.max(running);
                }
            }
        }
        all
    }

    fn conditions(&self) -> Vec<ObjectCondition> {
        fn of<K: CustomObject>(store: &Store<K>) -> Vec<ObjectCondition> {
            let conditions = |object: &K| -> Vec<ObjectCondition> {
                let of_type = |condition: &Condition| ObjectCondition {
                    kind: K::KIND,
                    id: object.key().id,
                    type_: condition.type_.as_str().to_owned(),
                    status: condition.status.as_str().to_owned(),
                };
                object.conditions().iter().map(of_type).collect()
            };
            store.all().iter().flat_map(|object| conditions(object)).collect()
        }
        let stores = &self.shared.stores;
        let of_stores = [of(&stores.secret_stores), of(&stores.cluster_secret_stores)];
        of_stores.into_iter().flatten().chain(of(&stores.external_secrets)).collect()
    }

    fn not_synced(&self) -> Vec<(String, usize)> {
        let mut reasons = BTreeMap::<String, usize>::new();
        let mut count = |conditions: &[Condition], of: ConditionType| {
            if let Some(condition) = condition::find(conditions, of).filter(|c| c.status == ConditionStatus::False) {
                *reasons.entry(condition.reason.as_str().to_owned()).or_default() += 1;
            }
        };
        let stores = &self.shared.stores;
        for owner in stores.all_owners() {
            count(owner.owner_conditions(), ConditionType::SecretSynced);
        }
        for object in stores.external_secrets.all() {
            let fails = condition::is_false(object.conditions(), ConditionType::Ready);
            // What another operator serves is not counted here.
            let is_own = || !matches!(resolve::external_secret(&object, Duration::ZERO, &**stores), Ok(None));
            if fails && is_own() {
                count(object.conditions(), ConditionType::Ready);
            }
        }
        for object in stores.push_secrets.all() {
            let fails = condition::is_false(object.conditions(), ConditionType::Ready);
            let is_own =
                || !resolve::push_secret(&object, Duration::ZERO, &**stores).is_ok_and(|plan| plan.targets.is_empty());
            if fails && is_own() {
                count(object.conditions(), ConditionType::Ready);
            }
        }
        reasons.into_iter().collect()
    }
}
