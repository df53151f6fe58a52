//! The second part of a run whose restarts had to wait for what else their targets are restarted for. Nothing is read
//! from Vault for it, and nothing but the restarts is reported.

use std::time::Instant;

use super::report::{RestartNews, restart_failed, status_of};
use super::restart::restart_all;
use super::state::{ObjectState, Owed};
use super::{Pipeline, SecretSource, has_news};
use crate::api::owner::OwnerStatus as _;
use crate::api::{Key, SecretOwner as _, condition};
use crate::controllers::outcome::Outcome;
use crate::kubernetes::SecretWriter;
use crate::workqueue::{Job, Next};

impl<S: SecretSource> Pipeline<S> {
    /// Whether restarts are due for the content of the Secret as the last run has left it.
    pub(super) fn owes_restarts(&self, object: &S::Owner, state: &ObjectState<S::State>) -> bool {
        let is_due = |at: Instant| at <= Instant::now();
        let owed = state.owed.as_ref().filter(|owed| is_due(owed.at) && owed.content.generation == object.generation());
        owed.is_some() && self.destination_unchanged(object, state)
    }

    /// Restarts what the Secret owes, and says so.
    pub(super) async fn settle(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        state: &mut ObjectState<S::State>,
        fingerprint: u64,
    ) -> Outcome {
        let Some(owed) = state.owed.take() else { return Outcome::done(state.next_refresh(), state.lane()) };
        let Owed { content, refresh, .. } = *owed;
        let writer = SecretWriter::new(&self.shared.outputs.client, object.namespace());
        let restarts = restart_all(&self.shared, object, &writer, &content.mac, &mut state.rollouts).await;
        let news = RestartNews::of(Some(&restarts));
        let mut status = status_of(object);
        if restarts.are_done() {
            status.set_recorded_mac(Some(content.record.clone()));
        }
        let update = news.condition();
        status.set_conditions(condition::merge(object.owner_conditions(), object.generation(), update.as_slice()));
        let events: Vec<_> = news.errors().iter().map(|error| restart_failed(error)).collect();
        if self.shared.outputs.publish(&self.store, object, &status, &events).await.is_err() {
            // Nothing is lost: the next run finds all as after a start.
            state.applied = None;
            return state.retry(&self.shared.backoff);
        }
        let failed = !news.errors().is_empty();
        let again = (!restarts.are_done())
            .then(|| restarts.again.unwrap_or_else(|| Instant::now() + state.pause(&self.shared.backoff)));
        let next = state.follow_up(content, Some(restarts), again, refresh);
        if failed {
            return Outcome::failed(next, state.lane());
        }
        if has_news(state, fingerprint) {
            // It stands in the store by now that the restarts are done.
            return Outcome::yielded(Next::At(Instant::now(), job.class), state.lane());
        }
        Outcome::done(next, state.lane())
    }
}
