//! Brings the definitions of the custom resources up to date.

use std::time::{Duration, Instant};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};

/// Applies definitions, server-side, and waits until the API server serves them. Nothing is ever deleted. `progress`
/// gets a line for each.
///
/// # Errors
/// The first definition that is refused, or is not served in time.
pub async fn upgrade_crds(
    client: &kube::Client,
    definitions: &[CustomResourceDefinition],
    timeout: Duration,
    progress: &mut dyn FnMut(String),
) -> Result<(), KubernetesError> {
    let end = Instant::now() + timeout;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        let name = definition.name_any();
        // The newest definition wins over other field managers: helm, kubectl and VSO wrote the fields before.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        loop {
            match with_timeout(&format!("apply {name}"), api.patch(&name, &params, &Patch::Apply(definition))).await {
                Ok(_) => break,
                Err(error) if error.kind == ErrorKind::Unavailable && Instant::now() < end => {
                    progress(format!("{error}; trying again"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error),
            }
        }
        progress(format!("applied {name}"));
    }
    for definition in definitions {
        let name = definition.name_any();
        loop {
            let found = with_timeout(&format!("get {name}"), api.get(&name)).await?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Established" && c.status == "True") {
                break;
            }
            if let Some(refused) = conditions.iter().find(|c| c.type_ == "NamesAccepted" && c.status == "False") {
                let why = refused.message.as_deref().unwrap_or("its names are taken");
                return Err(KubernetesError::new(ErrorKind::Conflict, format!("{name} is not served: {why}")));
            }
            if Instant::now() > end {
                let text = format!("{name} is not served after {} s", timeout.as_secs());
                return Err(KubernetesError::new(ErrorKind::Unavailable, text));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    progress(format!("{} definitions are served", definitions.len()));
    Ok(())
}
