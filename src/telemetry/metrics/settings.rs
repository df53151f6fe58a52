//! What never changes while the process runs: the build, and its settings.

use std::time::Duration;

use prometheus::Error;

use super::register::Register;
use crate::gocompat::GoDuration;
use crate::settings::Settings;
use crate::version::VERSION;

/// Registers `vso_build_info` and `vso_runtime_config`, whose values are always 1.
pub(super) fn register(register: &Register<'_>, settings: &Settings) -> Result<(), Error> {
    let v = &VERSION;
    let build = [
        ("major", v.major),
        ("minor", v.minor),
        ("git_version", v.git_version),
        ("git_commit", v.git_commit),
        ("git_tree_state", v.git_tree_state),
        ("build_date", v.build_date),
        ("go_version", v.go_version),
        ("compiler", v.compiler),
        ("platform", v.platform),
    ];
    constant(register, "vso_build_info", "Always 1; the labels say what runs.", &build)?;

    let (backoff, global) = (&settings.backoff, &settings.global);
    let option = |on: bool, name: &'static str| if on { name } else { "" };
    let config = [
        ("backoffInitialInterval", go(backoff.initial)),
        ("backoffMaxInterval", go(backoff.max)),
        ("backoffMaxElapsedTime", go(backoff.max_elapsed)),
        ("backoffMultiplier", format!("{:.2}", backoff.multiplier)),
        ("backoffRandomizationFactor", format!("{:.2}", backoff.randomization)),
        ("clientCachePersistenceModel", settings.persistence.as_str().to_owned()),
        ("clientCacheSize", settings.session_limit.to_string()),
        ("globalTransformationOptions", option(global.exclude_raw, "exclude-raw").to_owned()),
        ("globalVaultAuthOptions", option(global.allow_default_globals, "allow-default-globals").to_owned()),
        ("maxConcurrentReconciles", settings.max_concurrent_reconciles.to_string()),
    ];
    let config: Vec<(&str, &str)> = config.iter().map(|(name, value)| (*name, value.as_str())).collect();
    constant(register, "vso_runtime_config", "Always 1; the labels say with which settings it runs.", &config)
}

/// The duration as Go prints it.
fn go(duration: Duration) -> String {
    GoDuration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)).to_string()
}

fn constant(register: &Register<'_>, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<(), Error> {
    let (names, values): (Vec<&str>, Vec<&str>) = labels.iter().copied().unzip();
    register.gauges(name, help, &names)?.with_label_values(&values).set(1);
    Ok(())
}
