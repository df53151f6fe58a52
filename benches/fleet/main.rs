//! What a fleet of objects costs in the steady state, measured on a real API server and a real Vault. Run with
//! `hack/bench`; the tests in `tests/e2e/api_call_budget.rs` hold what can be counted, this shows what has to be
//! measured.

mod external;
mod leases;
mod process;
mod reloader;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::json;
use testenv::Options;

use crate::process::{Usage, show};
use test_support::audit::Count;
use test_support::kube_client::{KubeClient, decoded};
use test_support::{Operator, Tenant, own};

/// How often each object is refreshed.
const INTERVAL: &str = "10s";
/// From the last sync to the first look at the memory.
const WARM: Duration = Duration::from_secs(60);
/// How long refreshes are counted.
const WINDOW: Duration = Duration::from_secs(30);
const COUNTED: &str = "controller_runtime_reconcile_total{controller=\"vaultstaticsecret\",result=\"requeue_after\"} ";

struct Bench<'a> {
    tenant: &'a Tenant<'a>,
    api: KubeClient,
    objects: usize,
}

fn name(i: usize) -> String {
    format!("s{i:05}")
}

fn main() {
    // Cargo adds an option of its own.
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let kind = args.first().filter(|arg| ["leases", "external", "reloader"].contains(&arg.as_str())).cloned();
    if kind.is_some() {
        args.remove(0);
    }
    let sizes: Vec<usize> = args.iter().map(|arg| arg.parse().expect("a number of objects")).collect();
    let sizes = if sizes.is_empty() { vec![1000] } else { sizes };
    for objects in sizes {
        // Each on an environment of its own: nothing is left of the one before.
        let cluster = own(Options::default());
        let tenant = Tenant::on(&cluster, "bench");
        let api = KubeClient::of(&cluster);
        match kind.as_deref() {
            Some("leases") => leases::Bench::new(&tenant, api, objects).run(),
            Some("reloader") => reloader::Bench { tenant: &tenant, api, objects }.run(),
            Some(_) => external::Bench { tenant: &tenant, api, objects }.run(),
            None => Bench { tenant: &tenant, api, objects }.run(),
        }
    }
}

