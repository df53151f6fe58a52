//! The operator as a process of a test.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::{eventually, http_get, operator_binary};
use crate::tenant::Tenant;

/// A running operator. It is killed when it is dropped.
pub struct Operator {
    child: Option<Child>,
    metrics_port: u16,
    health_port: u16,
    log: PathBuf,
}

impl Operator {
    /// Starts the operator for a tenant and waits until it is ready.
    pub(crate) fn start(tenant: &Tenant<'_>, variables: &[(&str, &str)], args: &[&str]) -> Self {
        let mut operator = Self::spawn(tenant, variables, args);
        eventually("the operator is ready", || {
            if operator.has_lost_its_port() {
                operator = Self::spawn(tenant, variables, args);
            }
            operator.ready()
        });
        operator
    }

    /// Whether it has ended because another process has taken a port that was free when it was chosen.
    fn has_lost_its_port(&mut self) -> bool {
        let child = self.child.as_mut().map(Child::try_wait);
        matches!(child, Some(Ok(Some(_)))) && self.log().contains("Address already in use")
    }

    fn spawn(tenant: &Tenant<'_>, variables: &[(&str, &str)], args: &[&str]) -> Self {
        let log = tenant.cluster.dir().join(format!("{}.log", tenant.operator_namespace));
        let ports = testenv::free_ports(2).expect("two free ports");
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new(std::env::var_os("OPERATOR_BINARY").unwrap_or_else(|| operator_binary().into()));
        command
            .env_clear()
            .env("OPERATOR_NAMESPACE", &tenant.operator_namespace)
            // As in the image.
            .env("MALLOC_ARENA_MAX", "1")
            .envs(variables.iter().copied())
            .args(["--kubeconfig", tenant.kubeconfig.to_str().expect("UTF-8")])
            .args(["--watch-namespaces", &tenant.watched])
            .arg(format!("--metrics-bind-address=127.0.0.1:{}", ports[0]))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{}", ports[1]))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        tenant.cluster.adopt(&mut command);
        let child = command.spawn().expect("the operator starts");
        Operator { child: Some(child), metrics_port: ports[0], health_port: ports[1], log }
    }

    /// What `/readyz` says.
    pub fn ready(&mut self) -> Result<(), String> {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            panic!("the operator ended with {status}: {}", self.log());
        }
        http_get(self.health_port, "/readyz").map(drop)
    }

    /// Where metrics are served, on loopback.
    pub fn metrics_port(&self) -> u16 {
        self.metrics_port
    }

    /// Where the probes are served, on loopback.
    pub fn health_port(&self) -> u16 {
        self.health_port
    }

    /// All metrics, as text.
    pub fn metrics(&self) -> String {
        http_get(self.metrics_port, "/metrics").expect("metrics")
    }

    /// A metric of the operator, with its labels as the text format writes them.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Process ID. The benchmark looks at its memory.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The most memory that it has had at a time, in KiB.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        peak.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// All it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; waits for the end and gives how long it took. Panics unless the exit code is 0.
    pub fn terminate(&mut self) -> Duration {
        let mut child = self.child.take().expect("it runs");
        let started = Instant::now();
        let status = Command::new("kill").arg(child.id().to_string()).status().expect("kill");
        assert!(status.success());
        let status = child.wait().expect("it ends");
        assert!(status.success(), "exit {status}: {}", self.log());
        started.elapsed()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("last lines of the operator:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}
