//! Logs: JSON lines on standard error, as VSO's.

use crate::settings::{LogEncoder, LogSettings};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Starts logging.
pub fn init(settings: LogSettings) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter(settings.level));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match settings.encoder {
        LogEncoder::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogEncoder::Console => registry.with(layer.compact()).try_init(),
    }
}

/// The operator's own lines, and warnings of the watches. No other library is logged, whatever the level: what they
/// write at debug and trace holds tokens and bodies.
fn filter(level: Level) -> Targets {
    Targets::new()
        .with_default(LevelFilter::OFF)
        .with_target("vso", level)
        .with_target("vault_secrets_operator", level)
        .with_target("kube_runtime", level.min(Level::WARN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_library_is_logged_below_a_warning() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
        let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let crates: Vec<String> = names.map(|name| name.replace('-', "_")).collect();
        assert!(crates.iter().any(|name| name == "aws_sigv4") && crates.len() > 100);
        let filter = filter(Level::TRACE);
        for name in crates.iter().filter(|name| *name != "vault_secrets_operator") {
            for target in [name.clone(), format!("{name}::inner")] {
                assert!(!filter.would_enable(&target, &Level::INFO), "{target}");
            }
        }
        assert!(filter.would_enable("vso::vault", &Level::TRACE));
        assert!(filter.would_enable("kube_runtime::watcher", &Level::WARN));
    }

    #[test]
    fn the_level_is_that_of_the_setting() {
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG] {
            let filter = filter(level);
            assert!(filter.would_enable("vso::sync", &level));
            assert!(!filter.would_enable("vso::sync", &Level::TRACE));
        }
        assert!(!filter(Level::ERROR).would_enable("kube_runtime", &Level::WARN));
    }
}
