//! Builds one tool from its pinned Go module into the cache.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools::{Spec, cached};

const NEEDED: &str = "1.26";
/// From this version on, Go fetches a newer toolchain, as a Go module, when a module asks for one.
const LEAST: (u32, u32) = (1, 21);

/// Builds a tool, unless another process has done it in the meantime, and returns its path.
pub(crate) fn build(spec: &Spec, cache: &Path, count: &str) -> Result<PathBuf> {
    let target = cached(cache, spec);
    let dir = target.parent().context("a cache without a parent directory")?;
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let _lock = lock(cache, spec)?;
    if target.exists() {
        eprintln!("testenv: {} has been built by the other process", spec.binary);
        return Ok(target);
    }
    check_toolchain()?;
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".unfinished-") {
            fs::remove_file(entry.path())?;
        }
    }

    let log_path = dir.join("build.log");
    let log = File::create(&log_path).with_context(|| format!("writing {}", log_path.display()))?;
    let started = Instant::now();
    eprintln!(
        "testenv: building {} {} ({count}), about {}; log {}",
        spec.binary,
        spec.version,
        human(spec.seconds),
        log_path.display()
    );
    // Renamed when it is complete. What an interrupted build has compiled is in Go's own build cache.
    let unfinished = dir.join(format!(".unfinished-{}", std::process::id()));
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(spec.module);
    let mut child = Command::new("go")
        .args(["build", "-mod=readonly", "-trimpath", "-ldflags", &linker_flags(spec), "-o"])
        .arg(&unfinished)
        .arg(spec.package)
        .current_dir(&module)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
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
            eprintln!("testenv:   still at {}, {}", spec.binary, human(started.elapsed().as_secs()));
        }
    };
    if !status.success() {
        bail!(
            "building {} failed ({status}); its messages, also in {}:\n{}",
            spec.binary,
            log_path.display(),
            tail(&log_path, 15)
        );
    }
    fs::rename(&unfinished, &target).with_context(|| format!("naming {}", target.display()))?;
    eprintln!("testenv: built {} in {}", spec.binary, human(started.elapsed().as_secs()));
    Ok(target)
}

fn linker_flags(spec: &Spec) -> String {
    let mut flags = String::from("-s -w");
    for variable in spec.variables {
        flags.push_str(" -X ");
        flags.push_str(variable);
    }
    flags
}

/// One build at a time: Go uses all cores by itself, and two links of this size want more memory than a laptop has.
fn lock(cache: &Path, spec: &Spec) -> Result<File> {
    let path = cache.join("build.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("testenv: waiting for another process that builds (lock {}), then {}", path.display(), spec.binary);
        file.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(file)
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

/// The last lines of a log file, for an error message.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Seconds as a person says them.
pub(crate) fn human(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("{seconds} s"),
        _ => format!("{} min", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::{human, toolchain};

    #[test]
    fn toolchain_versions() {
        assert_eq!(toolchain("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(toolchain("go version go1.19.8 linux/amd64"), Some((1, 19)));
        assert_eq!(toolchain("go version devel +abc"), None);
    }

    #[test]
    fn durations() {
        assert_eq!(human(90), "90 s");
        assert_eq!(human(500), "8 min");
    }
}
