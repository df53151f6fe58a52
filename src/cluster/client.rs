//! The connection to the API server.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

/// Connects with a kubeconfig if one is named, else with the service account of the pod, else as `kubectl` would.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<kube::Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    // kube would repeat a request for up to 1,000 s inside one call. Here the queue decides when to try again.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    // For lists and the start of watches, which have no limit of their own: a connection that died without a word would
    // hold them until the kernel gives up. Longer than a watch lives, so that none is cut for being quiet.
    config.read_timeout = Some(Duration::from_secs(300));
    config.reset_reader_on_write = true;
    Ok(kube::Client::try_from(config)?)
}

/// The namespace of the pod this runs in, if it runs in one.
pub fn in_cluster_namespace() -> Option<String> {
    let text = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok()?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}
