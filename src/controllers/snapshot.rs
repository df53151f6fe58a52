//! What a scrape shows of the objects and the queue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Controllers;
use crate::telemetry::{ControllerSnapshot, Snapshot};
use crate::workqueue::KeyState;

/// An object this late is overdue.
const OVERDUE: Duration = Duration::from_secs(60);

impl Controllers {
    /// Everything as it is now, except the watches and whether this process leads.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            controllers: self.queues(Instant::now()),
            resources: self.engine.controllers.iter().flat_map(|controller| controller.resources()).collect(),
            conditions: self.engine.controllers.iter().flat_map(|controller| controller.conditions()).collect(),
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

    fn not_synced(&self) -> Vec<(String, usize)> {
        let mut reasons = BTreeMap::<String, usize>::new();
        for reason in self.engine.controllers.iter().flat_map(|controller| controller.not_synced()) {
            *reasons.entry(reason).or_default() += 1;
        }
        reasons.into_iter().collect()
    }
}
