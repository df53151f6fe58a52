//! From the data of the stores to what the Secret holds and carries.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::ExternalSecrets;
use crate::api::external_secrets::ExternalSecret;
use crate::api::external_secrets::target::Template;
use crate::controllers::render_turns::{TURN_RETRY_DELAY, Turn};
use crate::controllers::store_failure::{StoreFailure, StoreInterruption};
use crate::external_secret::template::{self, CompiledTemplate, Fetched, Rendered, SourceKind, TemplateError};
use crate::external_secret::{Data, decode};
use crate::kubernetes::{KubernetesError, SecretWriter, config_map_data};

impl ExternalSecrets {
    /// The template of an object, if it has one, with the texts that it takes from other objects. Compiled, unless it
    /// still is.
    pub(super) async fn template(
        &self,
        object: &ExternalSecret,
    ) -> Result<Option<Arc<CompiledTemplate>>, StoreInterruption> {
        let Some(spec) = &object.spec.target.template else { return Ok(None) };
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        let fetched = texts(&self.access.outputs.client, namespace, spec).await?;
        if let Some(template) = self.templates.in_use(spec, &fetched) {
            return Ok(Some(template));
        }
        let (cache, spec) = (self.templates.clone(), spec.clone());
        let turn = self.turn(object)?;
        let template = turn.run(move || cache.get(&spec, &fetched)).await.unwrap_or_else(|| Err(cut_off()));
        Ok(Some(template.map_err(|error| failed(&error))?))
    }

    pub(super) fn turn(&self, object: &ExternalSecret) -> Result<Turn, StoreInterruption> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        self.turns.take(namespace).ok_or(StoreInterruption::Later(TURN_RETRY_DELAY))
    }

    /// Makes what the Secret holds and carries.
    pub(super) async fn render(
        &self,
        object: &ExternalSecret,
        data: Data,
        template: Option<Arc<CompiledTemplate>>,
    ) -> Result<Rendered, StoreInterruption> {
        let Some(template) = template else {
            let meta = &object.metadata;
            let own = |map: &Option<BTreeMap<String, String>>| map.clone().unwrap_or_default();
            return Ok(Rendered { data, labels: own(&meta.labels), annotations: own(&meta.annotations), type_: None });
        };
        let work = move || template.render_within_limits(&data, decode::of_template);
        let rendered = self.turn(object)?.run(work).await.unwrap_or_else(|| Err(cut_off()));
        Ok(rendered.map_err(|error| failed(&error))?)
    }
}

/// The texts that a template takes from other objects.
pub(in crate::controllers) async fn texts(
    client: &kube::Client,
    namespace: &str,
    spec: &Template,
) -> Result<Fetched, StoreFailure> {
    let mut fetched = Fetched::new();
    for (kind, name) in template::sources(spec) {
        let failed = |what: &str, why: String| {
            StoreFailure::new(format!("could not apply template: {what} {name:?} in namespace {namespace:?}: {why}"))
        };
        let missing = || "it does not exist".to_owned();
        let text = |error: KubernetesError| error.to_string();
        let data = match kind {
            SourceKind::ConfigMap => {
                let found =
                    config_map_data(client, namespace, &name).await.map_err(|e| failed("ConfigMap", text(e)))?;
                let found = found.ok_or_else(|| failed("ConfigMap", missing()))?;
                found.into_iter().map(|(key, text)| (key, text.into_bytes())).collect()
            }
            SourceKind::Secret => {
                let found = SecretWriter::new(client, namespace).get(&name).await;
                let found = found.map_err(|e| failed("Secret", text(e)))?;
                let found = found.ok_or_else(|| failed("Secret", missing()))?;
                found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
            }
        };
        fetched.insert((kind, name), data);
    }
    Ok(fetched)
}

/// A digest over all that decides what the Secret has to be, but for what it holds from others. Equal digests mean that
/// nothing has to be written, even where a template draws something at random.
pub(super) fn inputs(object: &ExternalSecret, data: &Data, template: Option<&CompiledTemplate>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(&serde_json::to_vec(&object.spec.target).unwrap_or_default());
    let meta = &object.metadata;
    add(&serde_json::to_vec(&(&meta.uid, &meta.labels, &meta.annotations)).unwrap_or_default());
    add(template.map(|template| template.id().as_slice()).unwrap_or_default());
    for (key, value) in data {
        add(key.as_bytes());
        add(value);
    }
    hash.finalize().into()
}

pub(in crate::controllers) fn failed(error: &TemplateError) -> StoreFailure {
    StoreFailure::new(format!("could not apply template: could not execute template: {error}"))
}

pub(in crate::controllers) fn cut_off() -> TemplateError {
    TemplateError::Limit("a template could not be run to its end".to_owned())
}
