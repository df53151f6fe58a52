//! What a kind brings to the pipeline.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use kube::core::object::HasStatus;

use crate::api::owner::{OwnerStatus, SecretOwner};
use crate::api::{ConditionUpdate, CustomObject, Key, Reason};
use crate::controllers::outputs::{EventText, Outputs};
use crate::controllers::stores::Stores;
use crate::controllers::subscriptions::{PendingChange, Subscription};
use crate::controllers::vault_access::VaultAccess;
use crate::render::SourceData;
use crate::resolve::{AuthPlan, Plan, PlanError};
use crate::sync::HeldSecret;
use crate::vault::{Session, TokenInfo, Topic};
use crate::workqueue::Job;

use super::failure::{Failure, Interruption};

/// A kind that fills a Secret.
pub(crate) trait SecretSource: Send + Sync + 'static {
    /// Its objects. What the status says of a sync is [`OwnerStatus`].
    type Owner: CustomObject<Status: OwnerStatus> + SecretOwner;
    /// What there is to know of an object to obtain its data, beside the login and the path.
    type Plan: Send + Sync;
    /// What is remembered of an object between two runs. Dropped when the login is another.
    type State: Default + Send + Sync;

    /// The finalizer that VSO puts on the objects.
    const FINALIZER: &'static str;
    /// The reason of conditions and events for settings that cannot work. VSO has one for each kind.
    const INVALID: Reason;
    /// The destination is looked at before anything is obtained: obtaining data for it has a cost, or depends on what
    /// it holds.
    const LOOKS_FIRST: bool = false;

    /// Turns the objects in the stores into a plan.
    fn resolve(object: &Self::Owner, stores: &Stores) -> Result<Plan<Self::Plan>, PlanError>;

    /// Whether something outside of Kubernetes has to be cleaned up before an object goes: then it gets the finalizer.
    fn needs_finalizer(_object: &Self::Owner) -> bool {
        false
    }

    /// Obtains data for the Secret, or finds that what it holds is to stay.
    fn obtain(
        &self,
        reading: &Reading<'_, Self::Owner>,
        plan: &Plan<Self::Plan>,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<Obtained, Interruption>> + Send;

    /// What the status has to say of new data, with this MAC, before the Secret holds it: a run that comes after a
    /// crash finds it there. A status that differs is written.
    fn announce(&self, _state: &Self::State, _mac: &str, _status: &mut StatusOf<Self::Owner>) {}

    /// Whether [`SecretSource::hold`] has something to do. Then the login stays while an object has no plan.
    const HOLDS: bool = false;

    /// A run comes to no new data, or cannot put it into the Secret: what an earlier run has obtained is to stay
    /// usable. Without `auth` there is no plan of the login any more: only the token that there is may be used.
    fn hold(
        &self,
        _object: &Self::Owner,
        _session: &Arc<Session>,
        _auth: Option<&AuthPlan>,
        _state: &mut Self::State,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// When an object that fails has to be run again at the latest, for [`SecretSource::hold`].
    fn hold_due(&self, _state: &Self::State) -> Option<Instant> {
        None
    }

    /// The run failed: puts what only this kind has to say into the status.
    fn report_failure(
        &self,
        _object: &Self::Owner,
        _failure: &Failure,
        _state: &mut Self::State,
        _status: &mut StatusOf<Self::Owner>,
    ) -> Report {
        Report::default()
    }

    /// The new data did not get into the Secret, and no run will put it there.
    fn discard(
        &self,
        _session: &Arc<Session>,
        _plan: &Plan<Self::Plan>,
        _state: &mut Self::State,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The Secret is as it has to be, and if it `wrote`, it was not before: puts what only this kind has to say into
    /// the status. Conditions and events are added to those of every kind.
    fn report(
        &self,
        _object: &Self::Owner,
        _plan: &Plan<Self::Plan>,
        _state: &mut Self::State,
        _wrote: bool,
        _status: &mut StatusOf<Self::Owner>,
    ) -> Report {
        Report::default()
    }

    /// When the object is due again if nothing changes. `None`: only when it changes.
    fn next_due(&self, plan: &Plan<Self::Plan>, state: &Self::State, now: Instant) -> Option<Instant>;

    /// The object is being deleted: cleans up what is outside of Kubernetes. Returns what there is to tell of it.
    /// Without a plan the objects that it refers to are gone, often together with it: only the token that there is may
    /// be used.
    ///
    /// # Errors
    /// What could not be done, as an event tells it, and whether it is worth another try.
    fn clean_up(
        &self,
        _object: &Self::Owner,
        _plan: Option<&Plan<Self::Plan>>,
        _session: &Arc<Session>,
    ) -> impl Future<Output = Result<Option<EventText>, CleanUpError>> + Send {
        async { Ok(None) }
    }

    /// The object is being deleted: leaves the destination as its spec says, where that needs no login.
    ///
    /// # Errors
    /// As for [`SecretSource::clean_up`].
    fn clean_up_destination(&self, _object: &Self::Owner) -> impl Future<Output = Result<(), CleanUpError>> + Send {
        async { Ok(()) }
    }

    /// The event of a clean-up for which there is no login, or not in time.
    fn not_cleaned_up(_object: &Self::Owner, why: &str) -> EventText {
        EventText::warning(Self::INVALID, why)
    }

    /// What instant updates follow: the topic, and a path or the ID of a lease.
    fn followed<'a>(
        _plan: &'a Plan<Self::Plan>,
        _status: Option<&'a StatusOf<Self::Owner>>,
    ) -> Option<(Topic, &'a str)> {
        None
    }

    /// When what the Secret holds ends, as far as the status tells.
    fn lifetime(_object: &Self::Owner) -> Option<Lifetime> {
        None
    }
}

/// The status of an object.
pub(crate) type StatusOf<K> = <K as HasStatus>::Status;

/// What a kind obtains its data with.
pub(crate) struct Reading<'a, O> {
    /// The run.
    pub job: &'a Job<Key>,
    /// The object.
    pub object: &'a O,
    /// The login.
    pub session: &'a Arc<Session>,
    /// Access to Vault.
    pub vault: &'a VaultAccess,
    /// Where a kind counts what it does, and reports events.
    pub outputs: &'a Outputs,
    /// When the key of the MACs was made, in seconds since 1970.
    pub key_made: i64,
    /// What the destination holds, if the kind looks first and there is a Secret.
    pub held: Option<&'a HeldSecret>,
    /// What Vault tells of the path or the lease, if the object asks for instant updates.
    pub subscription: Option<&'a Subscription>,
    /// A change that Vault has told of: what is obtained must not be older.
    pub pending: Option<&'a PendingChange>,
}

