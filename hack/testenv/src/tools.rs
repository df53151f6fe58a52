//! The programs an environment is made of: which version, where to look for them, and how to build them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::go;

/// One program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The store below the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Deployments, garbage collection, namespaces, service accounts.
    KubeControllerManager,
    /// Command line of Kubernetes.
    Kubectl,
    /// Puts pods on the node.
    KubeScheduler,
    /// Runs pods on the node.
    Kubelet,
    /// HashiCorp Vault.
    Vault,
    /// Installs charts.
    Helm,
    /// Puts faults on connections.
    Toxiproxy,
    /// The one Vault whose Community Edition has an event stream. Optional.
    VaultEvents,
}

/// Everything there is to know about a tool.
pub(crate) struct Spec {
    /// Name of the executable file.
    pub(crate) binary: &'static str,
    /// Version of the Go module, as its directory in the cache is called.
    pub(crate) version: &'static str,
    /// Directory below `tools/` with the pinned Go module.
    pub(crate) module: &'static str,
    /// Go package of the program.
    pub(crate) package: &'static str,
    /// Variables set at link time.
    pub(crate) variables: &'static [&'static str],
    /// Seconds a cold build takes on two cores.
    pub(crate) seconds: u64,
    /// What it is needed for.
    pub(crate) why: &'static str,
    /// Arguments that make it print its version.
    version_arguments: &'static [&'static str],
}

const KUBERNETES: &[&str] = &[
    "k8s.io/component-base/version.gitVersion=v1.34.4",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=34",
    "k8s.io/client-go/pkg/version.gitVersion=v1.34.4",
    "k8s.io/client-go/pkg/version.gitMajor=1",
    "k8s.io/client-go/pkg/version.gitMinor=34",
];

/// Without these, `helm template` takes the cluster for Kubernetes 1.20.
const HELM: &[&str] = &[
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
    "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34",
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
    "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=34",
];

impl Tool {
    /// All tools but the optional ones, cheap builds of one module next to each other.
    pub const ALL: [Tool; 9] = [
        Tool::Etcd,
        Tool::KubeApiserver,
        Tool::KubeControllerManager,
        Tool::Kubectl,
        Tool::KubeScheduler,
        Tool::Kubelet,
        Tool::Vault,
        Tool::Helm,
        Tool::Toxiproxy,
    ];

    /// What some tests need, and skip without. Nothing builds it unless it is asked for.
    pub const OPTIONAL: [Tool; 1] = [Tool::VaultEvents];

    /// What an environment runs, in the order of [`Tool::ALL`].
    pub(crate) fn of_an_environment(with_node: bool) -> &'static [Tool] {
        use Tool::{Etcd, KubeApiserver, KubeControllerManager, KubeScheduler, Kubectl, Kubelet, Vault};
        match with_node {
            false => &[Etcd, KubeApiserver, KubeControllerManager, Kubectl, Vault],
            true => &[Etcd, KubeApiserver, KubeControllerManager, Kubectl, KubeScheduler, Kubelet, Vault],
        }
    }

    pub(crate) fn spec(self) -> Spec {
        match self {
            Tool::Etcd => Spec {
                binary: "etcd",
                version: "v3.6.8",
                module: "etcd",
                package: "go.etcd.io/etcd/server/v3",
                variables: &[],
                seconds: 40,
                why: "stores what the API server is told",
                version_arguments: &["--version"],
            },
            Tool::KubeApiserver => kubernetes("kube-apiserver", 255, "is the Kubernetes API"),
            Tool::KubeControllerManager => {
                kubernetes("kube-controller-manager", 90, "rolls Deployments, collects garbage, ends namespaces")
            }
            Tool::Kubectl => kubernetes("kubectl", 40, "applies and reads Kubernetes objects"),
            Tool::KubeScheduler => kubernetes("kube-scheduler", 15, "puts pods on the node"),
            Tool::Kubelet => kubernetes("kubelet", 40, "runs pods on the node"),
            Tool::Vault => Spec {
                binary: "vault",
                version: "v1.21.1",
                module: "vault",
                package: "github.com/hashicorp/vault",
                variables: &[],
                seconds: 500,
                why: "holds the secrets",
                version_arguments: &["--version"],
            },
            Tool::Helm => Spec {
                binary: "helm",
                version: "v3.22.0",
                module: "helm",
                package: "helm.sh/helm/v3/cmd/helm",
                variables: HELM,
                seconds: 85,
                why: "installs the chart",
                version_arguments: &["version", "--short"],
            },
            Tool::Toxiproxy => Spec {
                binary: "toxiproxy-server",
                version: "v2.5.0",
                module: "toxiproxy",
                package: "github.com/Shopify/toxiproxy/v2/cmd/server",
                variables: &[],
                seconds: 15,
                why: "puts faults on connections",
                version_arguments: &["--version"],
            },
            Tool::VaultEvents => Spec {
                // Another name than that of the Vault that all other tests use.
                binary: "vault-events",
                version: "v1.15.0",
                module: "vault-events",
                package: "github.com/hashicorp/vault",
                variables: &[],
                seconds: 500,
                why: "has an event stream",
                version_arguments: &["--version"],
            },
        }
    }
}

fn kubernetes(binary: &'static str, seconds: u64, why: &'static str) -> Spec {
    Spec {
        binary,
        version: "v1.34.4",
        module: "kubernetes",
        package: match binary {
            "kube-apiserver" => "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager" => "k8s.io/kubernetes/cmd/kube-controller-manager",
            "kube-scheduler" => "k8s.io/kubernetes/cmd/kube-scheduler",
            "kubelet" => "k8s.io/kubernetes/cmd/kubelet",
            _ => "k8s.io/kubernetes/cmd/kubectl",
        },
        variables: KUBERNETES,
        seconds,
        why,
        version_arguments: match binary {
            "kubectl" => &["version", "--client"],
            _ => &["--version"],
        },
    }
}

