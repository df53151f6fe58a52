//! The programs an environment is made of: where to look for them, and how to get those that are missing.

mod debian;
mod go;
mod python;
mod spec;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::text::human;
use spec::{Source, Spec};

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
    /// OpenBao, which needs no build. Optional.
    OpenBao,
    /// Installs charts.
    Helm,
    /// Puts faults on connections.
    Toxiproxy,
    /// The one Vault whose Community Edition has an event stream, with events of KV engines. Optional.
    VaultEvents,
    /// A Vault with an event stream and events of databases. Optional.
    VaultDatabaseEvents,
    /// PostgreSQL, with its other programs beside it. Optional.
    Postgresql,
}

impl Tool {
    /// All tools but the optional ones.
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

    /// What some tests need, and skip without. Nothing gets them unless they are asked for.
    pub const OPTIONAL: [Tool; 4] = [Tool::OpenBao, Tool::Postgresql, Tool::VaultEvents, Tool::VaultDatabaseEvents];

    /// What an environment runs beside its Vault or OpenBao.
    pub(crate) fn of_an_environment(with_node: bool) -> Vec<Tool> {
        let mut tools = vec![Tool::Etcd, Tool::KubeApiserver, Tool::KubeControllerManager, Tool::Kubectl];
        if with_node {
            tools.extend([Tool::KubeScheduler, Tool::Kubelet]);
        }
        tools
    }
}

/// Finds tools, and gets those that are nowhere to be found.
#[derive(Debug, Default)]
pub struct Tools {
    found: Mutex<HashMap<Tool, PathBuf>>,
}

