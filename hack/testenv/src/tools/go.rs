//! Builds programs from a pinned Go module into the cache.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::spec::{AdaptedFile, GoModule, Spec};
use super::{lock, manifests};
use crate::text::{human, tail};

const NEEDED: &str = "1.26";
/// From this version on, Go fetches a newer toolchain, as a Go module, when a module asks for one.
const LEAST: (u32, u32) = (1, 21);

/// Builds all these programs, which come from one module, unless another process has done it in the meantime. One run
/// of Go for all of them compiles what they share once, and links one while it compiles the next.
pub(super) fn build(wanted: &[(&Spec, GoModule)], cache: &Path, count: &str) -> Result<()> {
    let Some((_, GoModule { version, module, variables, adapted, .. })) = wanted.first() else { return Ok(()) };
    let names = wanted.iter().map(|(spec, _)| spec.binary).collect::<Vec<_>>().join(", ");
    // Go uses all cores by itself.
    let _lock = lock(&cache.join("build.lock"))?;
    if wanted.iter().all(|(spec, module)| spec.cached(cache, module.version).exists()) {
        eprintln!("testenv: {names}: built by another process");
        return Ok(());
    }
    check_toolchain()?;

    let work = cache.join("builds").join(module);
    // Renamed when it is complete. What an interrupted build has compiled is in Go's own build cache.
    let unfinished = work.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(&unfinished).with_context(|| format!("making {}", unfinished.display()))?;
    let overlay = adapted.map(|file| overlay(file, module, &work)).transpose()?;
    let log_path = work.join("build.log");
    let log = File::create(&log_path).with_context(|| format!("writing {}", log_path.display()))?;
    let seconds = wanted.iter().map(|(_, module)| module.seconds).sum();
    eprintln!("testenv: building {names} {version} ({count}), about {}; log {}", human(seconds), log_path.display());
    let started = Instant::now();
    let mut child = Command::new("go")
        .args(["build", "-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false"])
        .args(overlay.iter().flat_map(|path| [OsStr::new("-overlay"), path.as_os_str()]))
        .args(["-ldflags", &linker_flags(variables), "-o"])
        .arg(format!("{}/", unfinished.display()))
        .args(wanted.iter().map(|(_, module)| module.package))
        .current_dir(manifests(module))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        // The compiler and the linker spend a tenth less time at the cost of some hundred megabytes.
        .env("GOGC", "400")
        .env_remove("GOFLAGS")
        .env_remove("GOOS")
        .env_remove("GOARCH")
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting go build")?;
    let mut told = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            eprintln!("testenv:   still at {names}, {}", human(started.elapsed().as_secs()));
        }
    };
    if !status.success() {
        bail!(
            "building {names} failed ({status}); its messages, also in {}:\n{}",
            log_path.display(),
            tail(&log_path, 15)
        );
    }
    for (spec, module) in wanted {
        let target = spec.cached(cache, module.version);
        fs::create_dir_all(target.parent().context("a cache without a parent directory")?)?;
        fs::rename(unfinished.join(executable(module.package)), &target)
            .with_context(|| format!("naming {}", target.display()))?;
    }
    eprintln!("testenv: built {names} in {}", human(started.elapsed().as_secs()));
    Ok(())
}

/// Makes a file for the build, and returns the file that tells Go to take it for a part of the module.
fn overlay(file: AdaptedFile, module: &str, work: &Path) -> Result<PathBuf> {
    let AdaptedFile { pinned_by, module: source, path, replacements } = file;
    let mut command = Command::new("go");
    command.args(["mod", "download", "-json", source]).current_dir(manifests(pinned_by)).env("GOWORK", "off");
    let output = command.env_remove("GOFLAGS").output().context("starting go mod download")?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).context("the answer of go mod download")?;
    let dir = answer["Dir"].as_str().with_context(|| format!("{source} cannot be had: {answer}"))?;
    let original = Path::new(dir).join(path);
    let mut text = fs::read_to_string(&original).with_context(|| original.display().to_string())?;
    for (old, new) in replacements {
        if !text.contains(old) {
            bail!("{} has no {old:?} any more", original.display());
        }
        text = text.replace(old, new);
    }
    let name = original.file_name().context("a path without a name")?;
    let adapted = work.join(name);
    fs::write(&adapted, text).with_context(|| adapted.display().to_string())?;
    let replaced = manifests(module).join(name);
    let overlay = work.join("overlay.json");
    let replace = serde_json::json!({ "Replace": { replaced.display().to_string(): adapted } });
    fs::write(&overlay, replace.to_string()).with_context(|| overlay.display().to_string())?;
    Ok(overlay)
}

/// How Go calls the program of a package: by the last element of its path that is not a major version.
fn executable(package: &str) -> &str {
    let is_version = |element: &str| {
        element.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
    };
    package.rsplit('/').find(|element| !is_version(element)).unwrap_or(package)
}

fn linker_flags(variables: &[&str]) -> String {
    let mut flags = String::from("-s -w");
    for variable in variables {
        flags.push_str(" -X ");
        flags.push_str(variable);
    }
    flags
}

fn check_toolchain() -> Result<()> {
    let advice = format!(
        "install Go {NEEDED} or later (https://go.dev/doc/install, or your distribution's package if it is that new) \
         and put its `go` on PATH; or point TESTENV_BIN at a directory that has the programs"
    );
    let output = match Command::new("go").arg("version").output() {
        Ok(output) => output,
        Err(error) => bail!("no Go toolchain ({error}): {advice}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match toolchain(&text) {
        Some(version) if version >= LEAST => Ok(()),
        _ => bail!("`go version` says {:?}, which is too old: {advice}", text.trim()),
    }
}

fn toolchain(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
    let minor: String = word.chars().take_while(char::is_ascii_digit).collect();
    Some((1, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{executable, toolchain};

    #[test]
    fn toolchain_versions() {
        assert_eq!(toolchain("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(toolchain("go version go1.19.8 linux/amd64"), Some((1, 19)));
        assert_eq!(toolchain("go version devel +abc"), None);
    }

    #[test]
    fn go_calls_a_program_by_its_package() {
        assert_eq!(executable("k8s.io/kubernetes/cmd/kubelet"), "kubelet");
        assert_eq!(executable("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(executable("github.com/hashicorp/vault"), "vault");
    }
}
