//! Speaking to the API server: kubectl, helm, kubeconfigs.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::environment::Environment;
use crate::watcher::MARK;

impl Environment {
    /// A command that runs where the environment runs, with the variables of [`Environment::variables`] and the right
    /// kubectl, helm and vault or bao on its `PATH`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let mut command = self.location.command(program, &dir);
        for (name, value) in self.variables() {
            command.env(name, value);
        }
        command
    }

    /// The variables that make kubectl, helm and vault or bao speak to this environment and to no other.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |file: &str| self.dir.join(file).display().to_string();
        let search = std::env::var("PATH").unwrap_or_default();
        let [address, token] = self.server.variables();
        vec![
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            (address, self.vault_addr.clone()),
            (token, self.vault_token.clone()),
            ("PATH", format!("{}:{search}", path("bin"))),
            // What kubectl remembers of another cluster on the same address is poison.
            ("KUBECACHEDIR", path("home/kube-cache")),
            ("KUBERC", "off".to_owned()),
            ("HELM_CACHE_HOME", path("home/helm-cache")),
            ("HELM_CONFIG_HOME", path("home/helm-config")),
            ("HELM_DATA_HOME", path("home/helm-data")),
        ]
    }

    /// Marks a command so that its process, and its children, end with the environment, however the caller ends.
    pub fn adopt<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.dir)
    }

    /// Runs kubectl as cluster administrator and returns its standard output.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run("kubectl", arguments, None)
    }

    /// Applies manifests (server-side) as cluster administrator.
    pub fn kubectl_apply(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.run("kubectl", &arguments, Some(yaml))
    }

    /// Runs helm as cluster administrator and returns its standard output.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.run("helm", arguments, None)
    }

    /// A kubeconfig with a token of this service account, valid for 24 hours.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.service_account_kubeconfig_via(namespace, name, &self.api_server_url)
    }

    /// The same, for an API server that is reached at another URL, such as a [`Proxy`](crate::Proxy) on loopback.
    pub fn service_account_kubeconfig_via(&self, namespace: &str, name: &str, server: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name, &[])?;
        let port = server.rsplit(':').next().unwrap_or_default();
        let path = self.dir.join("kubeconfigs").join(format!("{namespace}.{name}.{port}.kubeconfig"));
        write_kubeconfig(&path, server, &self.certificate_authority(), &token)?;
        Ok(path)
    }

    /// A kubeconfig with a token that is there already. Its file has this name.
    pub fn token_kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.dir.join("kubeconfigs").join(format!("{name}.kubeconfig"));
        write_kubeconfig(&path, &self.api_server_url, &self.certificate_authority(), token)?;
        Ok(path)
    }

    /// A token of this service account, valid for 24 hours; for the API server itself when no audience is named.
    pub fn service_account_token(&self, namespace: &str, name: &str, audiences: &[&str]) -> Result<String> {
        let mut arguments = vec!["create", "token", name, "--namespace", namespace, "--duration=24h"];
        for audience in audiences {
            arguments.extend(["--audience", audience]);
        }
        Ok(self.kubectl(&arguments)?.trim().to_owned())
    }

    /// Runs one of the environment's programs and returns its standard output.
    pub(crate) fn run(&self, program: &str, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let mut command = self.command(self.dir.join("bin").join(program));
        let mut child = self
            .adopt(&mut command)
            .args(arguments)
            // Some keep things in it.
            .env("HOME", self.dir.join("home"))
            .env("GOGC", "400")
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let pipe = child.stdin.take();
        let output = std::thread::scope(|scope| {
            if let (Some(mut pipe), Some(input)) = (pipe, input) {
                // A program that ends before it has read everything says why on its standard error.
                scope.spawn(move || pipe.write_all(input.as_bytes()));
            }
            child.wait_with_output()
        })?;
        if !output.status.success() {
            bail!(
                "{program} {}: {}\n{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

pub(crate) fn write_kubeconfig(path: &Path, server: &str, authority: &Path, token: &str) -> Result<()> {
    // JSON is YAML.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testenv", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "testenv", "context": {"cluster": "testenv", "user": "user", "namespace": "default"}}],
        "current-context": "testenv",
    });
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, format!("{config:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
