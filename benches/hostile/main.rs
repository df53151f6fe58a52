//! One tenant applies every object that could end, stall or starve the operator, all at once; the objects of the others
//! stay fresh, and the process stays below the memory limit of the chart.
//!
//! Run with `hack/hostile`. It takes a minute, or as many seconds as `HOSTILE_SECONDS` says, prints how fresh the
//! others were and how much memory the operator needed at most, and fails if that is more than is promised.

mod objects;
mod server;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::kube_client::{KubeClient, decoded};
use test_support::{Tenant, with_crds};
use testenv::Options;

/// How often the objects of the others are refreshed.
const REFRESH: Duration = Duration::from_secs(2);
/// How much later than `REFRESH` a changed value may be in its Secret, for 99 of 100 changes.
const LATE: Duration = Duration::from_secs(2);
/// Pause between two looks at a Secret.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// A change that takes so long counts as lost, and the test goes on with the next.
const LOST: Duration = Duration::from_secs(60);
/// Connections to each listener of the operator that are opened and left alone.
const IDLE_CONNECTIONS: usize = 300;
/// Memory limit of the chart's container, in KiB.
const MEMORY_LIMIT_KIB: u64 = 128 * 1024;
/// The test kills an operator that needs so much, before it takes the memory of the machine.
const KILL_KIB: u64 = 4 * MEMORY_LIMIT_KIB;
/// Pause between two looks at the operator's memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(50);
/// Objects of the others: plain ones, and ones with a template.
const PLAIN: usize = 8;
const TEMPLATED: usize = 2;

fn main() {
    let seconds =
        std::env::var("HOSTILE_SECONDS").map_or(60, |text| text.parse().expect("HOSTILE_SECONDS is a number"));
    let cluster = with_crds(Options::default());
    let mut others = Tenant::on(&cluster, "others");
    let tenant = Tenant::on(&cluster, "hostile");
    let names: Vec<String> = (0..PLAIN + TEMPLATED).map(|i| format!("app{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        others.put(name, json!({ "count": "0" }));
        others.apply(&others.static_secret(name, spec_of_other(i)));
    }
    others.serve_too(&tenant);
    let mut operator = others.operator(&[]);
    names.iter().for_each(|name| others.wait_value(name, "count", "0"));

    let idle = idle_connections(&[operator.metrics_port(), operator.health_port()]);
    let hostile = objects::all(&tenant);
    println!("{} hostile objects, {} idle connections, {seconds} s", hostile.len(), idle.len());
    KubeClient::of(&cluster).create_all(hostile);

    let end = Instant::now() + Duration::from_secs(seconds);
    let stop = AtomicBool::new(false);
    let pid = operator.pid();
    let mut delays: Vec<Duration> = std::thread::scope(|scope| {
        scope.spawn(|| guard_memory(pid, &stop));
        scope.spawn(|| objects::revert_for_ever(&tenant, &stop));
        let (others, stop) = (&others, &stop);
        let changes =
            names.iter().map(|name| scope.spawn(move || changes(others, name, end, stop))).collect::<Vec<_>>();
        let delays = changes.into_iter().flat_map(|thread| thread.join().expect("it measures")).collect();
        stop.store(true, Ordering::Relaxed);
        delays
    });
    delays.sort();
    operator.ready().expect("the operator is ready");
    let peak = peak_kib(pid).expect("the process runs");
    let p99 = delays[(delays.len() - 1) * 99 / 100];
    let worst = delays.last().expect("at least one change");
    println!(
        "{} changes: p50 {:.2?}, p99 {p99:.2?}, worst {worst:.2?}; peak memory {:.1} MiB",
        delays.len(),
        delays[delays.len() / 2],
        peak as f64 / 1024.0
    );
    assert!(peak <= MEMORY_LIMIT_KIB, "the chart's limit is {MEMORY_LIMIT_KIB} KiB, the peak was {peak}");
    assert!(p99 <= REFRESH + LATE + LOOK_PAUSE, "99 of 100 changes took up to {p99:?}");
    let panics = operator
        .metrics()
        .lines()
        .filter(|line| line.starts_with("controller_runtime_reconcile_panics_total{"))
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert_eq!(panics, Vec::<String>::new());
    drop(idle);
    // It ends in order: nothing hangs.
    operator.terminate();
}

fn spec_of_other(i: usize) -> serde_json::Value {
    let transformation =
        json!({ "excludeRaw": true, "templates": { "url": { "text": "{{ .Secrets.count | upper }}" } } });
    let destination = json!({ "transformation": transformation });
    json!({ "refreshAfter": format!("{}s", REFRESH.as_secs()), "destination": if i < PLAIN { json!({}) } else { destination } })
}

/// Changes a value again and again. Gives the time from each change in Vault to the Secret.
fn changes(tenant: &Tenant<'_>, name: &str, end: Instant, stop: &AtomicBool) -> Vec<Duration> {
    let api = KubeClient::of(tenant.cluster);
    let mut delays = vec![];
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        let count = (delays.len() + 1).to_string();
        tenant.put(name, json!({ "count": count }));
        let started = Instant::now();
        while started.elapsed() < LOST && !stop.load(Ordering::Relaxed) {
            let secret = api.get("Secret", &tenant.namespace, name).expect("a Secret");
            if decoded(&secret, "count").as_deref() == Some(&count) {
                break;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        delays.push(started.elapsed());
    }
    delays
}

/// Connections that say nothing, or half of a request.
fn idle_connections(ports: &[u16]) -> Vec<TcpStream> {
    let all = ports.iter().flat_map(|port| (0..IDLE_CONNECTIONS).map(move |i| (*port, i)));
    all.filter_map(|(port, i)| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        if i % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n");
        }
        Some(stream)
    })
    .collect()
}

/// Stops the test when the operator has ended, or needs far too much memory.
fn guard_memory(pid: u32, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if peak_kib(pid).is_none_or(|peak| peak > KILL_KIB) {
            let _ = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            stop.store(true, Ordering::Relaxed);
        }
        std::thread::sleep(MEMORY_PAUSE);
    }
}

/// The largest resident memory of a process so far, in KiB; none if the process has ended.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
