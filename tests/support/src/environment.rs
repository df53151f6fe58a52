//! The environments that tests run in, and where they leave what others look at.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testenv::{Cluster, Options, Server};

/// What takes longer than this will not happen, on however busy a machine.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Between two looks of [`eventually`].
const MIN_PAUSE: Duration = Duration::from_millis(150);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// The server that the tests of this process run on: `E2E_SERVER=openbao` for OpenBao, else Vault.
pub fn server() -> Server {
    match std::env::var("E2E_SERVER").ok().filter(|name| !name.is_empty()) {
        Some(name) => Server::named(&name).expect("E2E_SERVER"),
        None => Server::Vault,
    }
}

/// Whether a test has to be skipped because the server that the tests run on has no such `feature`. Says so.
pub fn lacks(server_without: Server, feature: &str) -> bool {
    let lacks = server() == server_without;
    if lacks {
        skipped(&format!("{} has no {feature}", server_without.name()));
    }
    lacks
}

/// Says why a test is skipped, also where the output of tests that pass is not shown.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}\n", thread.name().unwrap_or("a test"));
    // Nothing depends on the line.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The control plane and the server that most tests share.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| own(Options::default()))
}

/// An environment for one test that breaks things, on the server of this process. The audit log of its API server is
/// kept.
pub fn own(options: Options) -> Cluster {
    with_crds(Options { server: server(), kube_audit_log: Some(kept_audit_log()), ..options })
}

/// An environment with the CRDs.
pub fn with_crds(options: Options) -> Cluster {
    let cluster = Cluster::start(options).expect("the environment comes up");
    for dir in ["crds", "crds/external-secrets"] {
        let dir = repository().join(dir);
        cluster.kubectl(&["apply", "--server-side", "-f", dir.to_str().expect("UTF-8")]).expect("the CRDs are applied");
    }
    cluster
        .kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"])
        .expect("the CRDs are established");
    cluster
}

/// The repository.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this package is two directories below it")
}

/// The operator that Cargo has built for this test or benchmark.
pub fn operator_binary() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_vault-secrets-operator").expect("Cargo runs this test or benchmark").into()
}

/// A directory for files of tests, in Cargo's target directory.
pub fn scratch() -> PathBuf {
    let dir = operator_binary().ancestors().nth(2).expect("it is in a profile's directory").join("tmp");
    std::fs::create_dir_all(&dir).expect("a directory for files of tests");
    dir
}

/// Where the end-to-end tests on a server leave the audit logs of their API servers. The file `all` is there when all
/// tests ran.
pub fn kept_audit_logs(server: Server) -> PathBuf {
    scratch().join("e2e-audit").join(server.name())
}

/// Waits until `check` gives a value. The panic tells what it last gave instead.
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, mut check: impl FnMut() -> Result<T, E>) -> T {
    let begin = Instant::now();
    loop {
        match check() {
            Ok(value) => return value,
            Err(last) if begin.elapsed() > TIMEOUT => panic!("{what}: not within {TIMEOUT:?}, last: {last}"),
            // Those that wait for long need not know at once, and leave the processor to others.
            Err(_) => std::thread::sleep((begin.elapsed() / 16).clamp(MIN_PAUSE, MAX_PAUSE)),
        }
    }
}

/// Writes to Vault, and waits until an event has brought what was written.
///
/// Vault 1.15.0 drops an event if the request that wrote has ended before the subscriber takes the event (its
/// `eventbus/bus.go`, `asyncChanNode.Process`), which happens on a busy machine. What does not arrive is written again,
/// twice.
#[track_caller]
pub fn by_event(what: &str, write: impl Fn(), mut arrived: impl FnMut() -> bool) {
    const EVENT_LOST: Duration = Duration::from_secs(30);
    for _ in 0..3 {
        write();
        let written = Instant::now();
        while written.elapsed() < EVENT_LOST {
            if arrived() {
                return;
            }
            std::thread::sleep(MIN_PAUSE);
        }
    }
    panic!("{what}: no event has brought it");
}

/// A file for the API server's audit log that is there when the tests have ended: `tests/rbac.rs` compares what the
/// operators asked for with what the chart allows them.
fn kept_audit_log() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    // What is asked for in a test that only passes when it is run again counts, too, beside what the others have left.
    let retry = std::env::var_os("E2E_RETRY").is_some();
    let dir = DIR.get_or_init(|| {
        let dir = kept_audit_logs(server());
        if !retry {
            let _ = std::fs::remove_dir_all(&dir);
        }
        std::fs::create_dir_all(&dir).expect("a directory for audit logs");
        if runs_all_tests() {
            std::fs::write(dir.join("all"), "").expect("a file");
        }
        dir
    });
    let run = if retry { "retry-" } else { "" };
    dir.join(format!("{run}{}.log", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Whether no name of a test was given to this process.
fn runs_all_tests() -> bool {
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--test-threads" | "--format" | "--color" => drop(args.next()),
            "--skip" | "--exact" | "--ignored" => return false,
            option if option.starts_with('-') => {}
            _ => return false,
        }
    }
    true
}

/// A port that is free now, and that no connection is made from.
pub fn free_port() -> u16 {
    testenv::free_ports(1).expect("a free port")[0]
}

/// The body of an answer of 200, or the whole answer.
pub fn http_get(port: u16, path: &str) -> Result<String, String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").map_err(|e| e.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(text) }
}
