//! VaultStaticSecret: from a path of a KV engine to a Secret, and to restarts of those that use it.

mod build;
mod read;
mod report;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use build::{Data, Made};
use read::{read, read_failure, session};

use super::conditions;
use super::engine::Verdict;
use super::instant_updates::{self, Watch};
use super::release::release;
use super::{Context, Key};
use crate::api::{SecretEngine, VaultStaticSecret};
use crate::cluster::{EventType, SecretWriter, Workloads};
use crate::render::Recipe;
use crate::resolve::{self, ObjectRef, Plan};
use crate::schedule::{Backoff, Class, Job, Next};
use crate::sync::{self, Applied, DestinationError, Restart, Synced, Wanted};
use crate::vault::{self, ServerId, Session, SharedRead, TokenInfo};

/// Upstream's. Objects that come from there carry it; ours never get it.
const FINALIZER: &str = "vaultstaticsecret.secrets.hashicorp.com/finalizer";
/// A denial ends with a change of an object that is watched, and the change is a trigger. This is for what was missed.
const RECHECK_DENIAL: Duration = Duration::from_secs(300);

/// What this process remembers of an object between two runs. All of it can be lost: the next run finds it again.
pub struct Runtime {
    /// Of the inputs of the last run that succeeded.
    fingerprint: u64,
    /// When the next run is due if nothing happens.
    due: Instant,
    backoff: Backoff,
    session: Option<Arc<Session>>,
    read: Option<Arc<SharedRead>>,
    /// With instant updates: writes of the path.
    watch: Option<Watch>,
    applied: Option<Applied>,
    /// Held so that it is not compiled again at each refresh.
    recipe: Option<Arc<Recipe>>,
    rendered: Option<Rendered>,
    owed: Option<Box<Owed>>,
}

impl Runtime {
    fn new(due: Instant) -> Self {
        Self {
            fingerprint: 0,
            due,
            backoff: Backoff::default(),
            session: None,
            read: None,
            watch: None,
            applied: None,
            recipe: None,
            rendered: None,
            owed: None,
        }
    }
}

/// Restarts that could not be done, and when they are tried again. The path is read on its own schedule meanwhile.
struct Owed {
    mac: String,
    generation: i64,
    errors: Vec<String>,
    again: Instant,
}

/// What data was made of that would come out otherwise if it were made again.
struct Rendered {
    /// Digest of the inputs.
    inputs: String,
    /// MAC of the data.
    mac: String,
}

/// A run that did not get through.
struct Failure {
    /// Reason of the condition and the event.
    reason: &'static str,
    message: String,
    retry: Retry,
}

enum Retry {
    Backoff,
    At(Instant),
    /// This run keeps its turn: its Vault has enough of the workers for now, or something had to be recorded first.
    Again(Option<ServerId>),
    WhenChanged,
}

impl Failure {
    fn new(reason: &'static str, message: String) -> Self {
        Self { reason, message, retry: Retry::Backoff }
    }

    fn again(lane: Option<ServerId>) -> Self {
        Self { reason: "", message: String::new(), retry: Retry::Again(lane) }
    }
}

/// What a run that got through has to tell.
struct Success {
    synced: Synced,
    mac: String,
    /// What `status.secretMAC` says of the content: its MAC, or the one that upstream has put there for the same.
    record: String,
    restarts: Option<Restarts>,
    token: TokenInfo,
}

struct Restarts {
    errors: Vec<String>,
    restarted: usize,
    /// When to try again, if an earlier run has settled that.
    again: Option<Instant>,
}

/// One run.
pub(super) async fn reconcile(context: &Context, job: &Job<Key>) -> Verdict {
    let id = &job.key.id;
    let runtime = context.runtimes.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    let Some(object) = context.statics.get(id) else {
        return Verdict::settled();
    };
    if object.metadata.deletion_timestamp.is_some() {
        return release(context, &*object, FINALIZER).await;
    }
    let mut runtime = runtime.unwrap_or_else(|| Box::new(Runtime::new(job.due)));
    let verdict = run(context, job, &object, &mut runtime).await;
    let mut runtimes = context.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
    // One that was deleted meanwhile leaves nothing behind. Looked up under the lock that its deletion takes too.
    if context.statics.get(id).is_some() {
        runtimes.insert(id.clone(), runtime);
    }
    verdict
}

