//! From the data of the source to the data of the Secret and its MAC.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
use crate::util::WeakTable;

/// How many objects are rendered at one time. Each may use a core for two seconds, and 16 MiB: all of them fit into the
/// memory that the chart gives the operator.
const MAX_CONCURRENT_RENDERINGS: usize = 4;

/// How many of them may be of one namespace: expensive templates of one tenant hold up no other.
const MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE: usize = 2;

/// How many runs of one namespace may render or wait for it. Others give back the permits they hold, and come again.
const MAX_TURNS_OF_NAMESPACE: usize = 6;

/// After so long a run comes again that found all turns of its namespace taken.
const TURN_RETRY_DELAY: Duration = Duration::from_millis(300);

/// Compiles and runs the transformations of all objects.
pub(crate) struct Renderer {
    pub transformations: Arc<TransformationCache>,
    /// Templates and filters are compiled and run on so many threads at most.
    permits: Arc<Semaphore>,
    /// The namespaces in which objects are rendered now.
    namespaces: WeakTable<Arc<str>, NamespaceTurns>,
    /// No object has the key `_raw`.
    exclude_raw: bool,
}

/// The turns of a namespace.
struct NamespaceTurns {
    all: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// What a run renders with.
pub(super) struct Prepared {
    pub transformation: Arc<CompiledTransformation>,
    /// None if there are no filters and no templates.
    turn: Option<Turn>,
}

/// The right of a run to render, as one of a few of its namespace.
struct Turn {
    namespace: Arc<NamespaceTurns>,
    _permit: OwnedSemaphorePermit,
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

impl Default for NamespaceTurns {
    fn default() -> Self {
        let permits = |count| Arc::new(Semaphore::new(count));
        Self { all: permits(MAX_TURNS_OF_NAMESPACE), running: permits(MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE) }
    }
}

impl Renderer {
    /// With the transformations that are compiled already.
    pub fn new(transformations: Arc<TransformationCache>, exclude_raw: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = Semaphore::new((2 * threads).min(MAX_CONCURRENT_RENDERINGS));
        Self { transformations, permits: Arc::new(permits), namespaces: WeakTable::default(), exclude_raw }
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
        let turns = self.namespaces.get_or_insert_with(namespace.into(), |_| Arc::new(NamespaceTurns::default()));
        let permit = turns.all.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Interruption::Later(TURN_RETRY_DELAY))?;
        let turn = Turn { namespace: turns, _permit: permit };
        if let Some(transformation) = self.transformations.in_use(&texts(gathered), includes, excludes) {
            return Ok(Prepared { transformation, turn: Some(turn) });
        }
        let (transformations, gathered) = (self.transformations.clone(), gathered.clone());
        let work = move || transformations.get(&texts(&gathered), &gathered.includes, &gathered.excludes);
        let transformation = self.on_a_thread(&turn, work).await.map_err(failed)?;
        Ok(Prepared { transformation, turn: Some(turn) })
    }

    /// Does work that may take as long as its limits let it: not on a thread that others wait for.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        turn: &Turn,
        work: impl FnOnce() -> Result<T, RenderError> + Send + 'static,
    ) -> Result<T, RenderError> {
        let failed = |_| RenderError::Template("a template could not be run to its end".into());
        let running = turn.namespace.running.clone().acquire_owned().await.map_err(|_| failed(()))?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| failed(()))?;
        let work = move || {
            // A run that is given up leaves its thread behind, and the permits with it.
            let _permits = (running, permit);
            work()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(failed(())))
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
                self.on_a_thread(&turn, work).await
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_permit_of_a_rendering_stays_with_its_thread_when_the_run_is_given_up() {
        let renderer = Renderer::new(Arc::default(), false);
        let gathered = ResolvedTransformation { includes: vec!["a".into()], ..ResolvedTransformation::default() };
        let turn = || async {
            let prepared = renderer.prepare("ns", &gathered).await.ok().expect("a turn is free");
            prepared.turn.expect("it has a filter")
        };
        let free = renderer.permits.available_permits();
        let (started, has_started) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        let first = turn().await;
        let namespace = first.namespace.clone();
        let run = renderer.on_a_thread(&first, move || {
            started.send(()).expect("the test waits for it");
            // It ends when the sender is dropped.
            let _ = may_finish.recv();
            Ok(())
        });
        let mut run = Box::pin(run);
        while has_started.try_recv().is_err() {
            assert!(futures_util::poll!(&mut run).is_pending());
            tokio::task::yield_now().await;
        }
        drop(run);
        drop(first);
        let permits = || (renderer.permits.available_permits(), namespace.running.available_permits());
        assert_eq!(permits(), (free - 1, MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE - 1), "the thread works on");
        // Others of the namespace get what is left, and no more.
        let second = turn().await;
        assert!(renderer.on_a_thread(&second, || Ok(())).await.is_ok());
        drop(finish);
        while permits() != (free, MAX_CONCURRENT_RENDERINGS_OF_NAMESPACE) {
            tokio::task::yield_now().await;
        }
    }
}
