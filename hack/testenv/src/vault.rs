//! Vault or OpenBao: its process, its first set-up, and speaking to it.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::process::Service;
use crate::server::Server;

/// Where Vault keeps its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VaultStorage {
    /// In memory, unsealed from the start (`-dev`). A restart forgets everything; the set-up is then repeated.
    #[default]
    Memory,
    /// Integrated storage (raft): can be sealed, unsealed and restarted. One key share. Comes up unsealed the first
    /// time, sealed after a restart.
    Raft,
    /// Integrated storage on three nodes: see [`Cluster::raft`](crate::Cluster::raft). The address of the environment
    /// leads to the active one.
    RaftOfThree,
}

/// Gives the Community Edition of 1.15 its event stream; later versions keep that for Enterprise. Subscriptions are in
/// its log, since they are not in the audit log.
pub(crate) const EVENTS: [&str; 2] = ["-experiment=events.alpha1", "-log-level=debug"];

/// The root token of a Vault in memory.
pub(crate) const DEV_TOKEN: &str = "root";

/// How a server listens and is found.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Name of the process, of its log and of its files.
    pub name: &'static str,
    /// Where it listens to clients.
    pub address: String,
    /// Where it listens to other nodes.
    pub cluster_address: String,
    /// Where clients find it.
    pub api_url: String,
    /// Where other nodes find it.
    pub cluster_url: String,
}

impl Listener {
    /// Of the only server of an environment, with its ports for clients and for other nodes.
    pub(crate) fn of_one(environment: &Environment, [port, cluster_port]: [u16; 2]) -> Self {
        let host = if environment.has_node() { "0.0.0.0" } else { "127.0.0.1" };
        Self {
            name: environment.server.service(),
            address: format!("{host}:{port}"),
            cluster_address: format!("{host}:{cluster_port}"),
            api_url: environment.vault_addr.clone(),
            cluster_url: format!("https://127.0.0.1:{cluster_port}"),
        }
    }
}

/// Arguments that start the server; the addresses for other nodes are used with raft only.
pub(crate) fn arguments(environment: &Environment, storage: VaultStorage, listener: &Listener) -> Result<Vec<String>> {
    let Listener { name, address, cluster_address, api_url, cluster_url } = listener;
    let mut arguments = vec!["server".to_owned()];
    let mut config = json!({});
    match storage {
        VaultStorage::Memory => arguments.extend([
            "-dev".to_owned(),
            format!("-dev-root-token-id={DEV_TOKEN}"),
            "-dev-no-store-token".to_owned(),
            format!("-dev-listen-address={address}"),
        ]),
        VaultStorage::Raft | VaultStorage::RaftOfThree => {
            let data = environment.dir.join(format!("{name}-data"));
            fs::create_dir_all(&data)?;
            config = json!({
                "storage": {"raft": {"path": data, "node_id": name}},
                "listener": {"tcp": {"address": address, "cluster_address": cluster_address, "tls_disable": true}},
                "api_addr": api_url,
                "cluster_addr": cluster_url,
                "disable_mlock": true,
                "ui": false,
            });
        }
    }
    if environment.server == Server::OpenBao {
        // Without it, audit devices are a matter of the configuration alone.
        config["unsafe_allow_api_audit_creation"] = json!(true);
    }
    let path = environment.dir.join(format!("{name}.json"));
    fs::write(&path, format!("{config:#}\n"))?;
    arguments.push(format!("-config={}", path.display()));
    Ok(arguments)
}

/// Waits for a Vault that was just started; initialises and unseals one that has never been. Returns the root token
/// and the unseal key when this was its first start with storage.
pub(crate) fn wait(environment: &mut Environment, service: &Service, storage: VaultStorage) -> Result<()> {
    await_answer(environment, service)?;
    if storage != VaultStorage::Memory {
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let keys = environment.vault("PUT", "sys/init", Some(shares))?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("sys/init: no key in the answer");
        environment.vault_token = text(&keys["root_token"])?;
        environment.unseal_key = Some(text(&keys["keys"][0])?);
        environment.vault_unseal()?;
        environment.vault("POST", "sys/mounts/secret", Some(json!({"type": "kv", "options": {"version": "2"}})))?;
    }
    Ok(())
}

/// Waits until Vault answers at all, sealed or not.
pub(crate) fn await_answer(environment: &Environment, service: &Service) -> Result<()> {
    service.wait(Duration::from_secs(60), || {
        matches!(environment.vault_raw("GET", "sys/health", None, ""), Ok((200 | 429 | 501 | 503, _)))
    })
}

/// The audit device and the KV v1 mount.
pub(crate) fn prepare(environment: &Environment) -> Result<()> {
    let device = json!({"type": "file", "options": {"file_path": environment.vault_audit_log()}});
    environment.vault("PUT", "sys/audit/file", Some(device))?;
    let mount = json!({"type": "kv", "options": {"version": "1"}});
    environment.vault("POST", "sys/mounts/kv1", Some(mount))?;
    Ok(())
}

