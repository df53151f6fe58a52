//! Puts the parts together, runs them, and takes them down in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::controllers::{Controllers, Dependencies};
use crate::kubernetes::{self, AccessReviewer, ErrorKind, KnownKey, Lease, RequestLimit, Scope, WatchHealth};
use crate::settings::Settings;
use crate::telemetry::{self, Check, CheckState, Endpoints, Metrics, Secure};

/// So many TokenReviews and SubjectAccessReviews are under way at the same time.
const REVIEWS_IN_FLIGHT: usize = 2;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the probes and the scrapes look at while the parts come up.
#[derive(Default)]
struct State {
    controllers: Option<Arc<Controllers>>,
    watches: Vec<Arc<WatchHealth>>,
    leads: Option<watch::Receiver<bool>>,
}

/// Runs until SIGTERM or SIGINT. A second signal ends the process at once.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let stop = stop_on_signal()?;
    let end = CancellationToken::new();
    let metrics = Arc::new(Metrics::new(&settings)?);
    let state: Arc<Mutex<State>> = Arc::default();
    let limit = RequestLimit { qps: settings.kube.qps, burst: settings.kube.burst, in_flight: 0 };
    // Nothing is sent yet.
    let client = kubernetes::connect(settings.kube.kubeconfig.as_deref(), limit, metrics.clone()).await?;
    // On a connection of its own, the Lease never waits behind the requests of objects: an admission webhook that is
    // slow must not cost the leadership.
    let for_lease =
        kubernetes::connect(settings.kube.kubeconfig.as_deref(), RequestLimit::default(), metrics.clone()).await?;
    // Nor does a flood of scrapes with unknown tokens hold up the requests of objects.
    let few = RequestLimit { in_flight: REVIEWS_IN_FLIGHT, ..RequestLimit::default() };
    let for_reviews = kubernetes::connect(settings.kube.kubeconfig.as_deref(), few, metrics.clone()).await?;
    telemetry::serve(endpoints(&settings, &metrics, &for_reviews, &state), end.clone())?;

    let namespace = settings.operator_namespace.clone();
    let host = settings.pod.name.clone().unwrap_or_else(hostname);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, "starting");

    let (leads, leadership) = watch::channel(!settings.leader_elect);
    let lease_stop = CancellationToken::new();
    let mut lease_task = None;

    let Some(mac_key) = mac_key(&client, &namespace, &stop).await? else { return Ok(()) };
    let scopes = Scope::watched(&settings.watch_namespaces);
    let leader_elect = settings.leader_elect;
    let dependencies = Dependencies { settings, client, mac_key, metrics, host: host.clone(), scopes };
    let (controllers, notifications) = Controllers::new(dependencies);
    let controllers = Arc::new(controllers);
    let watches = controllers.spawn_watches(&end);
    *state.lock() = State {
        controllers: Some(controllers.clone()),
        watches: watches.required.clone(),
        leads: Some(leadership.clone()),
    };

    if wait_for(&watches.required, &stop).await {
        let mut always = None;
        if leader_elect {
            let identity = format!("{host}_{:016x}", rand::random::<u64>());
            let lease = Lease::new(for_lease, &namespace, identity);
            lease_task = Some(tokio::spawn(lease.run(leads, lease_stop.clone())));
        } else {
            // Kept until the end: a closed channel would look like lost leadership.
            always = Some(leads);
        }
        controllers.run(watches, notifications, leadership, stop).await;
        drop(always);
    }
    tracing::info!("stopping");
    lease_stop.cancel();
    if let Some(task) = lease_task {
        let _ = tokio::time::timeout(Duration::from_secs(5), task).await;
    }
    // Now that another replica can lead.
    controllers.finish_events().await;
    end.cancel();
    Ok(())
}

/// The key of the MACs. An API server that does not answer is waited for; a key that is damaged ends the start, since
/// to go on with another would rewrite every Secret.
async fn mac_key(client: &kube::Client, namespace: &str, stop: &CancellationToken) -> Result<Option<KnownKey>, Error> {
    loop {
        match kubernetes::ensure_mac_key(client, namespace).await {
            Ok(key) => return Ok(Some(key)),
            Err(error) if error.kind == ErrorKind::Invalid => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "the HMAC key cannot be read or made yet, trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// Waits until every watch has listed its objects: before that an object that is only not listed yet would look
/// missing.
async fn wait_for(watches: &[Arc<WatchHealth>], stop: &CancellationToken) -> bool {
    let mut said = Instant::now();
    while watches.iter().any(|w| w.is_awaited()) {
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            tracing::warn!(
                waiting_for = awaited(watches).join(", "),
                "not all objects are listed yet; are the CRDs and the roles installed?"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            () = stop.cancelled() => return false,
        }
    }
    let empty: Vec<&str> = watches.iter().filter(|w| !w.synced()).map(|w| w.name.as_str()).collect();
    if !empty.is_empty() {
        tracing::warn!(
            scopes = empty.join(", "),
            "a namespace, a CRD or a right is missing: what is there counts as empty until it can be listed"
        );
    }
    true
}

fn awaited(watches: &[Arc<WatchHealth>]) -> Vec<&str> {
    watches.iter().filter(|w| w.is_awaited()).map(|w| w.name.as_str()).collect()
}

/// What `/readyz` says of a watch.
fn check(watch: &WatchHealth) -> Check {
    let state = match (watch.is_missing(), watch.synced()) {
        (true, _) => {
            CheckState::Tolerated("the namespace, the definition of the kind or the right to list it is missing")
        }
        (false, true) => CheckState::Passed,
        (false, false) => CheckState::Awaited,
    };
    Check { name: format!("watch of {}", watch.name), state }
}

/// For each watched namespace, how many of its watches have nothing to list.
fn missing_watches(watches: &[Arc<WatchHealth>]) -> BTreeMap<String, usize> {
    let mut missing = BTreeMap::new();
    for watch in watches {
        *missing.entry(watch.namespace.clone()).or_default() += usize::from(watch.is_missing());
    }
    missing
}

fn endpoints(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    client: &kube::Client,
    state: &Arc<Mutex<State>>,
) -> Endpoints {
    let reviewer = Arc::new(AccessReviewer::new(client.clone()));
    let secure = settings.metrics_secure.then(|| Secure {
        certificates: settings.metrics_certificates.clone(),
        authorize: Arc::new(move |token, path| {
            let reviewer = reviewer.clone();
            Box::pin(async move { reviewer.review(&token, &path).await.map_err(|e| e.to_string()) })
        }),
    });
    let (metrics, for_metrics, for_ready) = (metrics.clone(), state.clone(), state.clone());
    Endpoints {
        metrics: settings.metrics.clone(),
        secure,
        health: settings.health.clone(),
        render: Arc::new(move || {
            let state = for_metrics.lock();
            let mut snapshot = state.controllers.as_ref().map(|c| c.snapshot()).unwrap_or_default();
            snapshot.missing_watches = missing_watches(&state.watches);
            snapshot.leads = state.leads.as_ref().is_some_and(|l| *l.borrow());
            metrics.render(&snapshot)
        }),
        ready: Arc::new(move || {
            let state = for_ready.lock();
            match &state.controllers {
                None => {
                    let name = "the API server and the Secret with the HMAC key".to_owned();
                    vec![Check { name, state: CheckState::Awaited }]
                }
                Some(_) => state.watches.iter().map(|watch| check(watch)).collect(),
            }
        }),
    }
}

fn stop_on_signal() -> Result<CancellationToken, Error> {
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            if token.is_cancelled() {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".into(), |h| h.trim().to_owned())
}
