//! Unpacks programs from the packages of this machine's Debian into the cache, without root: apt-get fetches and checks
//! them, dpkg unpacks them, and nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::spec::DebianPackage;
use super::{is_executable, lock};
use crate::text::human;

/// Libraries that the programs load only to compile queries, which is turned off.
const NOT_NEEDED: [&str; 3] = ["libllvm", "libz3", "libedit"];

/// Whether this machine has such packages.
pub(super) fn is_usable() -> bool {
    ["apt-get", "dpkg-deb"].iter().all(|program| Command::new(program).arg("--version").output().is_ok())
}

/// The program of the newest major version, installed or unpacked.
pub(super) fn find(package: DebianPackage, binary: &str, cache: &Path) -> Option<PathBuf> {
    let newest = |root: &Path| {
        let dir = root.join(package.dir);
        let entries = fs::read_dir(&dir).ok()?.flatten();
        let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let programs = versions.map(|version| (version, dir.join(format!("{version}/bin/{binary}"))));
        programs.filter(|(_, path)| is_executable(path)).max().map(|(_, path)| path)
    };
    newest(Path::new("/")).or_else(|| newest(&target(package, cache)))
}

/// Unpacks a package, and all that it needs and this machine does not have.
pub(super) fn unpack(package: DebianPackage, cache: &Path) -> Result<()> {
    let name = package.name;
    if !is_usable() {
        bail!("{name} comes from Debian packages, which this machine has not; install it and put it on PATH");
    }
    let target = target(package, cache);
    let _lock = lock(&cache.join("packages.lock"))?;
    if target.exists() {
        return Ok(());
    }
    let started = Instant::now();
    let work = cache.join("packages").join(name);
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let unfinished = work.join("root");
    fs::create_dir_all(&unfinished).with_context(|| format!("making {}", unfinished.display()))?;
    let wanted = match missing(name) {
        Ok(wanted) => wanted,
        // A machine without lists of packages. Only root may fetch them.
        Err(_) if rustix::process::geteuid().is_root() => {
            run(Command::new("apt-get").args(["-qq", "-o", "DPkg::Lock::Timeout=300", "update"]))?;
            missing(name)?
        }
        Err(error) => return Err(error),
    };
    run(Command::new("apt-get").args(["-qq", "download"]).args(wanted).current_dir(&work))?;
    for entry in fs::read_dir(&work)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(entry.path()).arg(&unfinished))?;
        }
    }
    fs::create_dir_all(target.parent().context("a cache without a parent directory")?)?;
    fs::rename(&unfinished, &target).with_context(|| format!("naming {}", target.display()))?;
    fs::remove_dir_all(&work).with_context(|| work.display().to_string())?;
    eprintln!("testenv: unpacked {name} in {}", human(started.elapsed().as_secs()));
    Ok(())
}

fn target(package: DebianPackage, cache: &Path) -> PathBuf {
    cache.join("debian").join(package.name)
}

/// What apt-get would install, as `apt-get download` takes it.
fn missing(name: &str) -> Result<Vec<String>> {
    let mut command = Command::new("apt-get");
    command.args(["--simulate", "--no-install-recommends", "install", name]).env("LC_ALL", "C");
    let wanted = new_packages(&run(&mut command)?, name);
    if wanted.is_empty() {
        bail!("{name} is installed, but its programs are not where Debian puts them");
    }
    Ok(wanted)
}

/// The programs and the libraries among the packages that a simulation names, `package=version`. A package that it
/// would upgrade is there.
fn new_packages(simulation: &str, name: &str) -> Vec<String> {
    let lines = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    let new = lines.filter_map(|line| {
        let (package, rest) = line.split_once(' ')?;
        let version = rest.strip_prefix('(')?.split(' ').next()?;
        Some((package, version))
    });
    let wanted = new.filter(|(package, _)| {
        let is_program = package.starts_with(name) && package.ends_with(|c: char| c.is_ascii_digit());
        let is_library = package.starts_with("lib") && !package.ends_with("-perl");
        is_program || (is_library && !NOT_NEEDED.iter().any(|other| package.starts_with(other)))
    });
    wanted.map(|(package, version)| format!("{package}={version}")).collect()
}

fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::new_packages;

    #[test]
    fn programs_and_libraries_of_a_simulation() {
        let simulation = "\
The following NEW packages will be installed:
  libpq5 postgresql postgresql-15
Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u10 Debian:12/oldstable [amd64])
Inst libjson-perl (4.10000-1 Debian:12/oldstable [all])
Inst libpq5 (15.18-0+deb12u1 Debian:12/oldstable [amd64])
Inst libllvm14 (1:14.0.6-12 Debian:12/oldstable [amd64])
Inst postgresql-client-common (248+deb12u1 Debian:12/oldstable [all])
Inst postgresql-client-15 (15.18-0+deb12u1 Debian:12/oldstable [amd64]) []
Inst postgresql-15 (15.18-0+deb12u1 Debian:12/oldstable [amd64])
Inst postgresql (15+248+deb12u1 Debian:12/oldstable [all])
Conf libpq5 (15.18-0+deb12u1 Debian:12/oldstable [amd64])
";
        let wanted =
            ["libpq5=15.18-0+deb12u1", "postgresql-client-15=15.18-0+deb12u1", "postgresql-15=15.18-0+deb12u1"];
        assert_eq!(new_packages(simulation, "postgresql"), wanted);
    }
}
