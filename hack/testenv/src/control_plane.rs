//! How etcd, the API server and the controller manager are configured.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use anyhow::{Context, Result};

use crate::environment::Environment;
use crate::kubernetes::write_kubeconfig;
use crate::location::Location;
use crate::pki::Pki;

/// Address on which a node's pods reach the API server: the `kubernetes` Service.
pub(crate) const SERVICE_ADDRESS: &str = "10.96.0.1";
/// Address of the node itself.
pub(crate) const NODE_ADDRESS: &str = "10.97.0.1";
/// Name of the node.
pub(crate) const NODE_NAME: &str = "n1";

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

const AUDIT_POLICY: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy",
 "omitStages":["RequestReceived"],"rules":[{"level":"Metadata"}]}
"#;

/// Ports of one environment. A node has its own network, and so the usual ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api_server: u16,
    pub(crate) vault: u16,
    pub(crate) vault_cluster: u16,
    pub(crate) toxiproxy: u16,
    pub(crate) postgresql: u16,
}

impl Ports {
    pub(crate) fn of_a_node() -> Self {
        Self {
            etcd: 2379,
            etcd_peer: 2380,
            api_server: 443,
            vault: 8200,
            vault_cluster: 8201,
            toxiproxy: 8474,
            postgresql: 5432,
        }
    }

    pub(crate) fn free() -> Result<Self> {
        let ports: [u16; 7] = crate::free_ports(7)?.try_into().ok().context("seven ports")?;
        let [etcd, etcd_peer, api_server, vault, vault_cluster, toxiproxy, postgresql] = ports;
        Ok(Self { etcd, etcd_peer, api_server, vault, vault_cluster, toxiproxy, postgresql })
    }
}

/// Writes keys, tokens, kubeconfigs and the audit policy.
pub(crate) fn write_files(environment: &Environment) -> Result<()> {
    let dir = &environment.dir;
    for sub in ["audit", "bin", "home", "logs", "pids", "etcd", "cert"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    let pki = Pki::create(&dir.join("pki"))?;
    let mut names = vec!["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    names.extend(["127.0.0.1", SERVICE_ADDRESS, NODE_ADDRESS]);
    pki.server("apiserver", "kube-apiserver", None, &names)?;

    let authority = environment.certificate_authority();
    let mut tokens = String::new();
    let mut user = |name: &str, groups: &str, kubeconfig: &Path| {
        let token = random();
        tokens.push_str(&format!("{token},{name},{name},\"{groups}\"\n"));
        write_kubeconfig(kubeconfig, &environment.api_server_url, &authority, &token)
    };
    user("admin", "system:masters", &environment.kubeconfig)?;
    user("system:kube-controller-manager", "", &dir.join("controllers.kubeconfig"))?;
    if environment.has_node() {
        pki.client("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")?;
        let name = format!("system:node:{NODE_NAME}");
        pki.server("kubelet", &name, Some("system:nodes"), &[NODE_NAME, NODE_ADDRESS])?;
        user("system:kube-scheduler", "", &dir.join("scheduler.kubeconfig"))?;
        user(&name, "system:nodes", &dir.join("kubelet.kubeconfig"))?;
    }
    fs::write(dir.join("pki/tokens.csv"), tokens)?;
    fs::write(dir.join("audit/policy.json"), AUDIT_POLICY)?;
    Ok(())
}

/// Hard enough to guess for other users of this machine.
pub(crate) fn random() -> String {
    let part = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", part(), part())
}

pub(crate) fn etcd(environment: &Environment, ports: &Ports) -> Vec<String> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    vec![
        format!("--data-dir={}", environment.dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".into(),
        format!("--quota-backend-bytes={}", 4_u64 << 30),
        "--log-level=error".into(),
    ]
}

pub(crate) fn api_server(environment: &Environment, ports: &Ports) -> Vec<String> {
    let pki = |file| environment.pki(file);
    let audit = |file: &str| environment.dir.join("audit").join(file).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        format!("--secure-port={}", ports.api_server),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--token-auth-file={}", pki("tokens.csv")),
        format!("--service-account-issuer={ISSUER}"),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--cert-dir={}", environment.dir.join("cert").display()),
        format!("--audit-policy-file={}", audit("policy.json")),
        format!("--audit-log-path={}", audit("kubernetes.log")),
        // One file, however long: positions in it stay valid.
        "--audit-log-maxsize=100000".into(),
        "--allow-privileged=true".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
    ];
    if environment.location == Location::Machine {
        arguments.extend([
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            "--authorization-mode=RBAC".into(),
        ]);
    } else {
        arguments.extend([
            "--bind-address=0.0.0.0".into(),
            format!("--advertise-address={NODE_ADDRESS}"),
            "--endpoint-reconciler-type=lease".into(),
            "--authorization-mode=RBAC,Node".into(),
            "--enable-admission-plugins=NodeRestriction".into(),
            "--enable-aggregator-routing=true".into(),
            "--kubelet-preferred-address-types=InternalIP".into(),
            format!("--kubelet-certificate-authority={}", pki("ca.crt")),
            format!("--kubelet-client-certificate={}", pki("kubelet-client.crt")),
            format!("--kubelet-client-key={}", pki("kubelet-client.key")),
        ]);
    }
    arguments
}

pub(crate) fn controller_manager(environment: &Environment) -> Vec<String> {
    let mut arguments = vec![
        format!("--kubeconfig={}", environment.dir.join("controllers.kubeconfig").display()),
        "--use-service-account-credentials=true".into(),
        format!("--service-account-private-key-file={}", environment.pki("sa.key")),
        format!("--root-ca-file={}", environment.pki("ca.crt")),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        // With the default of 20 a second the controllers need 5 s to start.
        "--kube-api-qps=500".into(),
        "--kube-api-burst=500".into(),
    ];
    if environment.location == Location::Machine {
        let without_a_node = "--controllers=*,-node-ipam-controller,-node-route-controller,\
                              -cloud-node-lifecycle-controller,-node-lifecycle-controller,-taint-eviction-controller";
        arguments.push(without_a_node.into());
    }
    arguments
}
