//! A real node: kubelet and containerd, with everything else, in namespaces of their own.
//!
//! Ports and addresses are fixed inside, nothing reaches the outside, and the end of the first process ends every
//! process, container and mount. Not there: pod DNS, Services other than `kubernetes` from pods, image pulls.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::cluster::{Cluster, Process};
use crate::control_plane::{NODE_ADDRESS, NODE_NAME};
use crate::environment::Environment;
use crate::image;
use crate::location::Location;
use crate::process::Service;
use crate::tools::Tool;

const INIT: &str = include_str!("node/init.sh");
const CNI_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// Programs a node needs beside the built ones, and the Debian packages they are in.
const NEEDED: [(&str, &[&str]); 9] = [
    ("containerd", &["containerd"]),
    ("ctr", &["containerd"]),
    ("runc", &["runc"]),
    ("ip", &["iproute2"]),
    ("buildah", &["buildah"]),
    ("unshare", &["util-linux"]),
    ("nsenter", &["util-linux"]),
    ("mount", &["mount"]),
    ("cc", &["gcc", "libc6-dev"]),
];

/// Why a node cannot run here. Found with `error.downcast_ref::<Skip>()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no real node here: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// Makes sure that a node can run here; installs missing Debian packages when this is root on a Debian.
pub fn require() -> Result<()> {
    if let Some(reason) = impossible() {
        bail!(Skip(reason));
    }
    if !missing_packages().is_empty() {
        install_missing()?;
    }
    let probe = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"])
        .output()
        .context("running unshare")?;
    if !probe.status.success() {
        let message = String::from_utf8_lossy(&probe.stderr);
        bail!(Skip(format!("namespaces are not allowed ({})", message.trim())));
    }
    Ok(())
}

/// Why a node cannot run here, without installing anything; `None` when it can, as far as can be told.
pub fn unavailable() -> Option<Skip> {
    if let Some(reason) = impossible() {
        return Some(Skip(reason));
    }
    let packages = missing_packages();
    if !packages.is_empty() && which("apt-get").is_none() {
        return Some(Skip(format!("missing: {}", packages.join(" "))));
    }
    None
}

fn impossible() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("namespaces exist on Linux only".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".into());
    }
    None
}

fn missing_packages() -> Vec<&'static str> {
    let mut packages: Vec<&str> = Vec::new();
    for (program, of) in NEEDED {
        if which(program).is_none() {
            packages.extend(of);
        }
    }
    if cni_directory().is_none() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    packages
}

/// Installs what is missing. Environments that start at one time, in one process or several, wait for the first:
/// apt-get refuses to run beside another.
fn install_missing() -> Result<()> {
    let cache = crate::tools::cache_dir()?;
    std::fs::create_dir_all(&cache)?;
    let lock = std::fs::File::create(cache.join("apt-get.lock"))?;
    lock.lock().context("waiting for another installation")?;
    let packages = missing_packages();
    if packages.is_empty() {
        return Ok(());
    }
    if which("apt-get").is_none() {
        bail!(Skip(format!("missing, under whatever name they have here: {}", packages.join(" "))));
    }
    eprintln!("testenv: installing Debian packages: {}", packages.join(" "));
    let apt = |arguments: &[&str]| -> Result<bool> {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        // What they print is for a person, not for a program that reads our output.
        let status = command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr()).status()?;
        Ok(status.success())
    };
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&packages);
    if apt(&arguments)? || (apt(&["update"])? && apt(&arguments)?) {
        return Ok(());
    }
    bail!("apt-get could not install them; install by hand: {}", packages.join(" "))
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

fn cni_directory() -> Option<&'static str> {
    let has = |dir: &&str| ["bridge", "host-local", "loopback"].iter().all(|p| Path::new(dir).join(p).is_file());
    CNI_DIRECTORIES.into_iter().find(has)
}

/// Makes the namespaces and returns the location inside them.
pub(crate) fn enter(dir: &Path) -> Result<Location> {
    if dir.as_os_str().len() > 80 || dir.starts_with("/run") {
        bail!("{}: a node's directory must be short and not below /run; set TMPDIR", dir.display());
    }
    let ready = dir.join("first-pid");
    let mut arguments: Vec<String> =
        ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork"].map(String::from).to_vec();
    arguments.extend(["--kill-child=SIGKILL", "--propagation", "private", "--"].map(String::from));
    let script = dir.join("init.sh");
    fs::write(&script, INIT)?;
    arguments.push("sh".into());
    arguments.extend([&script, dir, &ready].map(|path| path.display().to_string()));
    let program = which("unshare").context("unshare")?;
    let service = Service::new("namespaces", program, arguments, dir, &Location::Machine);
    service.start()?;
    service.wait(Duration::from_secs(20), || ready.exists())?;
    let pid = fs::read_to_string(&ready)?;
    Ok(Location::Namespaces(pid.trim().parse().context("pid of the node's first process")?))
}

