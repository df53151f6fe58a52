//! Kubernetes Events, `core/v1` as VSO's role grants them: repeated ones are counted and not written again, and one
//! object cannot flood its namespace. They are written beside the runs that report them, few at a time: what tells of a
//! thousand syncs does not hold up the next.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};
use crate::util::BoundedCache;

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
/// So long the API server keeps an Event by default: an equal one is counted in it.
const EVENT_TTL: Duration = Duration::from_secs(3600);
/// An object may cause so many different events in a burst, then one per [`EVENT_REFILL_INTERVAL`].
const EVENT_BURST: f64 = 25.0;
const EVENT_REFILL_INTERVAL: Duration = Duration::from_secs(60);
/// More than this is not remembered: a hash table holds as many before it grows to 4,096 places.
const REMEMBERED_EVENTS: usize = 1792;
/// So many requests for events are under way at a time.
const CONCURRENT_EVENT_WRITES: usize = 2;
/// So many events wait for their turn. A run that reports one more writes it itself, as long as that takes.
const MAX_WAITING_EVENTS: usize = 1024;
/// Longest text of an event that the API server takes, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Writes events.
pub struct Events {
    client: kube::Client,
    host: String,
    seen: Mutex<BoundedCache<u64, Series>>,
    /// The budget of each object, by hash of its UID.
    budgets: Mutex<BoundedCache<u64, Budget>>,
    turns: Semaphore,
    places: Arc<Semaphore>,
    writes: TaskTracker,
}

/// How many different events an object may still cause.
#[derive(Clone, Copy)]
struct Budget {
    left: f64,
    at: Instant,
}

/// Equal events about one object.
#[derive(Clone, Copy)]
struct Series {
    /// What makes the name of the Event one of its own: when it was first reported, and a random number.
    serial: (i64, u16),
    count: i32,
    written: Instant,
}

/// One event to be written.
struct Report {
    about: ObjectReference,
    /// What it comes from.
    component: &'static str,
    type_: EventType,
    reason: String,
    message: String,
    time: DateTime<Utc>,
    /// The name of the Event.
    name: String,
    /// How often it was seen. More than once: there is an Event with this name.
    count: i32,
    /// What it is remembered by.
    key: u64,
}

impl Events {
    /// `host` is the name of the pod that reports.
    pub fn new(client: kube::Client, host: String) -> Arc<Self> {
        Arc::new(Self {
            client,
            host,
            seen: Mutex::new(BoundedCache::new(REMEMBERED_EVENTS)),
            budgets: Mutex::new(BoundedCache::new(REMEMBERED_EVENTS)),
            turns: Semaphore::new(CONCURRENT_EVENT_WRITES),
            places: Arc::new(Semaphore::new(MAX_WAITING_EVENTS)),
            writes: TaskTracker::new(),
        })
    }

    /// Has an event about an object written, unless an equal one was written shortly before. A failure is logged: no
    /// sync fails because an event cannot be written. `component` is what the event comes from.
    pub async fn publish(
        self: &Arc<Self>,
        about: ObjectReference,
        component: &'static str,
        type_: EventType,
        reason: &str,
        message: &str,
    ) {
        let place = self.places.clone().try_acquire_owned();
        let Some(report) = self.report(about, component, type_, reason, cut(message)) else { return };
        let this = self.clone();
        match place {
            Ok(place) => drop(self.writes.spawn(async move {
                let _place = place;
                let _turn = this.turns.acquire().await;
                this.write(&report).await;
            })),
            Err(_) => this.write(&report).await,
        }
    }

    /// Waits until all that was reported is written, but no longer than `limit`. Nothing else needs the API server any
    /// more.
    pub async fn finish(&self, limit: Duration) {
        self.turns.add_permits(MAX_WAITING_EVENTS);
        self.writes.close();
        if tokio::time::timeout(limit, self.writes.wait()).await.is_err() {
            tracing::warn!(events = self.writes.len(), "some events were not written in time");
        }
    }

    /// What is to be written, if anything.
    fn report(
        &self,
        about: ObjectReference,
        component: &'static str,
        type_: EventType,
        reason: &str,
        message: &str,
    ) -> Option<Report> {
        let key = hash(&(&about.uid, about.kind.as_deref(), reason, message));
        let (now, time) = (Instant::now(), Utc::now());
        let mut seen = self.seen.lock();
        let Series { serial, count, .. } = match seen.get(&key, now).copied() {
            Some(mut series) => {
                series.count += 1;
                let repeated = now.duration_since(series.written) < REPEAT_AFTER;
                if !repeated {
                    series.written = now;
                }
                seen.insert(key, series, series.written + EVENT_TTL, now);
                if repeated {
                    return None;
                }
                series
            }
            None if !self.within_budget(hash(&about.uid), now) => return None,
            None => {
                let serial = (time.timestamp_nanos_opt().unwrap_or_default(), rand::random());
                let series = Series { serial, count: 1, written: now };
                seen.insert(key, series, now + EVENT_TTL, now);
                series
            }
        };
        drop(seen);
        let name = format!("{}.{:x}{:04x}", about.name.as_deref().unwrap_or(""), serial.0, serial.1);
        let (reason, message) = (reason.to_owned(), message.to_owned());
        Some(Report { about, component, type_, reason, message, time, name, count, key })
    }

    /// By reference: the task of a report that waits for its turn would have room for it twice.
    async fn write(&self, report: &Report) {
        // On the heap: few runs have anything to report, and all would carry its 2 KiB along.
        if let Err(error) = Box::pin(self.try_write(report)).await {
            tracing::warn!(object = report.about.name, reason = report.reason, %error, "event could not be written");
            self.seen.lock().remove(&report.key);
        }
    }

    async fn try_write(&self, report: &Report) -> Result<(), KubernetesError> {
        let Report { about, component, type_, reason, message, time, name, count, .. } = report;
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let stamp = time.to_rfc3339_opts(SecondsFormat::Secs, true);
        if *count > 1 {
            let patch = json!({ "count": count, "lastTimestamp": stamp });
            let params = PatchParams::apply(FIELD_MANAGER);
            match with_timeout("patch Event", api.patch(name, &params, &Patch::Merge(patch))).await {
                Err(error) if error.kind == ErrorKind::NotFound => {} // it has expired: write it anew
                other => return other.map(drop),
            }
        }
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
            "count": count,
        }))
        .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        with_timeout("create Event", api.create(&params, &event)).await.map(drop)
    }

    fn within_budget(&self, uid: u64, now: Instant) -> bool {
        let mut budgets = self.budgets.lock();
        let full = Budget { left: EVENT_BURST, at: now };
        let Budget { left, at } = budgets.get(&uid, now).copied().unwrap_or(full);
        let refilled = now.duration_since(at).as_secs_f64() / EVENT_REFILL_INTERVAL.as_secs_f64();
        let left = (left + refilled).min(EVENT_BURST);
        if left < 1.0 {
            return false;
        }
        let left = left - 1.0;
        // A budget that is full again says nothing.
        let until = now + EVENT_REFILL_INTERVAL.mul_f64(EVENT_BURST - left);
        budgets.insert(uid, Budget { left, at: now }, until, now);
        true
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn cut(message: &str) -> &str {
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
    &message[..end]
}
