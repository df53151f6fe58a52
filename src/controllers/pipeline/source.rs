//! What a kind brings to the pipeline.

use std::sync::Arc;
use std::time::Instant;

use crate::api::owner::{OwnerStatus, SecretOwner};
use crate::api::{CustomObject, Key, Reason};
use crate::controllers::outputs::Outputs;
use crate::controllers::stores::Stores;
use crate::controllers::subscriptions::{PendingChange, Subscription};
use crate::controllers::vault_access::VaultAccess;
use crate::render::SourceData;
use crate::resolve::{Plan, PlanError};
use crate::vault::{Session, TokenInfo};
use crate::workqueue::Job;

use super::failure::Interruption;

/// A kind that fills a Secret.
pub(crate) trait SecretSource: Send + Sync + 'static {
    /// Its objects. What the status says of a sync is [`OwnerStatus`].
    type Owner: CustomObject<Status: OwnerStatus> + SecretOwner;
    /// What there is to know of an object to obtain its data, beside the login and the path.
    type Plan: Send + Sync;
    /// What is remembered of an object between two runs. Dropped when the login is another.
    type State: Default + Send + Sync;

    /// The finalizer that VSO puts on the objects. Ours never get it.
    const FINALIZER: &'static str;
    /// The reason of conditions and events for settings that cannot work. VSO has one for each kind.
    const INVALID: Reason;

    /// Turns the objects in the stores into a plan.
    fn resolve(object: &Self::Owner, stores: &Stores) -> Result<Plan<Self::Plan>, PlanError>;

    /// Obtains the data.
    fn obtain(
        &self,
        reading: &Reading<'_>,
        plan: &Plan<Self::Plan>,
        state: &mut Self::State,
    ) -> impl Future<Output = Result<Obtained, Interruption>> + Send;

    /// When the object is due again if nothing changes. `None`: only when it changes.
    fn next_due(&self, plan: &Plan<Self::Plan>, state: &Self::State, now: Instant) -> Option<Instant>;
}

/// What a kind obtains its data with.
pub(crate) struct Reading<'a> {
    /// The run.
    pub job: &'a Job<Key>,
    /// The login.
    pub session: &'a Arc<Session>,
    /// Access to Vault.
    pub vault: &'a VaultAccess,
    /// For counts.
    pub outputs: &'a Outputs,
    /// With instant updates: the writes of the path.
    pub subscription: Option<&'a Subscription>,
    /// A change that Vault has told of: what is obtained must not be older.
    pub pending: Option<&'a PendingChange>,
}

impl Reading<'_> {
    /// Vault has answered with a state that shows the pending change.
    pub fn acknowledge(&self) {
        if let (Some(subscription), Some(pending)) = (self.subscription, self.pending) {
            subscription.acknowledge(pending);
        }
    }

    /// No node of Vault has reached the state of the pending change. After a restore it may be gone for good, so the next run
    /// reads without it.
    pub fn give_up_index(&self) {
        if let (Some(subscription), Some(pending)) = (self.subscription, self.pending) {
            subscription.give_up_index(pending);
        }
    }
}

/// What was obtained.
pub(crate) struct Obtained {
    /// The data.
    pub data: SourceData,
    /// The token that it was obtained with.
    pub token: TokenInfo,
}