impl Tools {
    /// Paths of several tools. All that are missing are announced before the first is unpacked or built.
    pub fn ensure(&self, tools: &[Tool]) -> Result<()> {
        let missing = tools.iter().filter(|tool| self.find(**tool).is_none());
        let missing: Vec<Spec> = missing.map(|tool| tool.spec()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let cache = cache_dir()?;
        fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
        let packages = python::is_usable();
        let seconds = missing.iter().map(|spec| spec.seconds(packages)).sum();
        eprintln!(
            "testenv: {} of {} programs not found in $TESTENV_BIN, $KUBEBUILDER_ASSETS, PATH (in the right version) \
             or {}; unpacked or built once, about {} on 2 cores:",
            missing.len(),
            tools.len(),
            cache.display(),
            human(seconds)
        );
        for spec in &missing {
            eprintln!("testenv:   {:<24} {:<26} {}", spec.binary, spec.origin(packages), spec.why);
        }
        let rest = if packages { unpack(missing, &cache)? } else { missing };
        let (debian, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|spec| spec.debian().is_some());
        for package in debian.iter().filter_map(Spec::debian) {
            debian::unpack(package, &cache)?;
        }
        build(&rest, &cache)
    }

    /// Whether a tool is there, or this machine has what gets it.
    pub fn is_available(&self, tool: Tool) -> bool {
        self.has(tool) || tool.spec().debian().is_none() || debian::is_usable()
    }

    /// Whether a tool is there, and need not be unpacked or built.
    pub fn has(&self, tool: Tool) -> bool {
        self.find(tool).is_some()
    }

    /// Path of one tool.
    pub fn path(&self, tool: Tool) -> Result<PathBuf> {
        self.ensure(&[tool])?;
        self.find(tool).with_context(|| format!("{} is not where it was put", tool.spec().binary))
    }

    /// Makes links to tools in a directory.
    pub(crate) fn link(&self, tools: &[Tool], dir: &Path) -> Result<()> {
        for tool in tools {
            let link = dir.join(tool.spec().binary);
            match std::os::unix::fs::symlink(self.path(*tool)?, &link) {
                // Another thread has made it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                made => made.with_context(|| link.display().to_string())?,
            }
        }
        Ok(())
    }

    fn remember(&self, tool: Tool, path: PathBuf) {
        if let Ok(mut found) = self.found.lock() {
            found.insert(tool, path);
        }
    }

    /// Looks for a tool in the order that the messages name, without getting it.
    fn find(&self, tool: Tool) -> Option<PathBuf> {
        if let Some(path) = self.found.lock().ok().and_then(|found| found.get(&tool).cloned()) {
            return Some(path);
        }
        let spec = tool.spec();
        let chosen = ["TESTENV_BIN", "KUBEBUILDER_ASSETS"].iter().find_map(|variable| {
            let dir = std::env::var_os(variable).filter(|dir| !dir.is_empty())?;
            Some(PathBuf::from(dir).join(spec.binary)).filter(|path| is_executable(path))
        });
        let path = chosen.or_else(|| in_path(&spec)).or_else(|| {
            let cache = cache_dir().ok()?;
            if let Some(package) = spec.debian() {
                return debian::find(package, spec.binary, &cache);
            }
            let versions = spec.sources.iter().filter_map(Source::version);
            versions.map(|version| spec.cached(&cache, version)).find(|path| is_executable(path))
        })?;
        self.remember(tool, path.clone());
        Some(path)
    }
}

/// Unpacks the tools that a package has, and returns the others. A package that cannot be had is no error where there
/// is a Go module as well.
fn unpack(missing: Vec<Spec>, cache: &Path) -> Result<Vec<Spec>> {
    let mut packages = BTreeMap::<_, Vec<_>>::new();
    for spec in &missing {
        if let Some(package) = spec.package() {
            packages.entry(package.requirements).or_default().push((spec, package));
        }
    }
    for wanted in packages.values() {
        if let Err(error) = python::unpack(wanted, cache) {
            if wanted.iter().any(|(spec, _)| spec.module().is_none()) {
                return Err(error);
            }
            eprintln!("testenv: {error:#}\ntestenv: built from Go modules instead");
        }
    }
    let there = |spec: &Spec| spec.package().is_some_and(|package| is_executable(&spec.cached(cache, package.version)));
    Ok(missing.into_iter().filter(|spec| !there(spec)).collect())
}

/// Builds tools, those of one module together.
fn build(missing: &[Spec], cache: &Path) -> Result<()> {
    let mut modules: Vec<(&str, Vec<_>)> = Vec::new();
    for spec in missing {
        let Some(module) = spec.module() else {
            bail!("{} comes as a Python package and needs `python3 -m pip`", spec.binary);
        };
        match modules.iter_mut().find(|(name, _)| *name == module.module) {
            Some((_, wanted)) => wanted.push((spec, module)),
            None => modules.push((module.module, vec![(spec, module)])),
        }
    }
    for (index, (_, wanted)) in modules.iter().enumerate() {
        go::build(wanted, cache, &format!("{} of {}", index + 1, modules.len()))?;
    }
    Ok(())
}

/// The directory that pins a module or a package.
fn manifests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(name)
}

/// Waits for other processes that do the same work, until the file is dropped.
fn lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("testenv: waiting for another process that does this work (lock {})", path.display());
        file.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(file)
}

/// Where programs are kept.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = variable("TESTENV_CACHE") {
        return std::path::absolute(PathBuf::from(dir)).context("TESTENV_CACHE");
    }
    if let Some(dir) = variable("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(dir).join("vso-testenv"));
    }
    let home = variable("HOME").context("set TESTENV_CACHE (or HOME) to a directory for programs")?;
    Ok(PathBuf::from(home).join(".cache").join("vso-testenv"))
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
    let text = String::from_utf8_lossy(&output.stdout);
    let fits = |source: &Source| source.version().is_none_or(|version| names_version(&text, version));
    output.status.success() && spec.sources.iter().any(fits)
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
        assert!(names_version("OpenBao v2.7.2 (9e0a0d3c), committed 2026-10-26T20:32:27Z", "v2.7.2"));
        assert!(names_version("Vault v1.21.1 (2453aac2638a6ae243341b4e0657fd8aea1cbf18), built", "v1.21.1"));
        assert!(!names_version("Client Version: v1.34.40\n", "v1.34.4"));
        assert!(!names_version("Client Version: v1.28.2\nKustomize Version: v5", "v1.34.4"));
        assert!(!names_version("v1.34.4-rc.0", "v1.34.4"));
    }
}