async fn run(context: &Context, job: &Job<Key>, object: &Arc<VaultStaticSecret>, runtime: &mut Runtime) -> Verdict {
    let plan = match resolve::static_secret(object, context) {
        Ok(plan) => plan,
        Err(denied) => {
            runtime.fingerprint = 0;
            // The login is given up: it was made for a plan that does not hold any more.
            (runtime.session, runtime.read, runtime.watch) = (None, None, None);
            let failure = report::denial(&denied);
            return report::fail(context, object, runtime, None, failure).await;
        }
    };
    let fingerprint = fingerprint(object, &plan);
    let now = Instant::now();
    if job.class == Class::Event
        && runtime.fingerprint == fingerprint
        && now < runtime.due
        && untouched(context, object, runtime)
        && runtime.watch.as_ref().is_none_or(|watch| watch.news().is_none())
    {
        // The trigger was an echo of our own write, or of a change that means nothing here.
        if let Err(error) = report::instant_updates(context, object, runtime).await {
            tracing::warn!(object = %job.key, %error, "status could not be written");
            return report::retry(context, runtime, lane(runtime));
        }
        return Verdict::done(Next::At(runtime.due, Class::Refresh), lane(runtime));
    }
    match attempt(context, job, object, &plan, fingerprint, runtime).await {
        Ok(success) => {
            runtime.fingerprint = fingerprint;
            report::succeed(context, object, &plan, runtime, success).await
        }
        Err(Failure { retry: Retry::Again(lane), .. }) => Verdict::denied(Next::At(job.due, job.class), lane),
        Err(failure) => {
            runtime.fingerprint = 0;
            let lane = lane(runtime);
            report::fail(context, object, runtime, lane, failure).await
        }
    }
}

/// Steps 3 to 10 of a reconcile: everything but the status.
async fn attempt(
    context: &Context,
    job: &Job<Key>,
    object: &Arc<VaultStaticSecret>,
    plan: &Plan,
    fingerprint: u64,
    runtime: &mut Runtime,
) -> Result<Success, Failure> {
    let spec = &object.spec;
    let recipe = build::recipe(context, plan, runtime)?;
    let version = (spec.kind == SecretEngine::KvV2).then_some(plan.version);
    let session = session(context, job, plan, runtime).await?;
    match instant_updates::asked_for(object) {
        // Before the read, so that no write falls between the two.
        true => {
            let path = (plan.vault_namespace.as_str(), plan.path.as_str());
            context.instant_updates.follow(&mut runtime.watch, &session, &job.key.id, path, fingerprint);
        }
        false => runtime.watch = None,
    }
    let (envelope, token) = read(context, job, plan, &session, version, runtime).await?;
    let source = vault::kv::parse(&envelope, &plan.path, version).map_err(read_failure)?;

    let made = build::build(context, object, recipe, source, runtime).await?;

    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let writer = SecretWriter::new(&context.client, namespace);
    let status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(0);
    let respecified = status.last_generation != generation;
    let restarts = spec.hmac_secret_data.unwrap_or(true) && !spec.rollout_restart_targets.is_empty();
    // What upstream has recorded for the very same content stands for it.
    let recorded = match &made {
        Made::Data(Data { upstream_mac: Some(theirs), mac, .. }) if status.secret_mac.as_ref() == Some(theirs) => {
            Some(mac)
        }
        _ => status.secret_mac.as_ref(),
    };
    let recorded = recorded.cloned();
    let (synced, mac) = match (made, &runtime.applied) {
        (Made::Same(mac), Some(applied)) => (Synced::unchanged(applied.clone()), mac),
        (Made::Same(_), None) => return Err(Failure::again(lane(runtime))),
        (Made::Data(made), applied) => {
            let key = &context.mac_key.key;
            let Data { data, mac, inputs, .. } = made;
            let rendered = inputs.as_ref().map(|inputs| sync::rendered_mac(key, inputs, &mac));
            let (rendered, recorded) = (rendered.as_deref(), recorded.as_deref());
            let wanted = Wanted { object, data: &data, mac: &mac, rendered, key, restarts, recorded, respecified };
            let synced = match sync::sync(&writer, &context.secrets, &wanted, applied.as_ref()).await {
                Ok(synced) => synced,
                Err(DestinationError::Unsettled(held)) => {
                    let recorded = report::write_status(context, object, json!({ "secretMAC": held })).await;
                    recorded
                        .map_err(|e| Failure::new("SecretSyncError", format!("Failed to update the status: {e}")))?;
                    return Err(Failure::again(lane(runtime)));
                }
                Err(error) => {
                    runtime.applied = None;
                    return Err(match error {
                        DestinationError::Missing(text) => Failure::new("InexistentDestination", text),
                        other => Failure::new("SecretSyncError", format!("Failed to update k8s secret: {other}")),
                    });
                }
            };
            runtime.rendered = inputs.map(|inputs| Rendered { inputs, mac: mac.clone() });
            (synced, mac)
        }
    };
    runtime.applied = Some(synced.applied.clone());
    if respecified && status.last_generation != 0 && spec.destination.create {
        match sync::delete_orphans(&writer, object).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(object = %job.key, n, "deleted Secrets of a former destination name"),
            Err(error) => tracing::warn!(object = %job.key, %error, "Secrets of a former destination name may be left"),
        }
    }

    let owed = restarts && sync::restart_owed(recorded.as_deref(), &synced.before, &mac, context.mac_key.made);
    let restarts = match runtime.owed.take() {
        _ if !owed => None,
        Some(known) if known.mac == mac && known.generation == generation && Instant::now() < known.again => {
            Some(Restarts { errors: known.errors, restarted: 0, again: Some(known.again) })
        }
        _ => Some(restart_all(context, object, &writer, &mac).await),
    };
    let record = if recorded == status.secret_mac { mac.clone() } else { status.secret_mac.unwrap_or_default() };
    Ok(Success { synced, mac, record, restarts, token })
}

