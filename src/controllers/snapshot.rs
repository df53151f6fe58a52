//! What a scrape shows of the objects and the queue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use super::{Context, Kind, conditions};
use crate::schedule::KeyState;
use crate::telemetry::{ControllerSnapshot, ResourceStatus, Snapshot};

/// An object this late is overdue.
const OVERDUE: Duration = Duration::from_secs(60);

impl Context {
    /// Everything as it is now, but for who leads.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            controllers: self.controllers(Instant::now()),
            resources: self.resources(),
            not_synced: self.not_synced(),
            sessions: self.sessions.len(),
            event_streams: self.instant_updates.open_streams(),
            leads: false,
        }
    }

    fn controllers(&self, now: Instant) -> Vec<ControllerSnapshot> {
        let mut all = Kind::ALL.map(|kind| ControllerSnapshot {
            controller: kind.as_str(),
            objects: match kind {
                Kind::Connection => self.connections.len(),
                Kind::Auth => self.auths.len(),
                Kind::Transformation => self.transformations.len(),
                Kind::StaticSecret => self.statics.len(),
                Kind::DynamicSecret => self.dynamics.len(),
                Kind::PkiSecret => self.pkis.len(),
                Kind::CsiSecrets => self.csis.len(),
            },
            ..ControllerSnapshot::default()
        });
        let late = |due: Instant| usize::from(now.saturating_duration_since(due) > OVERDUE);
        for (key, state) in self.lock_queue().states() {
            let Some(of) = all.iter_mut().find(|c| c.controller == key.kind.as_str()) else { continue };
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
        all.into()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        let status = |kind: Kind, namespace: Option<String>, name: String, valid: Option<bool>| {
            Some(ResourceStatus {
                controller: kind.as_str(),
                namespace: namespace.unwrap_or_default(),
                name,
                valid: valid?,
            })
        };
        let connections = self.connections.all();
        let connections = connections
            .iter()
            .filter_map(|o| status(Kind::Connection, o.namespace(), o.name_any(), o.status.as_ref().map(|s| s.valid)));
        let auths = self.auths.all();
        let auths = auths
            .iter()
            .filter_map(|o| status(Kind::Auth, o.namespace(), o.name_any(), o.status.as_ref().and_then(|s| s.valid)));
        let transformations = self.transformations.all();
        let transformations = transformations.iter().filter_map(|o| {
            status(Kind::Transformation, o.namespace(), o.name_any(), o.status.as_ref().map(|s| s.valid))
        });
        connections.chain(auths).chain(transformations).collect()
    }

    fn not_synced(&self) -> Vec<(String, usize)> {
        let mut reasons = BTreeMap::<String, usize>::new();
        for object in self.statics.all() {
            let known = object.status.as_ref().map_or(&[][..], |s| &s.conditions);
            if let Some(condition) = conditions::find(known, "SecretSynced").filter(|c| c.status == "False") {
                *reasons.entry(condition.reason.clone()).or_default() += 1;
            }
        }
        reasons.into_iter().collect()
    }
}
