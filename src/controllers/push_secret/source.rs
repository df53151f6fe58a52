//! What is pushed: the Secrets of a PushSecret, and what its template makes of them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::core::Selector;
use sha2::{Digest as _, Sha256};

use super::PushSecrets;
use super::state::State;
use crate::api::external_secrets::PushSecret;
use crate::controllers::external_secret::render;
use crate::controllers::render_turns::TURN_RETRY_DELAY;
use crate::controllers::store_failure::{StoreFailure, StoreInterruption};
use crate::external_secret::decode;
use crate::external_secret::push::{Expansion, PushSource, PushStore, expand};
use crate::external_secret::template::Fetched;
use crate::kubernetes::SecretWriter;

/// So many Secrets are pushed by one object at most.
const MAX_SOURCES: u32 = 100;
/// What they hold may be so large together.
const MAX_SOURCE_BYTES: usize = 8 << 20;

/// All that is pushed, before templates.
pub(super) struct Inputs {
    pub sources: Vec<PushSource>,
    texts: Fetched,
    /// Over the Secrets, the texts of templates and the object.
    pub digest: [u8; 32],
}

/// What was made of it.
pub(super) struct Made {
    /// Of each store.
    pub expansions: Vec<Expansion>,
    /// Whether equal inputs may give something else each time.
    pub is_volatile: bool,
}

impl PushSecrets {
    /// Reads what is pushed. `None`: there is no such Secret.
    ///
    /// What a generator has made stands for the Secret.
    pub(super) async fn inputs(
        &self,
        object: &PushSecret,
        generated: Option<PushSource>,
    ) -> Result<Result<Inputs, String>, StoreFailure> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        let client = &self.access.outputs.client;
        let sources = match generated {
            Some(generated) => vec![generated],
            None => match self.sources(object, namespace).await? {
                Ok(sources) => sources,
                Err(missing) => return Ok(Err(missing)),
            },
        };
        let texts = match &object.spec.template {
            Some(template) => render::texts(client, namespace, template).await?,
            None => Fetched::new(),
        };
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let meta = &object.metadata;
        add(&serde_json::to_vec(&(&object.spec, &meta.uid, &meta.labels, &meta.annotations)).unwrap_or_default());
        for source in &sources {
            add(&serde_json::to_vec(&(&source.name, &source.type_, &source.labels, &source.annotations))
                .unwrap_or_default());
            add(&source.data.len().to_be_bytes());
            for (key, value) in &source.data {
                add(key.as_bytes());
                add(value);
            }
        }
        for ((kind, name), data) in &texts {
            add(format!("{kind:?} {name}").as_bytes());
            for (key, value) in data {
                add(key.as_bytes());
                add(value);
            }
        }
        Ok(Ok(Inputs { sources, texts, digest: hash.finalize().into() }))
    }

    async fn sources(
        &self,
        object: &PushSecret,
        namespace: &str,
    ) -> Result<Result<Vec<PushSource>, String>, StoreFailure> {
        let secrets = SecretWriter::new(&self.access.outputs.client, namespace);
        let failed = |why: String| StoreFailure::new(format!("could not get source secret: {why}"));
        let of = object.spec.selector.secret.as_ref();
        let (names, missing) = match of.map(|secret| (secret.name.as_ref(), &secret.selector)) {
            Some((Some(name), _)) => (vec![name.clone()], format!("Secret {namespace}/{name} does not exist")),
            Some((None, Some(selector))) => {
                let names = secrets.names_selected(selector, MAX_SOURCES).await;
                let shown = Selector::try_from(selector.clone()).map_or_else(|_| String::new(), |s| s.to_string());
                let missing = format!("no Secret in namespace {namespace} has the labels {shown}");
                (names.map_err(|error| failed(error.to_string()))?, missing)
            }
            _ => return Err(failed("spec.selector.secret has neither name nor selector".to_owned()).until_changed()),
        };
        if names.len() > MAX_SOURCES as usize {
            return Err(failed(format!("the selector selects more than {MAX_SOURCES} Secrets")));
        }
        let (mut sources, mut bytes) = (vec![], 0);
        // One after the other: what is too large together is never in memory together.
        for name in names {
            // One of several may be gone by now.
            let found = secrets.get(&name).await.map_err(|error| failed(error.to_string()))?;
            let Some(source) = found.map(source) else { continue };
            bytes += source.data.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            if bytes > MAX_SOURCE_BYTES {
                let text = format!("the Secrets hold more than {} MiB together", MAX_SOURCE_BYTES >> 20);
                return Err(failed(text));
            }
            sources.push(source);
        }
        Ok(if sources.is_empty() { Err(missing) } else { Ok(sources) })
    }

    /// Makes what is pushed to each of the stores.
    pub(super) async fn make(
        &self,
        object: &Arc<PushSecret>,
        inputs: Inputs,
        stores: Vec<PushStore>,
        state: &mut State,
    ) -> Result<Made, StoreInterruption> {
        let Inputs { sources, texts, .. } = inputs;
        let share = |sources: Vec<PushSource>| sources.into_iter().map(Arc::new).collect::<Vec<_>>();
        if object.spec.template.is_none() && object.spec.data_to.is_empty() {
            let expansions = expand(&object.spec, &share(sources), &stores).map_err(StoreFailure::new)?;
            return Ok(Made { expansions, is_volatile: false });
        }
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        let turn = self.turns.take(namespace).ok_or(StoreInterruption::Later(TURN_RETRY_DELAY))?;
        let (templates, of) = (self.templates.clone(), object.clone());
        let work = move || {
            let mut made = vec![];
            let template = of.spec.template.as_ref().map(|template| templates.get(template, &texts)).transpose()?;
            for source in sources {
                let source = match &template {
                    Some(template) => {
                        let rendered = template.render_within_limits(&source.data, decode::of_template)?;
                        source.with(rendered)
                    }
                    None => source,
                };
                made.push(source);
            }
            Ok((expand(&of.spec, &share(made), &stores), template))
        };
        let made = turn.run(work).await.unwrap_or_else(|| Err(render::cut_off()));
        let (expansions, template) = made.map_err(|error| render::failed(&error))?;
        let expansions = expansions.map_err(StoreFailure::new)?;
        let is_volatile = template.as_ref().is_some_and(|template| template.is_volatile());
        state.template = template;
        Ok(Made { expansions, is_volatile })
    }
}

fn source(secret: Secret) -> PushSource {
    let meta = secret.metadata;
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    let name = meta.name.unwrap_or_default();
    let (labels, annotations) = (meta.labels.unwrap_or_default(), meta.annotations.unwrap_or_default());
    PushSource::new(name, data, labels, annotations, secret.type_)
}
