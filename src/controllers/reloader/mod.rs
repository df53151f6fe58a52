//! Restarts that workloads declare with Reloader's annotations.
//!
//! A run compares the contents that a workload wants to be restarted for with those that its marks name. Nothing is
//! asked of the API server for that, and nothing is written where they are equal.

mod contents;
mod cron_jobs;
mod workloads;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use parking_lot::Mutex;

use super::controller::{Controller, Watches};
use super::outcome::Outcome;
use super::outputs::{EventText, Outputs};
use super::retry::RECHECK_DENIAL;
use super::work::Work;
use crate::api::{Key, Kind, KindNames, Reason, RestartKind, RolloutRestartTarget};
use crate::backoff::{Backoff, Policy};
use crate::kubernetes::{ErrorKind, KnownKey, KubernetesError, Workloads, cron_job_resource, workload_resource};
use crate::reloader::{Contents, Expressions, MARKS_ANNOTATION, Plan, Source, SourceKind, plan};
use crate::settings::Settings;
use crate::sync::{Mark, RestartError, Rollout, Rollouts, mark_patch};
use crate::workqueue::{Class, Job, Next};

use contents::{ContentWatch, KnownContents, digest_of_config_map, digest_of_secret, name_of_key};
use workloads::{KnownWorkload, KnownWorkloads, WorkloadWatch, marks_of};

/// A workload is restarted for so many contents at most: all of their digests are in one annotation.
const MAX_CONTENTS: usize = 500;
/// An event names so many contents.
const MAX_SHOWN: usize = 10;
/// So far ahead of the clock a restart may be.
const MAX_AHEAD: TimeDelta = TimeDelta::minutes(1);

const DEPLOYMENT: Kind = Kind::new(&KindNames {
    api_version: "apps/v1",
    kind: "Deployment",
    controller: "deployment",
    component: "Deployment",
});
const DAEMON_SET: Kind = Kind::new(&KindNames {
    api_version: "apps/v1",
    kind: "DaemonSet",
    controller: "daemonset",
    component: "DaemonSet",
});
const STATEFUL_SET: Kind = Kind::new(&KindNames {
    api_version: "apps/v1",
    kind: "StatefulSet",
    controller: "statefulset",
    component: "StatefulSet",
});
const ROLLOUT: Kind = Kind::new(&KindNames {
    api_version: "argoproj.io/v1alpha1",
    kind: "Rollout",
    controller: "rollout",
    component: "Rollout",
});
const CRON_JOB: Kind =
    Kind::new(&KindNames { api_version: "batch/v1", kind: "CronJob", controller: "cronjob", component: "CronJob" });

/// What the controllers of all kinds of workloads share.
pub(super) struct Reloader {
    workloads: Arc<KnownWorkloads>,
    expressions: Arc<Expressions>,
    secrets: Arc<KnownContents>,
    /// `None`: they are not watched.
    config_maps: Option<Arc<KnownContents>>,
    states: Mutex<HashMap<Key, State>>,
    mac_key: Arc<KnownKey>,
    key_name: String,
    rollouts: Arc<Rollouts>,
    outputs: Outputs,
    work: Arc<Work>,
    auto_by_default: bool,
    backoff: Policy,
}

/// What is remembered of a workload between two runs. All of it can be lost.
#[derive(Default)]
struct State {
    /// The rollout that was asked for. Holding it keeps it gathered.
    held: Vec<Arc<Rollout>>,
    /// When a Job is to be made of a CronJob.
    job_due: Option<Instant>,
    backoff: Backoff,
    /// The version whose faults were told.
    told: Option<u64>,
}

/// The controller of the workloads of one kind.
pub(super) struct ReloadedWorkloads {
    kind: Kind,
    /// `None`: it has no pods to be restarted, a CronJob.
    restart_kind: Option<RestartKind>,
    reloader: Arc<Reloader>,
}

impl Reloader {
    /// One controller for each kind of workload.
    pub fn controllers(
        settings: &Settings,
        mac_key: Arc<KnownKey>,
        rollouts: Arc<Rollouts>,
        outputs: Outputs,
        work: Arc<Work>,
    ) -> [Arc<dyn Controller>; 5] {
        let reloader = Arc::new(Self {
            workloads: Arc::default(),
            expressions: Arc::default(),
            secrets: Arc::new(KnownContents::new(SourceKind::Secret)),
            config_maps: settings.reloader_config_maps.then(|| Arc::new(KnownContents::new(SourceKind::ConfigMap))),
            states: Mutex::default(),
            key_name: name_of_key(&mac_key.key),
            mac_key,
            rollouts,
            outputs,
            work,
            auto_by_default: settings.reloader_auto_reload_all,
            backoff: settings.backoff,
        });
        let of = |kind: Kind, restart_kind: Option<RestartKind>| -> Arc<dyn Controller> {
            Arc::new(ReloadedWorkloads { kind, restart_kind, reloader: reloader.clone() })
        };
        [
            of(DEPLOYMENT, Some(RestartKind::Deployment)),
            of(DAEMON_SET, Some(RestartKind::DaemonSet)),
            of(STATEFUL_SET, Some(RestartKind::StatefulSet)),
            of(ROLLOUT, Some(RestartKind::ArgoRollout)),
            of(CRON_JOB, None),
        ]
    }