impl<O: SecretOwner> Reading<'_, O> {
    /// Whether all restarts for what the Secret holds are done, by the status.
    pub fn are_restarts_done(&self) -> bool {
        let recorded = self.object.recorded_mac();
        !self.object.keeps_digest() || self.held.is_none_or(|held| recorded == Some(&*held.applied.mac))
    }
}

impl<O> Reading<'_, O> {
    /// Vault has answered with a state that shows the pending change.
    pub fn acknowledge(&self) {
        if let (Some(subscription), Some(pending)) = (self.subscription, self.pending) {
            subscription.acknowledge(pending);
        }
    }

    /// No node of Vault has reached the state of the pending change. After a restore it may be gone for good, so the
    /// next run reads without it.
    pub fn give_up_index(&self) {
        if let (Some(subscription), Some(pending)) = (self.subscription, self.pending) {
            subscription.give_up_index(pending);
        }
    }
}

/// What there is for the Secret.
pub(crate) enum Obtained {
    /// Data that it has to hold.
    Data {
        /// The data.
        data: SourceData,
        /// The token that it was obtained with.
        token: TokenInfo,
    },
    /// What it holds is to stay. Only where the kind looks first, and there is a Secret.
    Kept {
        /// An earlier run has written it without coming to its end: restarts may be owed.
        unfinished: bool,
    },
}

/// What only one kind has to say of a Secret that is as it has to be.
#[derive(Default)]
pub(crate) struct Report {
    /// Conditions of the kind.
    pub conditions: Vec<ConditionUpdate<'static>>,
    /// What is added to the message of the condition `SecretSynced`.
    pub remarks: Vec<Cow<'static, str>>,
    /// Events that go with a status that is written.
    pub events: Vec<EventText>,
    /// The `metadata.generation` that is applied, where an earlier run has written the Secret for another than there is
    /// now.
    pub generation: Option<i64>,
    /// The event of a Secret that was written, where it is not VSO's for VaultStaticSecrets.
    pub written: Option<EventText>,
}

/// When what a Secret holds ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// When the content ends, in seconds since 1970.
    pub ends: i64,
    /// When it has to be renewed or replaced at the latest, in seconds since 1970.
    pub renew_by: i64,
}

/// What of a clean-up could not be done.
pub(crate) struct CleanUpError {
    /// The event that says what could not be done.
    pub event: EventText,
    /// Whether another try may do it.
    pub may_pass: bool,
}