/// Makes Vault's Kubernetes auth method trust the API server of this environment.
pub(crate) fn trust_kubernetes(environment: &Environment, kubernetes_host: &str, reviewer_token: &str) -> Result<()> {
    environment.vault("POST", "sys/auth/kubernetes", Some(json!({"type": "kubernetes"})))?;
    let authority = fs::read_to_string(environment.certificate_authority())?;
    let config = json!({
        "kubernetes_host": kubernetes_host,
        "kubernetes_ca_cert": authority,
        "token_reviewer_jwt": reviewer_token,
        "disable_local_ca_jwt": true,
    });
    environment.vault("POST", "auth/kubernetes/config", Some(config))?;
    Ok(())
}

impl Environment {
    /// Sends a request with the root token to `/v1/<path>`. An answer other than 2xx is an error.
    pub fn vault(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let (status, answer) = self.vault_raw(method, path, body, &self.vault_token)?;
        if !(200..300).contains(&status) {
            bail!("vault {method} {path}: {status} {answer}");
        }
        Ok(answer)
    }

    /// Sends a request with a token (none when it is empty) to `/v1/<path>`; returns the status and the JSON answer.
    pub fn vault_raw(&self, method: &str, path: &str, body: Option<Value>, token: &str) -> Result<(u16, Value)> {
        let url = format!("{}/v1/{path}", self.vault_addr);
        let token = (!token.is_empty()).then_some(("x-vault-token", token));
        self.location
            .in_network(|| request(method, &url, body, token))
            .with_context(|| format!("vault {method} {path}; its log is in {}", self.logs().display()))
    }

    /// Writes a KV v2 secret and returns its new version. `path` is like `secret/app`.
    pub fn vault_kv_put(&self, path: &str, data: Value) -> Result<u64> {
        let Some((mount, rest)) = path.split_once('/') else {
            bail!("{path:?}: want MOUNT/PATH");
        };
        let body = json!({"data": data});
        let answer = self.vault("POST", &format!("{mount}/data/{rest}"), Some(body))?;
        answer["data"]["version"].as_u64().context("no version in Vault's answer")
    }

    /// Creates or replaces a policy.
    pub fn vault_policy(&self, name: &str, rules: &str) -> Result<()> {
        self.vault("PUT", &format!("sys/policies/acl/{name}"), Some(json!({"policy": rules})))?;
        Ok(())
    }

    /// Creates or replaces a role of the Kubernetes auth method, for the audience `vault`. `*` means all.
    pub fn vault_kubernetes_role(
        &self,
        name: &str,
        service_accounts: &[&str],
        namespaces: &[&str],
        policies: &[&str],
        ttl: &str,
    ) -> Result<()> {
        let role = json!({
            "bound_service_account_names": service_accounts,
            "bound_service_account_namespaces": namespaces,
            "audience": "vault",
            "token_policies": policies,
            "token_ttl": ttl,
        });
        self.vault("POST", &format!("auth/kubernetes/role/{name}"), Some(role))?;
        Ok(())
    }

    /// Seals Vault. Only one with storage can be unsealed again.
    pub fn vault_seal(&self) -> Result<()> {
        if self.unseal_key.is_none() {
            bail!("a Vault in memory cannot be unsealed again: start it with VaultStorage::Raft or `--vault raft`");
        }
        self.vault("PUT", "sys/seal", None)?;
        Ok(())
    }

    /// Unseals Vault and waits until it serves requests.
    pub fn vault_unseal(&self) -> Result<()> {
        let Some(key) = &self.unseal_key else {
            bail!("a Vault in memory is never sealed");
        };
        self.vault("PUT", "sys/unseal", Some(json!({"key": key})))?;
        for _ in 0..600 {
            if let Ok((200, _)) = self.vault_raw("GET", "sys/health", None, "") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("Vault was unsealed but is not active after 30 s: see {}", self.logs().display())
    }

    fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }
}

/// One HTTP request with a JSON body, to a server without TLS.
pub(crate) fn request(
    method: &str,
    url: &str,
    body: Option<Value>,
    header: Option<(&str, &str)>,
) -> Result<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    if let Some((name, value)) = header {
        builder = builder.header(name, value);
    }
    let mut answer = match body {
        None => agent.run(builder.body(())?)?,
        Some(body) => {
            let builder = builder.header("content-type", "application/json");
            agent.run(builder.body(body.to_string())?)?
        }
    };
    let mut text = String::new();
    answer.body_mut().as_reader().read_to_string(&mut text)?;
    let value = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    };
    Ok((answer.status().as_u16(), value))
}
