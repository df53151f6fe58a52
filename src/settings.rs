//! What the operator was told at its start, typed and checked once. Nothing else reads flags or the environment.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::backoff::Policy;

/// Everything that flags and environment decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the operator itself lives: its Lease, its own Secrets, the fall-back of references.
    pub operator_namespace: String,
    /// The operator's pod, if it was told.
    pub pod: Pod,
    /// Where metrics are served; `None`: nowhere.
    pub metrics: Option<BindAddress>,
    /// Where `/healthz` and `/readyz` are served; `None`: nowhere.
    pub health: Option<BindAddress>,
    /// Whether to work only while holding the Lease.
    pub leader_elect: bool,
    /// The namespaces to watch and serve; empty: all.
    pub watch_namespaces: BTreeSet<String>,
    /// How many objects are worked on at the same time.
    pub max_concurrent_reconciles: usize,
    /// How many Vault sessions may have a token at the same time.
    pub session_limit: usize,
    /// Whether Vault tokens outlive the process.
    pub persistence: Persistence,
    /// What holds for all objects that do not say otherwise.
    pub global: GlobalOptions,
    /// Serve metrics over HTTPS with TokenReview and SubjectAccessReview; plain HTTP otherwise.
    pub metrics_secure: bool,
    /// Directory with `tls.crt` and `tls.key` for metrics; without one the certificate signs itself.
    pub metrics_certificates: Option<PathBuf>,
    /// How long `uninstall` goes on at most.
    pub uninstall_timeout: Duration,
    /// Directories in which `caCertPath` of a VaultConnection may be; empty: any that is not forbidden.
    pub ca_cert_dirs: Vec<PathBuf>,
    /// The shortest interval between two reads of an object; what asks for less gets this.
    pub min_refresh_after: Duration,
    /// What a workload is restarted for within this time is one rollout.
    pub rollout_window: Duration,
    /// How many rollouts may be under way in a namespace at the same time; zero: any number.
    pub max_rollouts_per_namespace: usize,
    /// Whether objects of `external-secrets.io` are served.
    pub external_secrets: bool,
    /// The class of stores that this operator serves, beside those without a class.
    pub external_secrets_class: String,
    /// Whether workloads are restarted as Reloader's annotations say.
    pub reloader: bool,
    /// Whether workloads are restarted for ConfigMaps, too.
    pub reloader_config_maps: bool,
    /// Whether workloads are restarted for all that they use, unless they say whether.
    pub reloader_auto_reload_all: bool,
    /// Serve ClusterExternalSecrets too, where ExternalSecrets are served in the whole cluster.
    pub cluster_external_secrets: bool,
    /// Serve ClusterPushSecrets too, where ExternalSecrets are served in the whole cluster.
    pub cluster_push_secrets: bool,
    /// The back-off of objects whose Vault read fails.
    pub backoff: Policy,
    /// The client of the API server.
    pub kube: KubeSettings,
    /// The log.
    pub log: LogSettings,
}

/// The pod that the operator runs in, as the downward API names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `OPERATOR_POD_NAME`.
    pub name: Option<String>,
    /// `OPERATOR_POD_UID`.
    pub uid: Option<String>,
}

/// How Vault tokens are kept over a restart of the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Not at all.
    #[default]
    None,
    /// Logins are stored in Secrets of the operator's namespace.
    Unencrypted,
    /// There too, encrypted by Vault's Transit engine.
    Encrypted,
}

impl Persistence {
    /// The value of `--client-cache-persistence-model`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Persistence::None => "none",
            Persistence::Unencrypted => "direct-unencrypted",
            Persistence::Encrypted => "direct-encrypted",
        }
    }
}

/// Defaults for the objects of the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalOptions {
    /// Leave `_raw` out of every destination Secret.
    pub exclude_raw: bool,
    /// Let a VaultAuth use the VaultAuthGlobal named `default` without naming it.
    pub allow_default_globals: bool,
    /// Let VaultAuths outside of the operator's namespace log in with the operator's own cloud identity.
    pub allow_ambient_cloud_identity: bool,
}

/// How to reach the API server, and how hard to press it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubeSettings {
    /// A kubeconfig to use instead of what the environment offers.
    pub kubeconfig: Option<PathBuf>,
    /// Requests per second in the long run; zero and less: no limit.
    pub qps: f32,
    /// Requests at once; zero: as many as in a second.
    pub burst: u32,
}

/// How much is logged and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Nothing below this.
    pub level: tracing::Level,
    /// One JSON object a line, or text for people.
    pub encoder: LogEncoder,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEncoder {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Console,
}

