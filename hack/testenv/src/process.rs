//! One long-running process of an environment: started with its log in a file, stopped, killed, paused, started again.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::location::Location;
use crate::text::tail;
use crate::watcher::MARK;

const GRACE: Duration = Duration::from_secs(20);

/// How long a process may take from `exec` until its variables are seen.
const VARIABLES: Duration = Duration::from_secs(5);

/// How to start a process, and the process while it runs.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    /// The signal that asks it to end.
    stop_signal: &'static str,
    /// Directory of the environment.
    dir: PathBuf,
    location: Location,
    child: Mutex<Option<Child>>,
}

impl Service {
    pub(crate) fn new(
        name: &'static str,
        program: PathBuf,
        arguments: Vec<String>,
        dir: &Path,
        location: &Location,
    ) -> Self {
        Self {
            name,
            program,
            arguments,
            variables: Vec::new(),
            stop_signal: "TERM",
            dir: dir.to_owned(),
            location: location.clone(),
            child: Mutex::new(None),
        }
    }

    /// Sets an environment variable for it.
    pub(crate) fn with_variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Asks it to end by another signal than SIGTERM.
    pub(crate) fn with_stop_signal(mut self, signal: &'static str) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Starts the process; does nothing when it runs.
    pub(crate) fn start(&self) -> Result<()> {
        let mut child = self.locked()?;
        if let Some(running) = child.as_mut()
            && running.try_wait()?.is_none()
        {
            return Ok(());
        }
        let log_path = self.log();
        for dir in ["logs", "pids"] {
            fs::create_dir_all(self.dir.join(dir))?;
        }
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("opening {}", log_path.display()))?;
        writeln!(log, "# {} {}", self.program.display(), self.arguments.join(" "))?;
        let started = self
            .location
            .service(&self.program, &self.dir, &self.pid_file("inner"))
            .args(&self.arguments)
            .env(MARK, &self.dir)
            .env("HOME", self.dir.join("home"))
            // Memory is there, processor time is short: Go collects less often.
            .env("GOGC", "400")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            // A terminal's Ctrl-C and a test runner's time-out are for the holder; the watcher ends this one.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        await_variables(started.id());
        fs::write(self.pid_file("pid"), started.id().to_string())?;
        *child = Some(started);
        Ok(())
    }

    /// Asks the process to end and waits for it; kills it when it takes too long.
    pub(crate) fn stop(&self) -> Result<()> {
        self.signal(self.stop_signal)?;
        self.signal("CONT")?;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if !self.is_running()? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill()
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal("KILL")?;
        self.signal("CONT")?;
        if let Some(child) = self.locked()?.as_mut() {
            child.wait()?;
        }
        Ok(())
    }

    /// Stops the process's clock: it answers nothing, its connections stay open.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    pub(crate) fn is_running(&self) -> Result<bool> {
        match self.locked()?.as_mut() {
            None => Ok(false),
            Some(child) => Ok(child.try_wait()?.is_none()),
        }
    }

    /// An error with the end of the log when the process is not running.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_running()? {
            return Ok(());
        }
        Err(self.failure("is not running"))
    }

    /// An error about this process, with the end of its log.
    pub(crate) fn failure(&self, what: &str) -> anyhow::Error {
        let log = self.log();
        anyhow!("{} {what}; the end of its log {}:\n{}", self.name, log.display(), tail(&log, 12))
    }

    /// Waits until `ready` says yes, as long as the process runs.
    pub(crate) fn wait(&self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            if ready() {
                return Ok(());
            }
            self.check()?;
            if Instant::now() > deadline {
                return Err(self.failure(&format!("was not ready after {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes note of the end of a process that was killed from outside.
    pub(crate) fn reap(&self) {
        if let Ok(mut child) = self.locked()
            && let Some(mut child) = child.take()
        {
            // Whatever it says, there is nothing left to do.
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let Some(outer) = self.locked()?.as_mut().and_then(|child| match child.try_wait() {
            Ok(None) => Some(child.id()),
            _ => None,
        }) else {
            return Ok(());
        };
        if let Location::Namespaces(_) = self.location {
            let path = self.pid_file("inner");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let inner = text.trim().parse().with_context(|| path.display().to_string())?;
            let sent = self.location.signal(inner, signal);
            // The process that entered the namespaces stops when its child stops, and must be woken itself.
            if signal == "CONT" {
                return Location::Machine.signal(outer, signal);
            }
            return sent;
        }
        self.location.signal(outer, signal)
    }

    fn log(&self) -> PathBuf {
        self.dir.join("logs").join(format!("{}.log", self.name))
    }

    fn pid_file(&self, extension: &str) -> PathBuf {
        self.dir.join("pids").join(format!("{}.{extension}", self.name))
    }

    fn locked(&self) -> Result<std::sync::MutexGuard<'_, Option<Child>>> {
        match self.child.lock() {
            Ok(guard) => Ok(guard),
            Err(_) => bail!("{}: another thread panicked while it started or stopped it", self.name),
        }
    }
}

/// Waits until the kernel shows the variables of a process that was just started, by which [`MARK`] is found. For a
/// moment after `exec`, it shows none, as for a process that has ended. A process that ends meanwhile is waited for in
/// vain; what uses it says so.
fn await_variables(pid: u32) {
    let deadline = Instant::now() + VARIABLES;
    while Instant::now() < deadline
        && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|variables| variables.is_empty())
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}
