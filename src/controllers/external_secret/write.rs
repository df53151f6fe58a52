//! What becomes of the Secret.

use k8s_openapi::api::core::v1::Secret;

use super::ExternalSecrets;
use super::failure::{Failure, Interruption};
use super::report::Done;
use super::state::{Applied, State};
use crate::api::external_secrets::{CreationPolicy, ExternalSecret};
use crate::api::{ConditionType, CustomObject as _, ObjectRef, Reason, condition};
use crate::external_secret::hash;
use crate::external_secret::target::{self, Action, Refusal};
use crate::external_secret::template::Rendered;
use crate::kubernetes::{ErrorKind, KubernetesError, Revision, SecretWriter};

/// A write to a Secret that other clients write at the same time is tried so many times.
const ATTEMPTS: usize = 4;

impl ExternalSecrets {
    /// Whether the Secret is the version that the last run has left.
    pub(super) fn is_untouched(&self, object: &ExternalSecret, state: &State) -> bool {
        let current = self.stores().targets.get(&target_id(object));
        state.applied.as_ref().is_some_and(|applied| applied.revision == current)
    }

    /// Looks whether the Secret is one that an earlier run has left. The stores need not be read for that.
    pub(super) async fn look(&self, object: &ExternalSecret, state: &mut State) -> Result<bool, Failure> {
        match object.spec.target.creation_policy {
            // What is there, if anything, is somebody else's by now.
            Some(CreationPolicy::None | CreationPolicy::Orphan) => return Ok(true),
            _ => {}
        }
        let Some(secret) = self.writer(object).get(object.target_name()).await.map_err(not_read)? else {
            let ready = condition::find(object.conditions(), ConditionType::Ready);
            let absent = [Reason::SecretMissing, Reason::SecretDeleted].map(Reason::as_str);
            let is_right = ready.is_some_and(|ready| absent.contains(&ready.reason.as_str()));
            state.applied = is_right.then_some(Applied { revision: None, inputs: [0; 32] });
            return Ok(is_right);
        };
        if !target::is_valid(&secret) {
            return Ok(false);
        }
        self.keep(object, state, Revision::of(&secret.metadata), [0; 32]);
        Ok(true)
    }

    /// Makes the Secret what was rendered.
    pub(super) async fn write(
        &self,
        object: &ExternalSecret,
        rendered: Rendered,
        inputs: [u8; 32],
        state: &mut State,
    ) -> Result<Done, Interruption> {
        let writer = self.writer(object);
        let name = object.target_name();
        let manager = hash::field_manager(object.metadata.name.as_deref().unwrap_or(""));
        if object.spec.target.creation_policy == Some(CreationPolicy::None) {
            state.applied = Some(Applied { revision: None, inputs });
            return Ok(Done::Unchanged);
        }
        self.delete_former_target(object).await?;
        for _ in 0..ATTEMPTS {
            let current = writer.get(name).await.map_err(not_read)?;
            let (written, done) = match target::decide(object, &rendered, current.as_ref()).map_err(refused)? {
                Action::Leave => {
                    let revision = current.map(|current| Revision::of(&current.metadata));
                    match revision {
                        Some(revision) => self.keep(object, state, revision, inputs),
                        None => state.applied = Some(Applied { revision: None, inputs }),
                    }
                    return Ok(Done::Unchanged);
                }
                Action::Missing => {
                    state.applied = Some(Applied { revision: None, inputs });
                    return Ok(Done::Missing);
                }
                Action::Create(secret) => (writer.create_as(&secret, &manager).await, Done::Created),
                Action::Update(secret) => (writer.update_as(&secret, &manager).await, Done::Updated),
            };
            match written {
                Ok(revision) => {
                    self.keep(object, state, revision, inputs);
                    return Ok(done);
                }
                // Another client was faster.
                Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err(not_written(&error).into()),
            }
        }
        Err(Failure::new("could not update secret: other clients write it all the time").into())
    }

    /// Deletes the Secret, if it is the object's. True if it was there.
    pub(super) async fn delete_target(&self, object: &ExternalSecret, state: &mut State) -> Result<bool, Failure> {
        state.applied = Some(Applied { revision: None, inputs: [0; 32] });
        self.delete(object, object.target_name()).await
    }

    /// The name of the Secret has changed: the one of the former name goes, if it is the object's.
    async fn delete_former_target(&self, object: &ExternalSecret) -> Result<(), Failure> {
        let binding = object.status.as_ref().and_then(|status| status.binding.as_ref());
        match binding {
            Some(former) if former.name != object.target_name() => self.delete(object, &former.name).await.map(drop),
            _ => Ok(()),
        }
    }

    async fn delete(&self, object: &ExternalSecret, name: &str) -> Result<bool, Failure> {
        let writer = self.writer(object);
        let failed = |error: KubernetesError| Failure::new(format!("could not delete secret: {error}"));
        let Some(secret) = writer.get(name).await.map_err(failed)? else { return Ok(false) };
        if !is_owned(&secret, object) {
            return Ok(false);
        }
        let revision = Revision::of(&secret.metadata);
        writer.delete(name, &revision).await.map_err(failed)?;
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        self.stores().targets.delete_own(&ObjectRef::new(namespace, name), &revision);
        Ok(true)
    }

    fn keep(&self, object: &ExternalSecret, state: &mut State, revision: Revision, inputs: [u8; 32]) {
        self.stores().targets.apply_answer(&target_id(object), &revision, &object.key());
        state.applied = Some(Applied { revision: Some(revision), inputs });
    }

    fn writer(&self, object: &ExternalSecret) -> SecretWriter {
        SecretWriter::new(&self.access.outputs.client, object.metadata.namespace.as_deref().unwrap_or(""))
    }
}

fn target_id(object: &ExternalSecret) -> ObjectRef {
    ObjectRef::new(object.metadata.namespace.as_deref().unwrap_or(""), object.target_name())
}

fn is_owned(secret: &Secret, object: &ExternalSecret) -> bool {
    let uid = object.metadata.uid.as_deref();
    secret.metadata.owner_references.iter().flatten().any(|owner| Some(owner.uid.as_str()) == uid)
}

fn not_read(error: KubernetesError) -> Failure {
    Failure::new(format!("could not update secret: {error}"))
}

fn not_written(error: &KubernetesError) -> Failure {
    Failure::new(format!("could not update secret: {error}"))
}

/// ESO's text, and when it is tried again: at the next refresh at the latest.
fn refused(refusal: Refusal) -> Failure {
    Failure::new(refusal.to_string())
}
