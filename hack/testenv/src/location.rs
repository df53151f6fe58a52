//! Where the processes of an environment run: on the machine itself, or inside the namespaces of a node.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the processes of an environment run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Directly on this machine.
    Machine,
    /// In the namespaces whose first process has this pid.
    Namespaces(u32),
}

impl Location {
    /// A command that runs `program` here, in the working directory `dir`.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, dir: &Path) -> Command {
        match self {
            Location::Machine => {
                let mut command = Command::new(program);
                command.current_dir(dir);
                command
            }
            Location::Namespaces(_) => {
                let mut command = self.shell(r#"cd "$1" && shift && exec "$@""#);
                command.arg(dir).arg(program);
                command
            }
        }
    }

    /// Like [`Location::command`], but writes the pid that `program` has in its pid namespace to `pid_file` first.
    pub(crate) fn service(&self, program: &Path, dir: &Path, pid_file: &Path) -> Command {
        match self {
            Location::Machine => self.command(program, dir),
            Location::Namespaces(_) => {
                let mut command = self.shell(r#"echo $$ >"$1" && cd "$2" && shift 2 && exec "$@""#);
                command.arg(pid_file).arg(dir).arg(program);
                command
            }
        }
    }

    fn shell(&self, script: &str) -> Command {
        let Location::Namespaces(pid) = self else {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]);
            return command;
        };
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid.to_string(), "-m", "-u", "-i", "-n", "-p", "--"]);
        command.args(["sh", "-c", script, "sh"]);
        command
    }

    /// Sends a signal, named as for the shell's `kill`, to a pid as it is seen here.
    pub(crate) fn signal(&self, pid: u32, signal: &str) -> Result<()> {
        let mut command = self.shell(r#"kill -s "$1" "$2""#);
        let output = command.args([signal, &pid.to_string()]).output()?;
        if !output.status.success() {
            bail!("kill -s {signal} {pid}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs `work` on a thread whose network is that of this location.
    pub(crate) fn in_network<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self {
            Location::Machine => work(),
            Location::Namespaces(pid) => {
                let path = format!("/proc/{pid}/ns/net");
                std::thread::scope(|scope| {
                    scope
                        .spawn(move || {
                            enter_network(&path)?;
                            work()
                        })
                        .join()
                        .unwrap_or_else(|_| bail!("a thread in the node's network panicked"))
                })
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn enter_network(path: &str) -> Result<()> {
    use std::os::fd::AsFd;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    let namespace = std::fs::File::open(path)
        .with_context(|| format!("opening {path}: is the environment still up? See `testenv status`"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("entering the network of {path}"))
}

#[cfg(not(target_os = "linux"))]
fn enter_network(path: &str) -> Result<()> {
    bail!("{path}: namespaces exist on Linux only")
}
