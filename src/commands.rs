//! The commands that do one thing and end: the hooks of the chart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::crd;
use crate::kubernetes::{self, ErrorKind, KubernetesError, RequestLimit, Scope};
use crate::settings::Settings;
use crate::telemetry::Metrics;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Kind, and its plural, whose service HashiCorp has ended. No VSO since 1.6 takes the finalizers off, so that the
/// objects, and their namespaces, can never be deleted. HCPAuth, which ended with it, never had any.
const ENDED: (&str, &str) = ("HCPVaultSecretsApp", "hcpvaultsecretsapps");

/// A conflict is tried again after this: another client is writing to the objects.
const AGAIN: Duration = Duration::from_millis(500);

/// `upgrade-crds`: applies the definitions that this build has, and releases what older ones left behind.
///
/// # Errors
/// If one of them is refused or not served in time.
pub async fn upgrade_crds(settings: &Settings, timeout: Duration) -> Result<(), Error> {
    let client = client(settings).await?;
    let end = Instant::now() + timeout;
    kubernetes::upgrade_crds(&client, &crd::all(), timeout, &mut progress)
        .await
        .map_err(|error| format!("failed to upgrade CRDs, err={error}"))?;
    // The definitions stay, and the objects with them. Now they can be deleted by a user who wants them gone.
    if let Err(error) = release(&client, ENDED, &[Scope::All], end).await {
        progress(format!("{} objects, if there are any, keep their finalizers: {error}", ENDED.0));
    }
    Ok(())
}

/// `uninstall`: takes the finalizers off all objects in all namespaces, so that they can be deleted without an
/// operator.
///
/// # Errors
/// If some still have theirs when the time is up.
pub async fn uninstall(settings: &Settings, timeout: Duration) -> Result<(), Error> {
    let client = client(settings).await?;
    let end = Instant::now() + timeout;
    let scopes = Scope::including(Scope::watched(&settings.watch_namespaces), &settings.operator_namespace);
    let definitions = crd::all();
    let served = definitions.iter().map(|d| (d.spec.names.kind.as_str(), d.spec.names.plural.as_str()));
    let mut failed = Vec::new();
    for kind in served.chain([ENDED]) {
        match release(&client, kind, &scopes, end).await {
            Ok(0) => {}
            Ok(left) => failed.push(format!("{left} {}", kind.1)),
            // Roles that came from elsewhere may have no right to it. Then there is nothing to be done here.
            Err(error) if kind == ENDED && error.kind == ErrorKind::Forbidden => {}
            Err(error) => failed.push(format!("{}: {error}", kind.1)),
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "finalizers are left ({}); run this again, or see `kubectl get <kind> -A -o yaml` for metadata.finalizers",
            failed.join(", ")
        )
        .into()),
    }
}

/// Releases a kind, again and again until nothing is left or the time is up. Gives how many are left.
async fn release(
    client: &kube::Client,
    kind: (&str, &str),
    scopes: &[Scope],
    end: Instant,
) -> Result<usize, KubernetesError> {
    let mut total = 0;
    loop {
        let released = kubernetes::remove_all_finalizers(client, kind, scopes, end, &mut progress).await?;
        total += released.objects;
        if released.left == 0 || Instant::now() + AGAIN >= end {
            if total > 0 || released.left > 0 {
                progress(format!("{}: finalizers taken off {total} objects, {} left", kind.1, released.left));
            }
            return Ok(released.left);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn client(settings: &Settings) -> Result<kube::Client, Error> {
    let metrics = Arc::new(Metrics::new(settings)?);
    kubernetes::connect(settings.kube.kubeconfig.as_deref(), RequestLimit::default(), metrics).await
}

/// Writes progress to the log of the hook.
fn progress(line: String) {
    println!("{line}");
}