async fn restart_all(context: &Context, object: &VaultStaticSecret, writer: &SecretWriter, mac: &str) -> Restarts {
    let meta = &object.metadata;
    let workloads = Workloads::new(&context.client, meta.namespace.as_deref().unwrap_or(""));
    let known = object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or(&[]);
    let mut restarts = Restarts { errors: vec![], restarted: 0, again: None };
    // A target that was missing may have been made since, and started with this content. When that was written is asked for
    // only after a failure.
    let failed = conditions::find(known, "RolloutRestart").is_some_and(|c| c.status == "False");
    let content_since = match failed {
        true => match writer.changed_at(&object.spec.destination.name).await {
            Ok(since) => since,
            Err(error) => {
                restarts.errors.push(error.to_string());
                return restarts;
            }
        },
        false => None,
    };
    // With the UID: an object that is deleted and made again knows nothing of what was restarted before.
    let digest = format!("{mac} {}", meta.uid.as_deref().unwrap_or(""));
    for target in &object.spec.rollout_restart_targets {
        let (kind, name) = (&target.kind, &target.name);
        match sync::restart(&workloads, target, meta.name.as_deref().unwrap_or(""), &digest, content_since).await {
            Ok(Restart::NotNeeded) => {}
            Ok(Restart::Done) => {
                restarts.restarted += 1;
                context.metrics.restarted(true);
                let text = format!("Rollout restart triggered for {{{kind} {name}}}");
                context.event(object, EventType::Normal, "RolloutRestartTriggered", &text).await;
            }
            Err(error) => {
                context.metrics.restarted(false);
                restarts.errors.push(format!("{kind} {name}: {error}"));
            }
        }
    }
    restarts
}

/// True if the destination is the version that was applied last. One that no watch covers counts as such: it is read at
/// each refresh.
fn untouched(context: &Context, object: &VaultStaticSecret, runtime: &Runtime) -> bool {
    let destination = &object.spec.destination;
    let id = ObjectRef::new(object.metadata.namespace.as_deref().unwrap_or(""), destination.name.as_str());
    !destination.create || context.secrets.get(&id) == runtime.applied.as_ref().map(|a| a.seen.clone())
}

/// Changes if and only if something changed that a run could come to another result by, data aside.
fn fingerprint(object: &VaultStaticSecret, plan: &Plan) -> u64 {
    let mut hash = DefaultHasher::new();
    let meta = &object.metadata;
    (&meta.uid, meta.generation, &meta.labels, &meta.annotations).hash(&mut hash);
    let (owner, connection) = (&plan.auth.owner, &plan.auth.login.connection);
    (&owner.uid, owner.generation, &connection.uid, connection.generation).hash(&mut hash);
    // What a VaultAuthGlobal supplies is in no generation.
    plan.auth.login.identity(0).hash(&mut hash);
    plan.transformation.hash(&mut hash);
    hash.finish()
}

fn lane(runtime: &Runtime) -> Option<u64> {
    runtime.session.as_ref().map(|session| session.server.id)
}

fn id_of(object: &VaultStaticSecret) -> String {
    format!("{}/{}", object.metadata.namespace.as_deref().unwrap_or(""), object.metadata.name.as_deref().unwrap_or(""))
}
