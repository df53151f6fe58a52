//! Logs: JSON lines on standard error, as VSO's.

use crate::settings::{LogEncoder, LogSettings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Starts logging.
///
/// The libraries that carry requests to Vault are never logged, whatever the level: their debug output holds bodies.
pub fn init(settings: LogSettings) -> Result<(), TryInitError> {
    let level = settings.level;
    let filter = EnvFilter::new(format!(
        "{level},vaultrs=off,rustify=off,reqwest=off,hyper=warn,hyper_util=warn,rustls=off,\
         rustls_platform_verifier=off,tower=warn,kube=warn,kube_client::client=off"
    ));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match settings.encoder {
        LogEncoder::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogEncoder::Console => registry.with(layer.compact()).try_init(),
    }
}