    /// Watches what workloads are restarted for.
    fn watch_contents(&self, watches: &mut Watches<'_>) {
        let listen = |known: &KnownContents, kind: SourceKind| {
            let (workloads, work) = (self.workloads.clone(), self.work.clone());
            known.listen(move |id, traits| {
                workloads.users(kind, id, traits).into_iter().for_each(|key| work.push_now(key, Class::Event));
            });
        };
        listen(&self.secrets, SourceKind::Secret);
        let (known, key) = (self.secrets.clone(), self.mac_key.clone());
        watches.served::<Secret>(Arc::new(ContentWatch { known, key, digest: digest_of_secret }));
        if let Some(known) = &self.config_maps {
            listen(known, SourceKind::ConfigMap);
            let (known, key) = (known.clone(), self.mac_key.clone());
            watches.served::<ConfigMap>(Arc::new(ContentWatch { known, key, digest: digest_of_config_map }));
        }
    }

    /// The contents that a workload wants to be restarted for.
    fn wanted(&self, namespace: &str, workload: &KnownWorkload) -> Contents {
        let mut contents = Contents::new();
        self.secrets.add_wanted(namespace, &workload.declared, &mut contents);
        if let Some(config_maps) = &self.config_maps {
            config_maps.add_wanted(namespace, &workload.declared, &mut contents);
        }
        contents
    }
}

impl ReloadedWorkloads {
    async fn run(&self, key: &Key, workload: &KnownWorkload, state: &mut State) -> Outcome {
        let mut contents = self.reloader.wanted(&key.id.namespace, workload);
        let mut faults = workload.declared.complaints.clone();
        if contents.len() > MAX_CONTENTS {
            faults.push(format!(
                "{} contents are meant, {MAX_CONTENTS} are allowed: the rest is ignored",
                contents.len()
            ));
            contents = contents.into_iter().take(MAX_CONTENTS).collect();
        }
        if !faults.is_empty() && state.told != Some(workload.fingerprint) {
            state.told = Some(workload.fingerprint);
            for fault in faults {
                self.tell(workload, EventText::warning(Reason::RolloutRestartFailed, fault)).await;
            }
        }
        match plan(&workload.declared, &workload.marks, &contents) {
            Plan::Nothing => {
                *state = State { told: state.told, ..State::default() };
                Outcome::await_change()
            }
            Plan::Note(_) => match self.note(key, workload, &contents).await {
                Ok(()) => Outcome::await_change(),
                Err(error) => self.failed(workload, state, &error, "its contents could not be noted").await,
            },
            Plan::Restart { marks, changed } => {
                let Some(kind) = &self.restart_kind else {
                    return self.run_now(key, workload, state, &contents, &changed).await;
                };
                let mark = Mark::of_workload(MARKS_ANNOTATION, marks.to_json());
                self.restart(key, kind, workload, state, &mark, &changed).await
            }
        }
    }

    /// Writes to a workload which contents its pods have started with, as far as is known.
    async fn note(&self, key: &Key, known: &KnownWorkload, contents: &Contents) -> Result<(), KubernetesError> {
        let Some(kind) = &self.restart_kind else { return self.note_cron_job(key, known, contents).await };
        let workloads = Workloads::new(&self.reloader.outputs.client, &key.id.namespace);
        let workload = workloads.get(kind, &key.id.name).await?;
        // What the watch has not told of yet, it will.
        let Plan::Note(marks) = plan(&known.declared, &marks_of(&workload, &self.reloader.key_name), contents) else {
            return Ok(());
        };
        let mark = Mark::of_workload(MARKS_ANNOTATION, marks.to_json());
        workloads.patch(kind, &key.id.name, &workload, mark_patch(&mark)).await
    }

