//! The watcher: a small shell that outlives its holder and ends the environment when the holder is gone.
//!
//! It waits on a pipe. The pipe closes when the holder drops it, returns, panics, is killed or runs out of memory,
//! so that nothing depends on destructors.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

const TEARDOWN: &str = include_str!("teardown.sh");

/// The environment variable that marks every process of an environment; its value is the environment's directory.
pub(crate) const MARK: &str = "VSO_TESTENV";

/// Ends the environment in a directory when it is dropped or its process dies.
#[derive(Debug)]
pub(crate) struct Watcher {
    shell: Child,
}

impl Watcher {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let shell = teardown("wait", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("starting the watcher, a `sh`")?;
        Ok(Self { shell })
    }

    /// Lets the environment live on when this process ends.
    pub(crate) fn detach(self) -> Result<()> {
        self.say("detach")
    }

    /// Ends the environment but keeps its directory, for its logs.
    pub(crate) fn end_keeping_files(self) -> Result<()> {
        self.say("keep")
    }

    fn say(mut self, word: &str) -> Result<()> {
        if let Some(mut pipe) = self.shell.stdin.take() {
            writeln!(pipe, "{word}").context("telling the watcher")?;
        }
        self.shell.wait()?;
        Ok(())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Nothing can be done about a failure here; the shell works on by itself.
        let _ = self.shell.wait();
    }
}

/// Ends the environment in `dir` now, whoever started it.
pub(crate) fn end(dir: &Path) -> Result<()> {
    let mut shell = teardown("now", dir);
    let status = shell.env_remove("TESTENV_KEEP").stdin(Stdio::null()).status()?;
    if !status.success() || dir.exists() {
        bail!("{} is not gone; what holds it: `fuser -vm {0}`", dir.display());
    }
    Ok(())
}

fn teardown(mode: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", TEARDOWN, "sh", mode]).arg(dir).env_remove(MARK);
    command
}
