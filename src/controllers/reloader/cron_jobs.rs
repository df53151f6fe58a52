//! CronJobs: a Job is made at once of one whose contents have changed.
//!
//! The Job comes before the marks, and its name is made of what it is made for. A run that finds the Job without the
//! marks writes the marks alone, so a crash between the two neither loses nor doubles it.

use std::time::Instant;

use super::workloads::{KnownWorkload, marks_of};
use super::{ReloadedWorkloads, State, shown};
use crate::api::{Key, Reason};
use crate::controllers::outcome::Outcome;
use crate::controllers::outputs::EventText;
use crate::kubernetes::{CronJobs, KubernetesError};
use crate::mac::MacKey;
use crate::reloader::{Contents, MARKS_ANNOTATION, Plan, Source, plan};
use crate::sync::{Mark, mark_patch};
use crate::workqueue::{Class, Next};

/// The name of a CronJob has 52 characters at most, that of a Job 63.
const NAME_DIGEST_BYTES: usize = 5;

/// A Job that was made.
struct Made {
    job: String,
    changed: Vec<Source>,
}

impl ReloadedWorkloads {
    /// Makes a Job when the window is over in which contents change together.
    pub(super) async fn run_now(
        &self,
        key: &Key,
        workload: &KnownWorkload,
        state: &mut State,
        contents: &Contents,
        changed: &[Source],
    ) -> Outcome {
        let due = *state.job_due.get_or_insert_with(|| Instant::now() + self.reloader.rollouts.window());
        if due > Instant::now() {
            return Outcome::done(Next::At(due, Class::Event), None);
        }
        match self.mark_cron_job(key, workload, contents).await {
            Ok(made) => {
                *state = State { told: state.told, ..State::default() };
                if let Some(Made { job, changed }) = made {
                    let text = format!("Job {job} made for {}", shown(&changed));
                    self.tell(workload, EventText::normal(Reason::RolloutRestartTriggered, text)).await;
                }
                Outcome::await_change()
            }
            Err(error) => {
                let what = format!("Making a Job for {} failed", shown(changed));
                self.failed(workload, state, &error, &what).await
            }
        }
    }

    /// Writes to a CronJob with which contents its next Jobs start; before that, makes a Job if one of them is another.
    /// Not of a suspended one: it starts nothing, and what comes after reads what there is.
    async fn mark_cron_job(
        &self,
        key: &Key,
        known: &KnownWorkload,
        contents: &Contents,
    ) -> Result<Option<Made>, KubernetesError> {
        let reloader = &self.reloader;
        let cron_jobs = CronJobs::new(&reloader.outputs.client, &key.id.namespace);
        let cron_job = cron_jobs.get(&key.id.name).await?;
        // What the watch has not told of yet, it will.
        let (marks, made) = match plan(&known.declared, &marks_of(&cron_job.workload, &reloader.key_name), contents) {
            Plan::Nothing => return Ok(None),
            Plan::Note(marks) => (marks, None),
            Plan::Restart { marks, .. } if cron_job.suspended => (marks, None),
            Plan::Restart { mut marks, changed } => {
                let job = job_name(&reloader.mac_key.key, &key.id.name, &cron_job.uid, &marks.cause_of_job(&changed));
                cron_jobs.ensure_job(&cron_job, &job).await?;
                marks.set_job(job.clone());
                (marks, Some(Made { job, changed }))
            }
        };
        let mark = Mark::of_workload(MARKS_ANNOTATION, marks.to_json());
        cron_jobs.patch(&cron_job, mark_patch(&mark)).await?;
        Ok(made)
    }

    /// Writes what [`Self::mark_cron_job`] writes, where no content is known to be another.
    pub(super) async fn note_cron_job(
        &self,
        key: &Key,
        known: &KnownWorkload,
        contents: &Contents,
    ) -> Result<(), KubernetesError> {
        self.mark_cron_job(key, known, contents).await.map(drop)
    }
}

/// The name of the Job of a CronJob for a cause.
fn job_name(key: &MacKey, cron_job: &str, uid: &str, cause: &str) -> String {
    let digest = key.mac_of_bytes(&[b"job of ", uid.as_bytes(), b"\n", cause.as_bytes()]);
    format!("{cron_job}-{}", hex::encode(&digest[..NAME_DIGEST_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_one_name_for_each_cause() {
        let key = MacKey::new(b"0123456789abcdef").unwrap();
        let name = |uid: &str, cause: &str| job_name(&key, &"a".repeat(52), uid, cause);
        assert_eq!(name("u", "x"), name("u", "x"));
        assert_ne!(name("u", "x"), name("u", "y"));
        assert_ne!(name("u", "x"), name("v", "x"), "one that was deleted and made again");
        assert_eq!(name("u", "x").len(), 63);
    }
}
