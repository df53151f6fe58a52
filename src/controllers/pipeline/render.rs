//! From the data of the source to the data of the Secret and its MAC.

use std::sync::Arc;

use super::failure::{Failure, Interruption};
use super::state::Rendered;
use crate::api::SecretOwner;
use crate::controllers::render_turns::{RenderTurns, TURN_RETRY_DELAY, Turn};
use crate::controllers::retry::Retry;
use crate::kubernetes::SecretWriter;
use crate::mac::MacKey;
use crate::render::{
    self, CompiledTransformation, Input, RenderError, SecretData, SourceData, TemplateText, TransformationCache,
};
use crate::resolve::ResolvedTransformation;
use crate::sync::{self, LastApplied};

/// Compiles and runs the transformations of all objects.
pub(crate) struct Renderer {
    pub transformations: Arc<TransformationCache>,
    /// Those of all objects that are rendered, of whichever kind.
    pub turns: Arc<RenderTurns>,
    /// No object has the key `_raw`.
    exclude_raw: bool,
}

/// What a run renders with.
pub(super) struct Prepared {
    pub transformation: Arc<CompiledTransformation>,
    /// None if there are no filters and no templates.
    turn: Option<Turn>,
}

/// What there is for the Secret.
pub(super) enum Output {
    /// Data that has to be in the Secret.
    New(NewData),
    /// The Secret, in this version, already holds the output of these inputs.
    Unchanged(LastApplied),
}

/// Data that has to be in the Secret.
pub(super) struct NewData {
    pub data: SecretData,
    pub mac: String,
    /// The MAC that VSO records for this data, where it is another.
    pub vso_mac: Option<String>,
    /// Digest of the inputs, where equal inputs would not give equal data again.
    pub inputs: Option<String>,
}

/// What is known of the destination from the last run.
pub(super) struct Previous<'a> {
    pub applied: Option<&'a LastApplied>,
    pub rendered: Option<&'a Rendered>,
    /// No other client has changed the Secret since.
    pub untouched: bool,
}

impl Renderer {
    /// Renders with the transformations that are compiled already.
    pub fn new(transformations: Arc<TransformationCache>, exclude_raw: bool) -> Self {
        Self { transformations, turns: Arc::default(), exclude_raw }
    }

    /// Takes the turn of a run that has filters or templates, and compiles them unless they still are.
    ///
    /// # Errors
    /// If all turns of the namespace are taken, and the run has to come again; or if something does not compile.
    pub(super) async fn prepare(
        &self,
        namespace: &str,
        gathered: &ResolvedTransformation,
    ) -> Result<Prepared, Interruption> {
        let ResolvedTransformation { templates, includes, excludes, .. } = gathered;
        // Only a change of the gathered objects makes it good, and they are watched.
        let failed = |error: RenderError| Failure { retry: Retry::WhenChanged, ..Failure::data(&error) };
        if templates.is_empty() && includes.is_empty() && excludes.is_empty() {
            // There is nothing to compile and nothing to wait for.
            let transformation = self.transformations.get(&[], &[], &[]).map_err(failed)?;
            return Ok(Prepared { transformation, turn: None });
        }
        let turn = self.turns.take(namespace).ok_or(Interruption::Later(TURN_RETRY_DELAY))?;
        if let Some(transformation) = self.transformations.in_use(&texts(gathered), includes, excludes) {
            return Ok(Prepared { transformation, turn: Some(turn) });
        }
        let (transformations, gathered) = (self.transformations.clone(), gathered.clone());
        let work = move || transformations.get(&texts(&gathered), &gathered.includes, &gathered.excludes);
        let transformation = on_a_thread(&turn, work).await.map_err(failed)?;
        Ok(Prepared { transformation, turn: Some(turn) })
    }

    /// Renders the data, or finds that the Secret holds the output of equal inputs.
    pub(super) async fn render(
        &self,
        key: &MacKey,
        owner: &Arc<dyn SecretOwner>,
        prepared: Prepared,
        source: SourceData,
        writer: &SecretWriter,
        previous: Previous<'_>,
    ) -> Result<Output, Interruption> {
        let Prepared { transformation, turn } = prepared;
        let exclude_raw = owner.destination().transformation.exclude_raw || self.exclude_raw;
        let mut inputs = None;
        if transformation.is_volatile() {
            let fingerprint = input(&**owner, &source, exclude_raw).fingerprint();
            let id = hex::encode(transformation.id());
            let digest = key.mac_of_texts(fingerprint.iter().chain([&id]).map(String::as_str));
            if let Some(output) = reusable(key, &**owner, &digest, writer, &previous).await? {
                return Ok(output);
            }
            inputs = Some(digest);
        }
        let built = match turn {
            Some(turn) => {
                let owner = owner.clone();
                let work = move || render::build(&input(&*owner, &source, exclude_raw), &transformation);
                on_a_thread(&turn, work).await
            }
            None => render::build(&input(&**owner, &source, exclude_raw), &transformation),
        };
        let built = built.map_err(|error| Failure::data(&error))?;
        let content = owner.content_keys();
        let mac_of = |nil: &[String]| key.mac_of_content(built.data.as_map(), nil, |name| content.contains(name));
        let mac = mac_of(&[]);
        let vso_mac = (!built.nil.is_empty()).then(|| mac_of(&built.nil));
        Ok(Output::New(NewData { data: built.data, mac, vso_mac, inputs }))
    }
}

/// Does work in a turn.
async fn on_a_thread<T: Send + 'static>(
    turn: &Turn,
    work: impl FnOnce() -> Result<T, RenderError> + Send + 'static,
) -> Result<T, RenderError> {
    let cut_off = || Err(RenderError::Template("a template could not be run to its end".into()));
    turn.run(work).await.unwrap_or_else(cut_off)
}

/// The templates as they are compiled.
fn texts(gathered: &ResolvedTransformation) -> Vec<TemplateText<'_>> {
    let templates = gathered.templates.iter();
    templates.map(|t| TemplateText { key: t.key.as_deref(), name: &t.name, text: &t.text }).collect()
}

fn input<'a>(owner: &'a dyn SecretOwner, source: &'a SourceData, exclude_raw: bool) -> Input<'a> {
    let meta = owner.metadata();
    Input { source, exclude_raw, labels: meta.labels.as_ref(), annotations: meta.annotations.as_ref() }
}

/// What the Secret has, if that was made of equal inputs: a salt, or a random number, is not drawn again for nothing.
async fn reusable(
    key: &MacKey,
    owner: &dyn SecretOwner,
    inputs: &str,
    writer: &SecretWriter,
    previous: &Previous<'_>,
) -> Result<Option<Output>, Failure> {
    let destination = owner.destination();
    let known = previous.rendered.filter(|known| known.inputs == inputs);
    if let (Some(known), Some(applied)) = (known, previous.applied)
        && destination.create
        && previous.untouched
        && *applied.mac == *known.mac
        && owner.metadata().generation == Some(owner.applied_generation())
    {
        return Ok(Some(Output::Unchanged(applied.clone())));
    }
    let data = sync::reusable_output(writer, destination, key, inputs, known.map(|known| known.mac.as_str())).await;
    Ok(data.map_err(Failure::destination)?.map(|data| {
        let mac = key.mac(data.as_map());
        Output::New(NewData { data, mac, vso_mac: None, inputs: Some(inputs.to_owned()) })
    }))
}
