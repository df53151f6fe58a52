//! A Vault or OpenBao that speaks TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use testenv::Cluster;

use crate::environment::{eventually, free_port};
use crate::tenant::Tenant;

/// A second server, in memory, with a certificate authority of its own.
pub struct TlsVault<'a> {
    cluster: &'a Cluster,
    /// Directory of its certificates.
    pub dir: PathBuf,
    /// Where it listens.
    pub port: u16,
    /// A version with an event stream.
    pub program: Option<PathBuf>,
    process: Option<Child>,
}

impl<'a> TlsVault<'a> {
    /// One that does not run yet.
    pub fn new(cluster: &'a Cluster) -> Self {
        let port = free_port();
        TlsVault { cluster, dir: cluster.dir().join(format!("tls-{port}")), port, program: None, process: None }
    }

    /// Starts it, again with a new authority if it runs.
    pub fn start(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
        std::fs::create_dir(&self.dir).expect("a directory");
        let program = self.program.as_deref().and_then(Path::to_str);
        let mut command = self.cluster.command(program.unwrap_or(self.cluster.server().command()));
        command.args(["server", "-dev", "-dev-tls", "-dev-no-store-token", "-dev-root-token-id=root"]);
        command.arg(format!("-dev-tls-cert-dir={}", self.dir.display()));
        command.arg(format!("-dev-listen-address=127.0.0.1:{}", self.port));
        if program.is_some() {
            command.arg("-experiment=events.alpha1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(self.cluster.adopt(&mut command).spawn().expect("Vault starts"));
        eventually("the Vault with TLS answers", || self.run(&["status"]));
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its URL.
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Certificate of its authority, PEM.
    pub fn authority(&self) -> String {
        std::fs::read_to_string(self.dir.join("vault-ca.pem")).expect("the authority's certificate")
    }

    /// Runs its command line with the root token.
    pub fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = self.cluster.command(self.cluster.server().command());
        // OpenBao's own variables come before these, and are those of the other server.
        command.env_remove("BAO_ADDR").env_remove("BAO_TOKEN");
        command.env("VAULT_ADDR", self.address()).env("VAULT_TOKEN", "root");
        command.env("VAULT_CACERT", self.dir.join("vault-ca.pem"));
        let output = command.args(arguments).output().map_err(|e| e.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// What the tenant needs there: its login, its policy and one secret.
    pub fn prepare(&self, tenant: &Tenant<'_>, value: &str) {
        let namespace = &tenant.namespace;
        let reviewer = self.cluster.service_account_token("kube-system", "vault-reviewer", &[]).expect("a token");
        let policy = self.dir.join("policy.hcl");
        std::fs::write(&policy, "path \"secret/*\" { capabilities = [\"read\"] }").expect("a file");
        let config = [
            "write".to_owned(),
            "auth/kubernetes/config".into(),
            format!("kubernetes_host={}", self.cluster.api_server_url()),
            format!("kubernetes_ca_cert=@{}", self.cluster.certificate_authority().display()),
            format!("token_reviewer_jwt={reviewer}"),
            "disable_local_ca_jwt=true".into(),
        ];
        let role = [
            "write".to_owned(),
            format!("auth/kubernetes/role/{namespace}"),
            "bound_service_account_names=app".into(),
            format!("bound_service_account_namespaces={namespace}"),
            "audience=vault".into(),
            format!("token_policies={namespace}"),
        ];
        let enable = ["auth", "enable", "kubernetes"].map(str::to_owned);
        let policy = ["policy".to_owned(), "write".into(), namespace.clone(), policy.display().to_string()];
        let secret = ["kv".to_owned(), "put".into(), "secret/tls".into(), format!("password={value}")];
        for arguments in [&enable[..], &config, &policy, &role, &secret] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            self.run(&arguments).expect("Vault does it");
        }
    }
}

impl Drop for TlsVault<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}
