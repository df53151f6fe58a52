//! Leader election with a Lease: optimistic lock, own monotonic clock, released on exit.
//!
//! The name is VSO's, so that it and this operator never both lead in one namespace. Whether another holder's lease
//! has run out is judged by how long *this* process has seen it unchanged, never by comparing clocks of two machines.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};
use crate::settings::LEASE_NAME;

const LEASE_DURATION: Duration = Duration::from_secs(15);
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// A leader that has not renewed for so long stops, well before another may start.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// Tells whether this process leads.
pub type Leadership = watch::Receiver<bool>;

/// The election of one process.
pub struct Lease {
    api: Api<LeaseObject>,
    identity: String,
}

impl Lease {
    /// `identity` must differ between any two processes.
    pub fn new(client: kube::Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity }
    }

    /// Runs for leadership until `stop`, then gives the lease back if it is held.
    pub async fn run(self, leads: watch::Sender<bool>, stop: CancellationToken) {
        // The other holder's lease as last seen to change, and when that was.
        let mut observed: Option<(String, Instant)> = None;
        let mut renewed: Option<Instant> = None;
        let mut failing = false;
        loop {
            let sent = Instant::now();
            let lost_at = renewed.map(|at| at + RENEW_DEADLINE);
            let attempt = before(lost_at, self.attempt(&mut observed, renewed.is_some()));
            let result = tokio::select! {
                result = attempt => result,
                () = stop.cancelled() => break,
            };
            match &result {
                Ok(true) => {
                    renewed = Some(sent);
                    if !leads.send_replace(true) {
                        tracing::info!(identity = self.identity, "leading");
                    }
                }
                Ok(false) => renewed = None,
                // Said once per outage.
                Err(error) if !failing => {
                    tracing::warn!(%error, "lease could not be renewed or acquired, trying again")
                }
                Err(_) => {}
            }
            failing = result.is_err();
            if renewed.is_none_or(|at| at.elapsed() >= RENEW_DEADLINE) {
                renewed = None;
                if leads.send_replace(false) {
                    tracing::warn!("leadership lost, standing by");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = stop.cancelled() => break,
            }
        }
        leads.send_replace(false);
        if renewed.is_some()
            && let Err(error) = self.release().await
        {
            tracing::warn!(%error, "lease could not be given back; another replica has to wait for it to run out");
        }
    }

    /// One try. `Ok(true)`: this process holds the lease now.
    async fn attempt(&self, observed: &mut Option<(String, Instant)>, held: bool) -> Result<bool, KubernetesError> {
        let now = Instant::now();
        let Some(lease) = with_timeout("get Lease", self.api.get_opt(LEASE_NAME)).await? else {
            let lease = self.claim(None, 0)?;
            let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
            return won(with_timeout("create Lease", self.api.create(&params, &lease)).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or("");
        let transitions = spec.lease_transitions.unwrap_or(0);
        if holder != self.identity && !holder.is_empty() {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            let since = match observed {
                Some((seen, since)) if *seen == version => *since,
                _ => {
                    *observed = Some((version, now));
                    now
                }
            };
            let promised = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(15)).unwrap_or(15));
            if now.duration_since(since) < promised {
                return Ok(false);
            }
        }
        let transitions = if holder == self.identity && held { transitions } else { transitions + 1 };
        self.replace(self.claim(Some(&lease), transitions)?).await
    }

    async fn replace(&self, lease: LeaseObject) -> Result<bool, KubernetesError> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        won(with_timeout("update Lease", self.api.replace(LEASE_NAME, &params, &lease)).await)
    }

    /// The lease with this process as its holder. `resourceVersion` of `old` is the optimistic lock.
    fn claim(&self, old: Option<&LeaseObject>, transitions: i32) -> Result<LeaseObject, KubernetesError> {
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let old_spec = old.and_then(|l| l.spec.clone()).unwrap_or_default();
        let since = if old_spec.holder_identity.as_deref() == Some(&self.identity) {
            old_spec.acquire_time.map_or_else(|| json!(time), |t| json!(t))
        } else {
            json!(time)
        };
        serde_json::from_value(json!({
            "metadata": { "name": LEASE_NAME, "resourceVersion": old.and_then(|l| l.metadata.resource_version.clone()) },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LEASE_DURATION.as_secs(),
                "acquireTime": since,
                "renewTime": time,
                "leaseTransitions": transitions,
            },
        }))
        .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))
    }

    async fn release(&self) -> Result<(), KubernetesError> {
        let Some(mut lease) = with_timeout("get Lease", self.api.get_opt(LEASE_NAME)).await? else { return Ok(()) };
        match &mut lease.spec {
            Some(spec) if spec.holder_identity.as_deref() == Some(&self.identity) => {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
            }
            _ => return Ok(()),
        }
        self.replace(lease).await.map(drop)
    }
}

/// Runs a request until `end` at the latest: a leader that waits for an answer must notice that its time is over.
async fn before<T>(
    end: Option<Instant>,
    request: impl Future<Output = Result<T, KubernetesError>>,
) -> Result<T, KubernetesError> {
    let Some(end) = end else { return request.await };
    let late =
        || KubernetesError::new(ErrorKind::Unavailable, "the API server has not answered in time to renew the Lease");
    tokio::time::timeout_at(end.into(), request).await.unwrap_or_else(|_| Err(late()))
}

/// Losing a race for the lease is an answer and not a failure.
fn won<T>(result: Result<T, KubernetesError>) -> Result<bool, KubernetesError> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}