/// A process: which it is, its name, its program and its arguments.
pub(crate) type Definition = (Process, &'static str, Tool, Vec<String>);

/// The processes of a node that are built from Go modules.
pub(crate) fn services(environment: &Environment) -> Result<[Definition; 2]> {
    let path = |file: &str| environment.dir.join(file).display().to_string();
    let scheduler = vec![
        format!("--kubeconfig={}", path("scheduler.kubeconfig")),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
    ];
    fs::write(path("resolv.conf"), "search cluster.local\nnameserver 10.96.0.10\n")?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "port": 10250,
        "readOnlyPort": 0,
        "tlsCertFile": environment.pki("kubelet.crt"),
        "tlsPrivateKeyFile": environment.pki("kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": environment.pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{}", path("containerd.sock")),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", directory_name(environment)),
        "failCgroupV1": false,
        "failSwapOn": false,
        "clusterDomain": "cluster.local",
        "clusterDNS": ["10.96.0.10"],
        "resolvConf": path("resolv.conf"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "makeIPTablesUtilChains": false,
        "podLogsDir": path("pod-logs"),
        "volumePluginDir": path("volume-plugins"),
    });
    fs::write(path("kubelet.json"), format!("{config:#}\n"))?;
    let kubelet = vec![
        format!("--config={}", path("kubelet.json")),
        format!("--kubeconfig={}", path("kubelet.kubeconfig")),
        format!("--root-dir={}", path("kubelet")),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={NODE_ADDRESS}"),
    ];
    Ok([
        (Process::Scheduler, "kube-scheduler", Tool::KubeScheduler, scheduler),
        (Process::Kubelet, "kubelet", Tool::Kubelet, kubelet),
    ])
}

pub(crate) fn containerd(environment: &Environment) -> Result<Service> {
    let path = |file: &str| environment.dir.join(file).display().to_string();
    let plugins = cni_directory().context("no CNI plugins")?;
    // restrict_oom_score_adj is for roots that may not lower it, as in a container; without it every pod fails there.
    let config = format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"#,
        root = path("layers/containerd"),
        state = path("containerd-run"),
        socket = path("containerd.sock"),
        pause = image::PAUSE,
        networks = path("cni"),
    );
    fs::write(path("containerd.toml"), config)?;
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "testenv",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isDefaultGateway": true,
            "hairpinMode": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.98.0.0/24"}]], "dataDir": path("ipam")},
        }],
    });
    fs::create_dir_all(path("cni"))?;
    fs::write(path("cni/10-testenv.conflist"), format!("{network:#}\n"))?;
    let program = which("containerd").context("containerd")?;
    let arguments = vec![format!("--config={}", path("containerd.toml"))];
    Ok(Service::new("containerd", program, arguments, &environment.dir, &environment.location))
}

/// Starts what needs the API server, and gives containerd the pause image meanwhile.
pub(crate) fn start(cluster: &Cluster) -> Result<()> {
    cluster.service(Process::Scheduler)?.start()?;
    let socket = cluster.dir().join("containerd.sock");
    cluster.service(Process::Containerd)?.wait(Duration::from_secs(30), || socket.exists())?;
    cluster.service(Process::Kubelet)?.start()?;
    cluster.import_image(&image::pause()?)
}

/// Waits until pods can be scheduled.
pub(crate) fn wait(cluster: &Cluster) -> Result<()> {
    let what = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}/{.spec.taints}"#;
    cluster.service(Process::Kubelet)?.wait(Duration::from_secs(90), || {
        cluster.kubectl(&["get", "node", NODE_NAME, "-o", what]).is_ok_and(|text| text == "True/")
    })
}

impl Environment {
    /// Gives the node an image from an OCI archive. Only with a node.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        if !self.has_node() {
            bail!("environment {:?} has no node to import an image into", self.name());
        }
        let archive = archive.canonicalize().with_context(|| archive.display().to_string())?;
        let output = self
            .command("ctr")
            .arg("--address")
            .arg(self.dir().join("containerd.sock"))
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(&archive)
            .output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("importing {}: {}", archive.display(), message.trim());
        }
        Ok(())
    }
}

fn directory_name(environment: &Environment) -> String {
    let name = environment.dir.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
