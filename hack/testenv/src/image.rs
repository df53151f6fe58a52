//! Container images, made by `hack/image` and kept in the cache.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tools::cache_dir;

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "localhost/pause:1";
/// An image that does nothing until it is told to end; `/workload env` in it prints its variables.
pub const WORKLOAD: &str = "localhost/demo-app:1";
/// An image that logs in to PostgreSQL again and again. Its variables are `ADDRESS`, `username` and `password`; its log
/// has each failure, and the numbers of logins and of failures.
pub const CLIENT: &str = "localhost/client:1";

/// Archive of [`PAUSE`].
pub fn pause() -> Result<PathBuf> {
    cached("pause", PAUSE)
}

/// Archive of [`WORKLOAD`].
pub fn workload() -> Result<PathBuf> {
    cached("workload", WORKLOAD)
}

/// Archive of [`CLIENT`].
pub fn client() -> Result<PathBuf> {
    cached("client", CLIENT)
}

/// Makes an archive of the operator's image from its binary.
pub fn operator(binary: &Path, tag: &str, archive: &Path) -> Result<()> {
    let mut command = script()?;
    command.arg("operator").arg("--binary").arg(binary);
    run(command.args(["--tag", tag, "--output"]).arg(archive))
}

/// Images that depend on the script alone are made once per version of it.
fn cached(kind: &str, tag: &str) -> Result<PathBuf> {
    let path = script_path();
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let dir = cache_dir()?.join("images");
    fs::create_dir_all(&dir)?;
    let archive = dir.join(format!("{kind}-{:016x}.tar", hasher.finish()));
    if !archive.exists() {
        run(script()?.args([kind, "--tag", tag, "--output"]).arg(&archive))?;
    }
    Ok(archive)
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("image")
}

fn script() -> Result<Command> {
    let path = script_path();
    if !path.is_file() {
        bail!("{} is missing", path.display());
    }
    Ok(Command::new(path))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().context("hack/image")?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