/// Name of the Lease that the leader holds. VSO's: the two operators never lead at the same time.
pub const LEASE_NAME: &str = "b0d477c0.hashicorp.com";

impl Default for Settings {
    fn default() -> Self {
        Self {
            operator_namespace: "default".to_owned(),
            pod: Pod::default(),
            metrics: Some(BindAddress::any(8080)),
            health: Some(BindAddress::any(8081)),
            leader_elect: true,
            watch_namespaces: BTreeSet::new(),
            max_concurrent_reconciles: 100,
            session_limit: 10_000,
            persistence: Persistence::None,
            global: GlobalOptions {
                exclude_raw: false,
                allow_default_globals: true,
                allow_ambient_cloud_identity: false,
            },
            metrics_secure: false,
            metrics_certificates: None,
            uninstall_timeout: Duration::from_secs(60),
            ca_cert_dirs: vec![],
            min_refresh_after: Duration::from_secs(1),
            rollout_window: Duration::from_secs(1),
            max_rollouts_per_namespace: 0,
            external_secrets: false,
            external_secrets_class: "default".to_owned(),
            reloader: false,
            reloader_config_maps: false,
            reloader_auto_reload_all: false,
            cluster_external_secrets: false,
            cluster_push_secrets: false,
            backoff: Policy::default(),
            kube: KubeSettings::default(),
            log: LogSettings::PRODUCTION,
        }
    }
}

impl LogSettings {
    /// JSON, which machines read.
    pub const PRODUCTION: Self = Self { level: tracing::Level::INFO, encoder: LogEncoder::Json };
    /// Text, which people read at a terminal.
    pub const DEVELOPMENT: Self = Self { level: tracing::Level::DEBUG, encoder: LogEncoder::Console };
}

impl Settings {
    /// The namespace that the operator runs in: what Kubernetes mounted into the pod (`mounted`), else what
    /// `OPERATOR_NAMESPACE` says, else `default`.
    #[must_use]
    pub fn operator_namespace(mounted: Option<&str>, variable: Option<&str>) -> String {
        let name = mounted.or(variable).unwrap_or_default().trim();
        if name.is_empty() { "default".to_owned() } else { name.to_owned() }
    }
}

/// Where to listen, as Go's `net.Listen` takes it: `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    host: Option<String>,
    port: u16,
}

impl BindAddress {
    /// A port on all addresses of the host.
    #[must_use]
    pub fn any(port: u16) -> Self {
        Self { host: None, port }
    }

    /// Reads an address; empty and `0` mean that nothing listens.
    ///
    /// # Errors
    /// Says what is wrong with anything else.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.is_empty() || text == "0" {
            return Ok(None);
        }
        let wrong = |what: &str| format!("{what}; expected an address such as :8080 or 127.0.0.1:8080, or 0 for off");
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        let port = port.parse().map_err(|_| wrong("the port is not a number from 0 to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(wrong("an IPv6 address has to be in brackets"));
        }
        let host = bare.unwrap_or(host);
        Ok(Some(Self { host: (!host.is_empty()).then(|| host.to_owned()), port }))
    }

    /// What to bind, the first that works. All addresses are IPv6 and IPv4 at once where the host has IPv6.
    #[must_use]
    pub fn candidates(&self) -> Vec<(&str, u16)> {
        match &self.host {
            Some(host) => vec![(host, self.port)],
            None => vec![("::", self.port), ("0.0.0.0", self.port)],
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{}:{}", host.unwrap_or_default(), self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_go_takes_them() {
        for (text, host, port) in [
            (":8080", None, 8080),
            ("127.0.0.1:8080", Some("127.0.0.1"), 8080),
            ("[::1]:0", Some("::1"), 0),
            ("localhost:65535", Some("localhost"), 65535),
        ] {
            let expected = BindAddress { host: host.map(str::to_owned), port };
            assert_eq!(BindAddress::parse(text).as_ref(), Ok(&Some(expected.clone())));
            assert_eq!(expected.to_string(), text);
        }
        for off in ["", "0"] {
            assert_eq!(BindAddress::parse(off), Ok(None));
        }
        for wrong in ["8080", ":http", ":65536", ":-1", "::1:8080", "localhost"] {
            assert!(BindAddress::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_addresses_need_no_ipv6() {
        assert_eq!(BindAddress::any(1).candidates(), [("::", 1), ("0.0.0.0", 1)]);
    }

    #[test]
    fn the_mounted_namespace_comes_first() {
        let of = Settings::operator_namespace;
        assert_eq!(of(Some(" vso "), Some("other")), "vso");
        assert_eq!(of(Some(""), Some("other")), "default");
        assert_eq!(of(None, Some("other")), "other");
        assert_eq!(of(None, None), "default");
    }
}