    async fn restart(
        &self,
        key: &Key,
        kind: &RestartKind,
        workload: &KnownWorkload,
        state: &mut State,
        mark: &Mark,
        changed: &[Source],
    ) -> Outcome {
        if workload.paused {
            return Outcome::await_change();
        }
        if let Some(pause) = pause_left(workload) {
            return Outcome::done(Next::At(Instant::now() + pause, Class::Event), None);
        }
        let Reloader { rollouts, outputs, .. } = &*self.reloader;
        let target = RolloutRestartTarget { kind: kind.clone(), name: key.id.name.to_string() };
        let rollout = rollouts.ask(&key.id.namespace, &target, mark.clone(), None, &state.held);
        let due = rollout.due();
        state.held = vec![rollout.clone()];
        if due > Instant::now() {
            return Outcome::done(Next::At(due, Class::Event), None);
        }
        let workloads = Workloads::new(&outputs.client, &key.id.namespace);
        match rollouts.restart(&workloads, &rollout, mark).await {
            Ok(done) => {
                *state = State { told: state.told, ..State::default() };
                if done.now {
                    outputs.metrics.restarted(true);
                }
                if done.for_mark {
                    let text = format!("Rollout restart triggered by {}", shown(changed));
                    self.tell(workload, EventText::normal(Reason::RolloutRestartTriggered, text)).await;
                }
                Outcome::await_change()
            }
            Err(RestartError::Later(at)) => Outcome::done(Next::At(at, Class::Event), None),
            // It is resumed by a change.
            Err(RestartError::Paused(_)) => Outcome::await_change(),
            Err(RestartError::Kubernetes(error)) => {
                outputs.metrics.restarted(false);
                self.failed(workload, state, &error, &format!("Rollout restart by {} failed", shown(changed))).await
            }
        }
    }

    /// The API server did not do something. It is tried again.
    async fn failed(
        &self,
        workload: &KnownWorkload,
        state: &mut State,
        error: &KubernetesError,
        what: &str,
    ) -> Outcome {
        match error.kind {
            // The watch will tell.
            ErrorKind::NotFound => return Outcome::await_change(),
            ErrorKind::Conflict => {}
            _ => {
                self.tell(workload, EventText::warning(Reason::RolloutRestartFailed, format!("{what}: {error}"))).await
            }
        }
        let now = Instant::now();
        let pause = state.backoff.next(&self.reloader.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL);
        Outcome::failed(Next::At(now + pause, Class::Retry), None)
    }

    async fn tell(&self, workload: &KnownWorkload, event: EventText) {
        self.reloader.outputs.event(self.kind, &workload.meta, &event).await;
    }
}

#[async_trait::async_trait]
impl Controller for ReloadedWorkloads {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let Reloader { workloads, key_name, work, .. } = &*self.reloader;
        if self.kind == DEPLOYMENT {
            // Once for all kinds.
            self.reloader.watch_contents(watches);
        }
        let resource = self.restart_kind.as_ref().map_or_else(cron_job_resource, workload_resource);
        // The definition of Argo Rollouts may be missing; and where only the operator was upgraded, the right to
        // CronJobs.
        let optional = [ROLLOUT, CRON_JOB].contains(&self.kind);
        watches.workloads(
            &resource,
            optional,
            Arc::new(WorkloadWatch {
                kind: self.kind,
                restart_kind: self.restart_kind.clone(),
                known: workloads.clone(),
                auto_by_default: self.reloader.auto_by_default,
                key_name: key_name.clone(),
                expressions: self.reloader.expressions.clone(),
                work: work.clone(),
            }),
        );
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let known = self.reloader.states.lock().remove(&job.key);
        let Some(workload) = self.reloader.workloads.get(&job.key) else { return Outcome::await_change() };
        let mut state = known.unwrap_or_default();
        let outcome = self.run(&job.key, &workload, &mut state).await;
        if state.told.is_some() || outcome.next != Next::WhenChanged {
            self.reloader.states.lock().insert(job.key.clone(), state);
        }
        outcome
    }

    fn objects(&self) -> usize {
        self.reloader.workloads.len(self.kind)
    }
}

/// What is left of the pause that a workload wants after a restart.
fn pause_left(workload: &KnownWorkload) -> Option<Duration> {
    let pause = workload.declared.pause_period?;
    let since = Utc::now() - workload.last_restart?;
    // Restarts within a second have times ahead of the clock. One far ahead was set by a user, and does not count.
    let since = if since < -MAX_AHEAD { pause } else { since.to_std().unwrap_or_default() };
    pause.checked_sub(since).filter(|left| !left.is_zero())
}

fn shown(changed: &[Source]) -> String {
    let names: Vec<String> = changed.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
    let rest = changed.len().saturating_sub(MAX_SHOWN);
    let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("a change of {}{rest}", names.join(", "))
}
