//! The operator's binary and image.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::repository;

const BINARY: &str = "vault-secrets-operator";

/// The command that builds the operator, as one would type it. With the whole workspace its dependencies have the same
/// features as for the tests, and are compiled once for both.
pub(super) const COMMAND: &str = "cargo build --workspace --bin vault-secrets-operator";

/// Builds the operator and returns the path of its binary.
pub(super) fn operator() -> Result<PathBuf> {
    // The one that has built this program, where cargo runs it.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(COMMAND.split(' ').skip(1))
        .arg("--message-format=json-render-diagnostics")
        .current_dir(repository())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo: install Rust (https://rustup.rs)")?;
    let output = child.stdout.take().context("cargo without output")?;
    let mut binary = None;
    for line in BufReader::new(output).lines() {
        let message: Value = serde_json::from_str(&line?).unwrap_or_default();
        if message["reason"] == "compiler-artifact" && message["target"]["name"] == BINARY {
            binary = message["executable"].as_str().map(PathBuf::from).or(binary);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{COMMAND}` failed ({status}); its messages are above");
    }
    binary.with_context(|| format!("`{COMMAND}` has made no binary"))
}
