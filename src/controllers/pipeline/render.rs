//! From the data of the source to the data of the Secret and its MAC.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::failure::{Failure, Interruption, Retry};
use super::state::Rendered;
use crate::api::SecretOwner;
use crate::kubernetes::SecretWriter;
use crate::mac::MacKey;
use crate::render::{
    self, CompiledTransformation, Input, RenderError, SecretData, SourceData, TemplateText, TransformationCache,
};
use crate::resolve::ResolvedTransformation;
use crate::sync::{self, LastApplied};

/// How many objects are rendered at one time. Each may use a core for two seconds, and 16 MiB: all of them fit into the
/// memory that the chart gives the operator.
const MAX_CONCURRENT_RENDERINGS: usize = 4;

/// Compiles and runs the transformations of all objects.
pub(crate) struct Renderer {
    pub transformations: Arc<TransformationCache>,
    /// Templates and filters are compiled and run on so many threads at most.
    permits: Arc<Semaphore>,
    /// No object has the key `_raw`.
    exclude_raw: bool,
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
    /// With the transformations that are compiled already.
    pub fn new(transformations: Arc<TransformationCache>, exclude_raw: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = Semaphore::new((2 * threads).min(MAX_CONCURRENT_RENDERINGS));
        Self { transformations, permits: Arc::new(permits), exclude_raw }
    }

    /// The filters and templates of a plan, compiled unless they still are.
    pub async fn compile(&self, gathered: &ResolvedTransformation) -> Result<Arc<CompiledTransformation>, Failure> {
        let ResolvedTransformation { includes, excludes, .. } = gathered;
        if let Some(transformation) = self.transformations.in_use(&texts(gathered), includes, excludes) {
            return Ok(transformation);
        }
        let (transformations, gathered) = (self.transformations.clone(), gathered.clone());
        let compiled = self
            .on_a_thread(move || transformations.get(&texts(&gathered), &gathered.includes, &gathered.excludes))
            .await;
        // Only a change of the gathered objects makes it good, and they are watched.
        compiled.map_err(|error| Failure { retry: Retry::WhenChanged, ..Failure::data(&error) })
    }

    /// Does work that may take as long as its limits let it: not on a thread that others wait for.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RenderError> + Send + 'static,
    ) -> Result<T, RenderError> {
        let failed = |_| RenderError::Template("a template could not be run to its end".into());
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| failed(()))?;
        let work = move || {
            // A run that is given up leaves its thread behind, and the permit with it.
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(failed(())))
    }

    /// Renders the data, or finds that the Secret holds the output of equal inputs.
    pub(super) async fn render(
        &self,
        key: &MacKey,
        owner: &Arc<dyn SecretOwner>,
        transformation: &Arc<CompiledTransformation>,
        source: SourceData,
        writer: &SecretWriter,
        previous: Previous<'_>,
    ) -> Result<Output, Interruption> {
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
        let built = if transformation.is_costly() {
            let (owner, transformation) = (owner.clone(), transformation.clone());
            self.on_a_thread(move || render::build(&input(&*owner, &source, exclude_raw), &transformation)).await
        } else {
            render::build(&input(&**owner, &source, exclude_raw), transformation)
        };
        let built = built.map_err(|error| Failure::data(&error))?;
        let mac = key.mac(built.data.as_map());
        let vso_mac = (!built.nil.is_empty()).then(|| key.mac_with_nil(built.data.as_map(), &built.nil));
        Ok(Output::New(NewData { data: built.data, mac, vso_mac, inputs }))
    }
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
        && applied.mac == known.mac
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