impl Bench<'_> {
    fn run(&self) {
        println!("{} objects, refreshAfter {INTERVAL}", self.objects);
        self.idle();
        self.create();
        let mut operator = self.first_syncs();
        std::thread::sleep(WARM);
        show("memory after a minute of refreshes", Usage::of(operator.pid()).memory());
        self.steady(&operator);
        self.newcomers();
        self.changes();
        show("memory at the end", Usage::of(operator.pid()).memory());
        operator.terminate();
        self.restart();
    }

    fn idle(&self) {
        let mut operator = self.tenant.operator(&[]);
        std::thread::sleep(Duration::from_secs(20));
        show("memory, idle", Usage::of(operator.pid()).memory());
        // Gives the Lease back, so that the next one need not wait.
        operator.terminate();
    }

    fn create(&self) {
        std::thread::scope(|scope| {
            for part in 0..4 {
                let all = (part..self.objects).step_by(4);
                scope.spawn(move || {
                    all.for_each(|i| self.tenant.put(&name(i), json!({ "user": "app", "password": i })))
                });
            }
        });
        let all = (0..self.objects).map(|i| self.tenant.static_secret(&name(i), json!({ "refreshAfter": INTERVAL })));
        self.api.create_all(all.collect());
    }

    /// Starts the operator on objects that wait for it.
    fn first_syncs(&self) -> Operator {
        let count = Count::start(self.tenant);
        let started = Utc::now();
        let operator = self.tenant.operator(&[]);
        let ready = since(started, Utc::now());
        // From the audit log, so that measuring is not itself a load: when the last Secret and the last status were
        // written.
        let last = |resource: &str, subresource: &str| loop {
            let events = count.requests().into_iter();
            let times: Vec<_> = events
                .filter(|e| e.resource == resource && e.subresource == subresource && e.is_write() && e.code < 300)
                .map(|e| e.time.parse::<DateTime<Utc>>().expect("a time"))
                .collect();
            if times.len() >= self.objects {
                break since(started, times.into_iter().max().expect("many"));
            }
            std::thread::sleep(Duration::from_secs(1));
        };
        let (secrets, statuses) = (last("secrets", ""), last("vaultstaticsecrets", "status"));
        let what = "start until all Secrets, all statuses are written";
        println!("  {what:<58} {secrets:.1} s, {statuses:.1} s (ready after {ready:.1} s)");
        println!("  {:<58} {:.2} s", "CPU for it", Usage::of(operator.pid()).cpu);
        operator
    }

    fn steady(&self, operator: &Operator) {
        let count = Count::start(self.tenant);
        let before = Usage::of(operator.pid());
        std::thread::sleep(WINDOW);
        let after = Usage::of(operator.pid());
        let reads = count.reads();
        let total: usize = reads.values().map(Vec::len).sum();
        let requests = count.requests();
        let pauses: Vec<f64> = reads
            .values()
            .flat_map(|times| times.windows(2).map(|pair| (pair[1] - pair[0]).as_seconds_f64()).collect::<Vec<_>>())
            .collect();
        show("Kubernetes requests in that window", requests.len());
        println!("  {:<58} {total}", "Vault reads in that window");
        show("seconds between two reads of a path", spread(pauses));
        let cpu = (after.cpu - before.cpu) / total as f64 * 1000.0;
        println!("  {:<58} {cpu:.3} s", "CPU per 1,000 unchanged refreshes");
    }

    /// New objects while all others are refreshed.
    fn newcomers(&self) {
        let names: Vec<String> = (0..100).map(|i| format!("new{i:03}")).collect();
        let mut took = vec![];
        for name in &names {
            self.tenant.put(name, json!({ "password": "new" }));
            let started = Instant::now();
            self.api.create(&self.tenant.static_secret(name, json!({ "refreshAfter": INTERVAL }))).expect("created");
            while self.api.get("Secret", &self.tenant.namespace, name).is_err() {
                std::thread::sleep(Duration::from_millis(2));
            }
            took.push(started.elapsed().as_secs_f64());
        }
        show("seconds until a new object has its Secret", spread(took));
    }

    /// Changed values while all others are refreshed.
    fn changes(&self) {
        let step = (self.objects / 50).max(1);
        let mut waiting: Vec<(String, Instant)> = vec![];
        for name in (0..self.objects).step_by(step).map(name) {
            self.tenant.put(&name, json!({ "password": "changed" }));
            waiting.push((name, Instant::now()));
        }
        let mut took = vec![];
        while !waiting.is_empty() {
            waiting.retain(|(name, since)| {
                let secret = self.api.get("Secret", &self.tenant.namespace, name).expect("a Secret");
                let arrived = decoded(&secret, "password").as_deref() == Some("changed");
                if arrived {
                    took.push(since.elapsed().as_secs_f64());
                }
                !arrived
            });
            std::thread::sleep(Duration::from_millis(20));
        }
        show("seconds until a changed value is in its Secret", spread(took));
    }

    fn restart(&self) {
        let count = Count::start(self.tenant);
        let before = Utc::now();
        let operator = self.tenant.operator(&[]);
        let known = (self.objects + 100) as f64;
        while operator.metric(COUNTED).unwrap_or(0.0) < known {
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = since(before, Utc::now());
        let first = count.reads().into_values().flatten().min().map_or(0.0, |time| since(before, time));
        let requests = count.requests();
        let writes = requests.iter().filter(|e| e.is_write()).count();
        println!("  {:<58} {first:.2} s", "restart: first Vault read after");
        println!(
            "  {:<58} {took:.2} s, {} reads, {writes} writes",
            "restart: all looked at after",
            requests.len() - writes
        );
        show("restart: memory", Usage::of(operator.pid()).memory());
    }
}

fn since(start: DateTime<Utc>, end: DateTime<Utc>) -> f64 {
    (end - start).as_seconds_f64()
}

/// Least, median, 99th percentile, most.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at =
        |part: f64| values.get(((values.len() as f64 * part) as usize).min(values.len().saturating_sub(1))).copied();
    match (at(0.0), at(0.5), at(0.99), at(1.0)) {
        (Some(min), Some(median), Some(high), Some(max)) => {
            format!("min {min:.2}, p50 {median:.2}, p99 {high:.2}, max {max:.2}")
        }
        _ => "none".to_owned(),
    }
}
