//! The end of an object: what is outside of Kubernetes is cleaned up, as far as that can be done, and the object goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Resource as _;

use super::failure::Interruption;
use super::source::CleanUpError;
use super::{Pipeline, SecretSource, obtain};
use crate::api::{CustomObject as _, Key};
use crate::controllers::finalizer::{has_finalizer, remove_finalizer};
use crate::controllers::outcome::Outcome;
use crate::controllers::outputs::EventText;
use crate::resolve::{Denied, PlanError};
use crate::vault::Session;
use crate::workqueue::{Class, Job, Next};

/// One try to clean up takes no longer.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries that fail are repeated for so long after the deletion. Then the object goes all the same.
const MAX_DELETION_SECONDS: i64 = 60;
const RETRY_DELAY: Duration = Duration::from_secs(5);

impl<S: SecretSource> Pipeline<S> {
    /// The run of an object that is being deleted. `session` is the login of its last run.
    pub(super) async fn delete(
        &self,
        job: &Job<Key>,
        object: &Arc<S::Owner>,
        session: Option<Arc<Session>>,
    ) -> Outcome {
        let outputs = &self.shared.outputs;
        if S::needs_finalizer(object) && has_finalizer(&**object, S::FINALIZER) {
            let cleaning = tokio::time::timeout(TRY_TIMEOUT, self.clean_up(job, object, session.as_ref()));
            let cleaned = cleaning.await.unwrap_or_else(|_| {
                let event = S::not_cleaned_up(object, "Vault did not answer in time");
                Err(CleanUpError { event, may_pass: true })
            });
            let event = match cleaned {
                Ok(event) => event,
                Err(error) if error.may_pass && !is_over(object.meta()) => {
                    tracing::warn!(error = error.event.message, "not cleaned up yet");
                    let next = Next::At(Instant::now() + RETRY_DELAY, Class::Retry);
                    return Outcome::failed(next, session.map(|session| session.server.id));
                }
                Err(error) => Some(error.event),
            };
            if let Some(event) = event {
                outputs.event(S::Owner::KIND, object.meta(), &event).await;
            }
        }
        remove_finalizer(&outputs.client, &**object, S::FINALIZER).await
    }

    async fn clean_up(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        session: Option<&Arc<Session>>,
    ) -> Result<Option<EventText>, CleanUpError> {
        self.source.clean_up_destination(object).await?;
        let hopeless = |why: String| CleanUpError { event: S::not_cleaned_up(object, &why), may_pass: false };
        let plan = match S::resolve(object, &self.shared.stores) {
            Ok(plan) => plan,
            Err(error) => {
                let is_allowed = !matches!(error, PlanError::Login(Denied::NotAllowed(_)));
                let session = session.filter(|_| is_allowed).ok_or_else(|| hopeless(error.to_string()))?;
                return self.source.clean_up(object, None, session).await;
            }
        };
        let session = match obtain::session(&self.shared, job, &plan.auth, session).await {
            Ok((session, _)) => session,
            Err(Interruption::Failed(failure)) => return Err(hopeless(failure.message)),
            Err(_) => {
                let event = S::not_cleaned_up(object, "Vault serves too many requests");
                return Err(CleanUpError { event, may_pass: true });
            }
        };
        self.source.clean_up(object, Some(&plan), &session).await
    }
}

/// Whether an object has been waiting for its end long enough.
fn is_over(meta: &kube::api::ObjectMeta) -> bool {
    let deleted = meta.deletion_timestamp.as_ref().map_or(0, |at| at.0.as_second());
    chrono::Utc::now().timestamp() > deleted + MAX_DELETION_SECONDS
}
