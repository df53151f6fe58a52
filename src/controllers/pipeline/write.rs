//! From the data to the Secret.

use super::Shared;
use super::failure::{Failure, Interruption};
use super::render::{NewData, Output};
use super::state::Rendered;
use crate::api::{Key, Reason, SecretOwner};
use crate::kubernetes::{ErrorKind, SecretWriter, Workloads};
use crate::sync::{self, DesiredSecret, DestinationError, HeldSecret, LastApplied, Previous, SyncResult};

/// A Secret that is as it has to be.
pub(super) struct Written {
    pub result: SyncResult,
    /// MAC of the data.
    pub mac: String,
    /// What `status.secretMAC` says of the content: its MAC, or the one that VSO has put there for equal content.
    pub record: String,
    /// Inputs and output of its templates, if they were run: `None` where they draw nothing at random.
    pub rendered: Option<Option<Rendered>>,
    /// Why Secrets of a former destination name may be left.
    pub orphans: Option<String>,
}

/// `status.secretMAC` as a MAC of this operator: what VSO has recorded for equal content stands for its MAC.
pub(super) fn recorded(owner: &dyn SecretOwner, output: &Output) -> Option<String> {
    let recorded = owner.recorded_mac()?;
    match output {
        Output::New(NewData { vso_mac: Some(theirs), mac, .. }) if theirs == recorded => Some(mac.clone()),
        _ => Some(recorded.to_owned()),
    }
}

/// Whether changes of the content restart workloads.
pub(super) fn restarts(owner: &dyn SecretOwner) -> bool {
    owner.keeps_digest() && !owner.restart_targets().is_empty()
}

/// What the destination holds, before anything is obtained for it. `None`: there is no Secret, and the object may
/// create it.
pub(super) async fn look(
    shared: &Shared,
    writer: &SecretWriter,
    owner: &dyn SecretOwner,
    applied: &Option<LastApplied>,
) -> Result<Option<HeldSecret>, Interruption> {
    let (secrets, key) = (&shared.stores.secrets, &shared.mac_key.key);
    let held = sync::look(writer, secrets, owner, key, applied.as_ref()).await;
    held.map_err(|error| failure(&error).into())
}

/// Leaves the Secret its data. Only what it carries beside them is put right, where it is not known as the
/// object's any more, or the spec is another. Returns the content whose restarts are all done, too.
pub(super) async fn keep(
    shared: &Shared,
    writer: &SecretWriter,
    owner: &dyn SecretOwner,
    held: Option<&HeldSecret>,
    unfinished: bool,
    applied: &mut Option<LastApplied>,
) -> Result<(Written, Option<String>), Interruption> {
    let Some(held) = held else {
        let text = format!("destination secret {} does not exist", owner.destination_id());
        return Err(Failure::new(Reason::InexistentDestination, text).into());
    };
    let recorded = owner.recorded_mac().map(str::to_owned);
    let mac = held.applied.mac.to_string();
    let as_it_was = held.marked && owner.applied_generation() == owner.generation();
    if let (false, Some(data)) = (as_it_was, &held.data) {
        let output = Output::New(NewData { data: data.clone(), mac, vso_mac: None, inputs: None });
        let written = write(shared, writer, owner, output, recorded.as_deref(), applied).await?;
        return Ok((written, recorded));
    }
    let annotation = held.applied.annotation.as_deref().map(str::to_owned);
    let previous = Previous::Equal { annotation, changed: held.changed };
    let result = SyncResult { applied: held.applied.clone(), wrote: false, previous };
    // What is immutable is found by reading it.
    *applied = held.immutable.is_none().then(|| held.applied.clone());
    if owner.destination().create {
        let key = Key { kind: owner.kind(), id: owner.id() };
        shared.stores.secrets.apply_answer(&owner.destination_id(), &held.applied.revision, &key);
    }
    // Content that another client has put there is not what workloads were restarted for.
    let is_foreign = !unfinished && held.has_other_content();
    let record = recorded.clone().filter(|recorded| is_foreign && !recorded.is_empty()).unwrap_or_else(|| mac.clone());
    Ok((Written { result, record, mac, rendered: None, orphans: None }, recorded))
}

/// Makes the Secret what it has to be. `applied` is what is known of the Secret: from an earlier run before, from this
/// one after.
pub(super) async fn write(
    shared: &Shared,
    writer: &SecretWriter,
    owner: &dyn SecretOwner,
    output: Output,
    recorded: Option<&str>,
    applied: &mut Option<LastApplied>,
) -> Result<Written, Interruption> {
    let generation_changed = owner.applied_generation() != owner.generation();
    let (result, mac, rendered) = match output {
        Output::Unchanged(applied) => (SyncResult::unchanged(applied.clone()), applied.mac.to_string(), None),
        Output::New(NewData { data, mac, inputs, .. }) => {
            let key = &shared.mac_key.key;
            let rendered = inputs.as_ref().map(|inputs| sync::rendered_mac(key, inputs, &mac));
            let desired = DesiredSecret {
                owner,
                data: &data,
                mac: &mac,
                rendered: rendered.as_deref(),
                key,
                restarts: restarts(owner),
                recorded,
                generation_changed,
            };
            let workloads = Workloads::new(&shared.outputs.client, owner.namespace());
            let secrets = &shared.stores.secrets;
            let result = match sync::sync(writer, secrets, &workloads, &desired, applied.as_ref()).await {
                Ok(result) => result,
                // Nothing was written: what is known of the Secret still holds.
                Err(DestinationError::Unsettled(held)) => return Err(Interruption::Record(held)),
                Err(error) => {
                    *applied = None;
                    return Err(failure(&error).into());
                }
            };
            (result, mac.clone(), Some(inputs.map(|inputs| Rendered { inputs, mac })))
        }
    };
    let mut orphans = None;
    // The first generation of an object has no former name. The name of another client's Secret has one.
    if generation_changed && owner.generation() > 1 {
        match sync::delete_orphans(writer, owner).await {
            Ok(0) => {}
            Ok(n) => tracing::info!(n, "deleted Secrets of a former destination name"),
            Err(error) => {
                tracing::warn!(%error, "Secrets of a former destination name may be left");
                orphans = Some(error.to_string());
            }
        }
    }
    let record = match owner.recorded_mac() {
        Some(theirs) if Some(theirs) != recorded => theirs.to_owned(),
        _ => mac.clone(),
    };
    *applied = Some(result.applied.clone());
    Ok(Written { result, mac, record, rendered, orphans })
}

fn failure(error: &DestinationError) -> Failure {
    match error {
        DestinationError::Missing(text) => Failure::new(Reason::InexistentDestination, text.as_str()),
        DestinationError::Kubernetes(error) if error.kind == ErrorKind::Unavailable => {
            Failure { is_unanswered: true, ..Failure::destination(error) }
        }
        other => Failure::destination(other),
    }
}
