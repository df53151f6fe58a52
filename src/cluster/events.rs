//! Kubernetes Events, `core/v1` as upstream's role grants them: repeated ones are counted and not written again, and one
//! object cannot flood its namespace.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::error::bounded;
use super::{ClusterError, FIELD_MANAGER};

/// Normal or Warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something happened as it should.
    Normal,
    /// Something needs a look.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// An equal event within this time is only counted.
const REPEAT_AFTER: Duration = Duration::from_secs(600);
/// An object may cause so many different events in a burst, then one per [`REFILL`].
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(60);
/// More than this is not remembered.
const REMEMBERED: usize = 2048;
/// Longest text of an event that the API server takes, in bytes.
const LONGEST: usize = 1024;

/// Writes events.
pub struct Events {
    client: kube::Client,
    host: String,
    seen: Mutex<HashMap<u64, Series>>,
    /// By hash of the UID.
    budgets: Mutex<HashMap<u64, (f64, Instant)>>,
}

struct Series {
    name: String,
    count: i32,
    written: Instant,
}

impl Events {
    /// `host` is the name of the pod that reports.
    pub fn new(client: kube::Client, host: String) -> Self {
        Self { client, host, seen: Mutex::default(), budgets: Mutex::default() }
    }

    /// Writes an event about an object, unless an equal one was written shortly before. A failure is logged: no sync
    /// fails because an event cannot be written.
    pub async fn publish(
        &self,
        about: &ObjectReference,
        component: &str,
        type_: EventType,
        reason: &str,
        message: &str,
    ) {
        // On the heap: few runs have anything to report, and all would carry its 2 KiB along.
        if let Err(error) = Box::pin(self.try_publish(about, component, type_, reason, message)).await {
            tracing::warn!(object = about.name, reason, %error, "event could not be written");
        }
    }

    async fn try_publish(
        &self,
        about: &ObjectReference,
        component: &str,
        type_: EventType,
        reason: &str,
        message: &str,
    ) -> Result<(), ClusterError> {
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let message = cut(message);
        let key = hash(&(&about.uid, about.kind.as_deref(), reason, message));
        let now = Instant::now();
        let time = chrono::Utc::now();
        let stamp = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);

        let repeat = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            make_room(&mut seen, |s| now.duration_since(s.written) < REPEAT_AFTER);
            match seen.get_mut(&key) {
                Some(series) => {
                    series.count += 1;
                    if now.duration_since(series.written) < REPEAT_AFTER {
                        return Ok(());
                    }
                    series.written = now;
                    Some((series.name.clone(), series.count))
                }
                None => None,
            }
        };
        if let Some((name, count)) = repeat {
            let patch = json!({ "count": count, "lastTimestamp": stamp });
            let params = PatchParams::apply(FIELD_MANAGER);
            match bounded("patch Event", api.patch(&name, &params, &Patch::Merge(patch))).await {
                Err(error) if error.kind == super::ErrorKind::NotFound => {} // it has expired: write a new one
                other => return other.map(drop),
            }
        }
        if !self.within_budget(hash(&about.uid), now) {
            return Ok(());
        }
        let object = about.name.as_deref().unwrap_or("");
        let name =
            format!("{object}.{:x}{:04x}", time.timestamp_nanos_opt().unwrap_or_default(), rand::random::<u16>());
        let event: Event = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": namespace },
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": type_.as_str(),
            "source": { "component": component, "host": self.host },
            "reportingComponent": component,
            "reportingInstance": self.host,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }))
        .map_err(|e| ClusterError::new(super::ErrorKind::Invalid, e.to_string()))?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        bounded("create Event", api.create(&params, &event)).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(key, Series { name, count: 1, written: now });
        Ok(())
    }

    fn within_budget(&self, uid: u64, now: Instant) -> bool {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        // A budget that is full again says nothing.
        make_room(&mut budgets, |(left, at)| {
            *left + now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64() < BURST
        });
        let (left, at) = budgets.entry(uid).or_insert((BURST, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *at = now;
        let allowed = *left >= 1.0;
        if allowed {
            *left -= 1.0;
        }
        allowed
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Forgets what is not worth keeping once there is too much, and all of it if that does not help: at worst an event is
/// repeated. To look through them for each event of a crowd would cost more than that.
fn make_room<T>(remembered: &mut HashMap<u64, T>, keep: impl Fn(&T) -> bool) {
    if remembered.len() >= REMEMBERED {
        remembered.retain(|_, value| keep(value));
        if remembered.len() > REMEMBERED / 2 {
            remembered.clear();
        }
    }
}

fn cut(message: &str) -> &str {
    let end = (0..=LONGEST.min(message.len())).rev().find(|&i| message.is_char_boundary(i)).unwrap_or(0);
    &message[..end]
}
