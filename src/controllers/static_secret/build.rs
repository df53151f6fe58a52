//! Step 6 of a run: from the answer of Vault to the data of the Secret and its MAC.

use std::sync::Arc;

use super::{Failure, Retry, Runtime, untouched};
use crate::api::VaultStaticSecret;
use crate::cluster::SecretWriter;
use crate::controllers::Context;
use crate::render::{self, Input, Recipe, RenderError, SecretData, SourceData, TemplateText};
use crate::resolve::Plan;
use crate::sync;

/// The data that was made.
pub(super) struct Data {
    pub data: SecretData,
    pub mac: String,
    /// The MAC that upstream records for this data, where it is another.
    pub upstream_mac: Option<String>,
    /// Digest of all that the data was made of, where the same would not give the same data again.
    pub inputs: Option<String>,
}

/// What there is for the Secret.
pub(super) enum Made {
    /// This.
    Data(Data),
    /// What it has: it was made of the same by this process, and is as it was. The MAC of it.
    Same(String),
}

/// The filters and templates of the plan, compiled unless they still are.
pub(super) fn recipe(context: &Context, plan: &Plan, runtime: &mut Runtime) -> Result<Arc<Recipe>, Failure> {
    let gathered = &plan.transformation;
    let templates = gathered.templates.iter();
    let templates = templates.map(|t| TemplateText { key: t.key.as_deref(), name: &t.name, text: &t.text });
    let templates: Vec<_> = templates.collect();
    let recipe = context.recipes.get(&templates, &gathered.includes, &gathered.excludes);
    // Nothing but a change of what was gathered makes it good, and that is watched.
    let recipe = recipe.map_err(|error| Failure { retry: Retry::WhenChanged, ..failure(error) })?;
    runtime.recipe = Some(recipe.clone());
    Ok(recipe)
}

/// Makes the data, or finds that what is there was made of the same.
pub(super) async fn build(
    context: &Context,
    object: &Arc<VaultStaticSecret>,
    recipe: Arc<Recipe>,
    source: SourceData,
    runtime: &mut Runtime,
) -> Result<Made, Failure> {
    let spec = &object.spec;
    let exclude_raw = spec.destination.transformation.exclude_raw || context.settings.global.exclude_raw;
    let mut digest = None;
    if recipe.is_volatile() {
        let fingerprint = input(object, &source, exclude_raw).fingerprint();
        let recipe = hex::encode(recipe.id());
        let texts = fingerprint.iter().chain([&recipe]).map(String::as_str);
        let inputs = context.mac_key.key.mac_of_texts(texts);
        if let Some(made) = kept(context, object, &inputs, runtime).await? {
            return Ok(made);
        }
        digest = Some(inputs);
    }
    let built = if recipe.has_templates() {
        // A template may take as long as its limits let it: not on a thread that others wait for.
        let (object, recipe) = (object.clone(), recipe.clone());
        let _permit = context.renders.acquire().await;
        let work = move || render::build(&input(&object, &source, exclude_raw), &recipe);
        match tokio::task::spawn_blocking(work).await {
            Ok(built) => built,
            Err(_) => Err(RenderError::Template("a template could not be run to its end".into())),
        }
    } else {
        render::build(&input(object, &source, exclude_raw), &recipe)
    };
    let built = built.map_err(failure)?;
    let mac = context.mac_key.key.mac(&built.data);
    let upstream_mac = (!built.nil.is_empty()).then(|| context.mac_key.key.mac_with_nil(&built.data, &built.nil));
    Ok(Made::Data(Data { data: built.data, mac, upstream_mac, inputs: digest }))
}

fn input<'a>(object: &'a VaultStaticSecret, source: &'a SourceData, exclude_raw: bool) -> Input<'a> {
    Input {
        source,
        exclude_raw,
        labels: object.metadata.labels.as_ref(),
        annotations: object.metadata.annotations.as_ref(),
    }
}

/// What the Secret has, if that was made of the same inputs: a salt, or a random number, is not drawn again for nothing.
async fn kept(
    context: &Context,
    object: &VaultStaticSecret,
    inputs: &str,
    runtime: &Runtime,
) -> Result<Option<Made>, Failure> {
    let destination = &object.spec.destination;
    let known = runtime.rendered.as_ref().filter(|known| known.inputs == inputs);
    let applied = object.status.as_ref().map_or(0, |s| s.last_generation);
    if let Some(known) = known
        && destination.create
        && runtime.applied.as_ref().is_some_and(|a| a.mac == known.mac)
        && object.metadata.generation == Some(applied)
        && untouched(context, object, runtime)
    {
        return Ok(Some(Made::Same(known.mac.clone())));
    }
    let writer = SecretWriter::new(&context.client, object.metadata.namespace.as_deref().unwrap_or(""));
    let data = sync::kept(&writer, destination, &context.mac_key.key, inputs, known.map(|k| k.mac.as_str())).await;
    let data =
        data.map_err(|error| Failure::new("SecretSyncError", format!("Failed to update k8s secret: {error}")))?;
    Ok(data.map(|data| {
        let mac = context.mac_key.key.mac(&data);
        Made::Data(Data { data, mac, upstream_mac: None, inputs: Some(inputs.to_owned()) })
    }))
}

fn failure(error: RenderError) -> Failure {
    Failure::new("SecretDataBuilderError", format!("Failed to build K8s secret data: {error}"))
}