/// Finds tools, and builds those that are nowhere to be found.
#[derive(Debug, Default)]
pub struct Tools {
    found: Mutex<HashMap<Tool, PathBuf>>,
}

impl Tools {
    /// Paths of several tools. All that are missing are announced before the first is built.
    pub fn ensure(&self, tools: &[Tool]) -> Result<()> {
        let missing: Vec<Tool> = tools.iter().copied().filter(|t| self.find(*t).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let cache = cache_dir()?;
        let seconds: u64 = missing.iter().map(|t| t.spec().seconds).sum();
        eprintln!(
            "testenv: {} of {} programs not found in $TESTENV_BIN, $KUBEBUILDER_ASSETS, PATH (in the right version) \
             or {}; built once from pinned Go modules, about {} on 2 cores:",
            missing.len(),
            tools.len(),
            cache.display(),
            go::human(seconds)
        );
        for tool in &missing {
            let spec = tool.spec();
            eprintln!(
                "testenv:   {:<24} {:<8} about {:<8} {}",
                spec.binary,
                spec.version,
                go::human(spec.seconds),
                spec.why
            );
        }
        for (index, tool) in missing.iter().enumerate() {
            let path = go::build(&tool.spec(), &cache, &format!("{} of {}", index + 1, missing.len()))?;
            self.remember(*tool, path);
        }
        Ok(())
    }

    /// Whether a tool is there and need not be built.
    pub fn has(&self, tool: Tool) -> bool {
        self.find(tool).is_some()
    }

    /// Path of one tool.
    pub fn path(&self, tool: Tool) -> Result<PathBuf> {
        self.ensure(&[tool])?;
        self.find(tool).with_context(|| format!("{} was built but is not there", tool.spec().binary))
    }

    /// Makes links to tools in a directory.
    pub(crate) fn link(&self, tools: &[Tool], dir: &Path) -> Result<()> {
        for tool in tools {
            let link = dir.join(tool.spec().binary);
            if !link.exists() {
                std::os::unix::fs::symlink(self.path(*tool)?, &link).with_context(|| link.display().to_string())?;
            }
        }
        Ok(())
    }

    fn remember(&self, tool: Tool, path: PathBuf) {
        if let Ok(mut found) = self.found.lock() {
            found.insert(tool, path);
        }
    }

    /// Looks for a tool in the order that the messages name, without building it.
    fn find(&self, tool: Tool) -> Option<PathBuf> {
        if let Some(path) = self.found.lock().ok().and_then(|found| found.get(&tool).cloned()) {
            return Some(path);
        }
        let spec = tool.spec();
        let chosen = ["TESTENV_BIN", "KUBEBUILDER_ASSETS"].iter().find_map(|variable| {
            let dir = std::env::var_os(variable).filter(|dir| !dir.is_empty())?;
            Some(PathBuf::from(dir).join(spec.binary)).filter(|path| is_executable(path))
        });
        let path = chosen
            .or_else(|| in_path(&spec))
            .or_else(|| Some(cached(&cache_dir().ok()?, &spec)).filter(|path| is_executable(path)))?;
        self.remember(tool, path.clone());
        Some(path)
    }
}

/// Where built programs are kept.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = variable("TESTENV_CACHE") {
        return std::path::absolute(PathBuf::from(dir)).context("TESTENV_CACHE");
    }
    if let Some(dir) = variable("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(dir).join("vso-testenv"));
    }
    let home = variable("HOME").context("set TESTENV_CACHE (or HOME) to a directory for built programs")?;
    Ok(PathBuf::from(home).join(".cache").join("vso-testenv"))
}

pub(crate) fn cached(cache: &Path, spec: &Spec) -> PathBuf {
    cache.join("bin").join(spec.binary).join(spec.version).join(spec.binary)
}

fn in_path(spec: &Spec) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(spec.binary))
        .find(|path| is_executable(path) && has_version(path, spec))
}

fn has_version(path: &Path, spec: &Spec) -> bool {
    let Ok(output) = Command::new(path).args(spec.version_arguments).output() else {
        return false;
    };
    names_version(&String::from_utf8_lossy(&output.stdout), spec.version)
}

/// Whether a text names a version, with or without the `v`, build metadata after a `+` allowed.
fn names_version(text: &str, version: &str) -> bool {
    let wanted = version.trim_start_matches('v');
    text.split(|c: char| c.is_whitespace() || c == ',')
        .any(|word| word.trim_start_matches('v').split('+').next() == Some(wanted))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::names_version;

    #[test]
    fn a_version_is_recognised_in_what_programs_print() {
        assert!(names_version("Kubernetes v1.34.4\n", "v1.34.4"));
        assert!(names_version("etcd Version: 3.6.8\nGit SHA: x\n", "v3.6.8"));
        assert!(names_version("v3.22.0+g144d2b4\n", "v3.22.0"));
        assert!(names_version("Vault v1.21.1 (2453aac2638a6ae243341b4e0657fd8aea1cbf18), built", "v1.21.1"));
        assert!(!names_version("Client Version: v1.34.40\n", "v1.34.4"));
        assert!(!names_version("Client Version: v1.28.2\nKustomize Version: v5", "v1.34.4"));
        assert!(!names_version("v1.34.4-rc.0", "v1.34.4"));
    }
}
