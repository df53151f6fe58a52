//! What there is to know about an environment, kept in its directory so that other processes find it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::location::Location;
use crate::server::Server;
use crate::watcher::{self, MARK};

const PREFIX: &str = "vso-testenv-";
const FILE: &str = "environment.json";
/// File name of the administrator's kubeconfig.
pub(crate) const ADMIN: &str = "admin.kubeconfig";

/// An environment that is up: where it is and how to speak to it.
///
/// [`Cluster`](crate::Cluster) dereferences to this; [`Environment::load`] finds one that `testenv up` has started.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) location: Location,
    pub(crate) api_server_url: String,
    pub(crate) server: Server,
    pub(crate) vault_addr: String,
    pub(crate) vault_token: String,
    pub(crate) unseal_key: Option<String>,
}

impl Environment {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory: logs, audit logs, keys. Gone when the environment is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it has a node, and so runs inside namespaces of its own.
    pub fn has_node(&self) -> bool {
        self.location != Location::Machine
    }

    /// A kubeconfig of a cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// URL of the API server, as seen where the environment runs.
    pub fn api_server_url(&self) -> &str {
        &self.api_server_url
    }

    /// What holds the secrets.
    pub fn server(&self) -> Server {
        self.server
    }

    /// URL of Vault or OpenBao, as seen where the environment runs, pods included.
    pub fn vault_addr(&self) -> &str {
        &self.vault_addr
    }

    /// The root token of Vault or OpenBao.
    pub fn vault_token(&self) -> &str {
        &self.vault_token
    }

    /// The certificate authority of the API server, PEM.
    pub fn certificate_authority(&self) -> PathBuf {
        self.dir.join("pki").join("ca.crt")
    }

    pub(crate) fn pki(&self, file: &str) -> String {
        self.dir.join("pki").join(file).display().to_string()
    }

    pub(crate) fn kube_audit_log(&self) -> PathBuf {
        self.dir.join("audit").join("kubernetes.log")
    }

    pub(crate) fn vault_audit_log(&self) -> PathBuf {
        self.dir.join("audit").join("vault.log")
    }

    /// Whether its processes still run.
    pub fn is_up(&self) -> bool {
        let services = self.services();
        !services.is_empty() && services.iter().all(|(_, pid)| pid.is_some())
    }

    /// Its processes, by name; without a pid when the process has ended.
    pub fn services(&self) -> Vec<(String, Option<u32>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.dir.join("pids")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "pid") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            found.push((name, pid.filter(|pid| self.is_alive(*pid))));
        }
        found.sort();
        found
    }

    /// Whether a process runs and is one of ours. One that has ended and waits to be reaped has no variables.
    fn is_alive(&self, pid: u32) -> bool {
        if let Ok(variables) = fs::read(format!("/proc/{pid}/environ")) {
            let mark = format!("{MARK}={}", self.dir.display());
            return variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        }
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        !Path::new("/proc/self").exists() && pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
    }

    /// The environment that `testenv up --name NAME` started.
    pub fn load(name: &str) -> Result<Self> {
        let dir = directory(name)?;
        let path = dir.join(FILE);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("no environment {name:?}: start it with `testenv up --name {name}`"))?;
        let value: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let field = |key: &str| -> Result<String> {
            let text = value[key].as_str().with_context(|| format!("{}: no {key}", path.display()))?;
            Ok(text.to_owned())
        };
        Ok(Self {
            name: name.to_owned(),
            kubeconfig: dir.join(ADMIN),
            location: match value["firstPid"].as_u64() {
                None => Location::Machine,
                Some(pid) => Location::Namespaces(u32::try_from(pid)?),
            },
            api_server_url: field("apiServer")?,
            server: Server::named(&field("server")?)?,
            vault_addr: field("vaultAddress")?,
            vault_token: field("vaultToken")?,
            unseal_key: value["unsealKey"].as_str().map(str::to_owned),
            dir,
        })
    }

    pub(crate) fn save(&self) -> Result<()> {
        let first_pid = match self.location {
            Location::Machine => Value::Null,
            Location::Namespaces(pid) => json!(pid),
        };
        let value = json!({
            "apiServer": self.api_server_url,
            "server": self.server.service(),
            "vaultAddress": self.vault_addr,
            "vaultToken": self.vault_token,
            "unsealKey": self.unseal_key,
            "firstPid": first_pid,
        });
        let path = self.dir.join(FILE);
        fs::write(&path, format!("{value:#}\n")).with_context(|| format!("writing {}", path.display()))
    }
}

/// Names of all environments that have a directory, up or not.
pub fn list() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent()?)?.flatten() {
        if let Some(name) = entry.file_name().to_string_lossy().strip_prefix(PREFIX) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Ends the environment with this name and removes its directory. Whether there was one.
pub fn down(name: &str) -> Result<bool> {
    let dir = directory(name)?;
    if !dir.exists() {
        return Ok(false);
    }
    watcher::end(&dir)?;
    Ok(true)
}

/// The directory of an environment.
pub(crate) fn directory(name: &str) -> Result<PathBuf> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 30 || !name.chars().all(allowed) {
        bail!("{name:?} is no name for an environment: 1 to 30 of a-z, 0-9 and -");
    }
    Ok(parent()?.join(format!("{PREFIX}{name}")))
}

fn parent() -> Result<PathBuf> {
    let dir = std::env::temp_dir();
    dir.canonicalize().with_context(|| format!("TMPDIR {} must exist", dir.display()))
}
