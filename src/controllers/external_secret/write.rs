//! What becomes of the Secret.

use k8s_openapi::api::core::v1::Secret;

use super::ExternalSecrets;
use super::report::Done;
use super::state::{Applied, State};
use crate::api::external_secrets::{CreationPolicy, DeletionPolicy, ExternalSecret};
use crate::api::{ConditionType, CustomObject as _, ObjectRef, Reason, condition};
use crate::controllers::store_failure::{StoreFailure, StoreInterruption};
use crate::external_secret::target::{self, Action, Outcome, Owner, Plan, Wanted};
use crate::external_secret::template::Rendered;
use crate::external_secret::{hash, restart};
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
    pub(super) async fn look(&self, object: &ExternalSecret, state: &mut State) -> Result<bool, StoreFailure> {
        let policy = object.spec.target.creation_policy.as_ref();
        if matches!(policy, Some(CreationPolicy::None | CreationPolicy::Orphan)) {
            // What is there, if anything, is not looked after, but restarts may be owed.
            if restart::is_asked_for(&object.metadata) {
                let found = self.writer(object).get(object.target_name()).await;
                state.owed = found.map_err(|error| not_written(&error))?.and_then(|secret| self.owed(object, &secret));
            }
            return Ok(true);
        }
        let found = self.writer(object).get(object.target_name()).await.map_err(|error| not_written(&error))?;
        let Some(secret) = found else {
            let ready = condition::find(object.conditions(), ConditionType::Ready);
            let absent = [Reason::SecretMissing, Reason::SecretDeleted];
            let is_right = ready.is_some_and(|ready| absent.iter().any(|absent| ready.reason == *absent));
            state.applied = is_right.then_some(Applied { revision: None, inputs: [0; 32] });
            return Ok(is_right);
        };
        let valid = target::is_valid(&object.spec.target, Some(&secret));
        if valid {
            state.owed = self.owed(object, &secret);
            self.keep(object, state, Revision::of(&secret.metadata), [0; 32]);
        }
        Ok(valid)
    }

    /// The stores hold nothing: what becomes of the Secret. `None`: it is written without data.
    pub(super) async fn without_data(
        &self,
        object: &ExternalSecret,
        state: &mut State,
    ) -> Result<Option<Done>, StoreInterruption> {
        let target = &object.spec.target;
        if target.deletion_policy == Some(DeletionPolicy::Merge) {
            return Ok(None);
        }
        let current = self.writer(object).get(object.target_name()).await.map_err(|error| not_written(&error))?;
        match target::on_no_data(&Owner::of(object), target, current.as_ref()) {
            None => Ok(None),
            Some(plan) => {
                let done = self.carry_out(object, plan, current, state, [0; 32]).await?;
                done.map(Some).ok_or_else(|| written_by_others().into())
            }
        }
    }

    /// Whether the Secret holds what the templates of an earlier run, or of an earlier process, have made of equal
    /// inputs. Asked only where they would make something else of them now.
    pub(super) async fn is_made_from(
        &self,
        object: &ExternalSecret,
        inputs: [u8; 32],
        state: &mut State,
    ) -> Result<bool, StoreFailure> {
        let Some(mac) = self.inputs_mac(&inputs, state) else { return Ok(false) };
        let found = self.writer(object).get(object.target_name()).await.map_err(|error| not_written(&error))?;
        let Some(secret) = found.filter(|secret| target::is_made_from(secret, Owner::of(object).name, &mac)) else {
            return Ok(false);
        };
        state.owed = self.owed(object, &secret);
        self.keep(object, state, Revision::of(&secret.metadata), inputs);
        Ok(true)
    }

    fn inputs_mac(&self, inputs: &[u8; 32], state: &State) -> Option<String> {
        let is_volatile = state.template.as_ref().is_some_and(|template| template.is_volatile());
        is_volatile.then(|| self.mac_key.key.mac_of_texts(["inputs", &hex::encode(inputs)].into_iter()))
    }

    /// Makes the Secret what was rendered.
    pub(super) async fn write(
        &self,
        object: &ExternalSecret,
        rendered: Rendered,
        inputs: [u8; 32],
        state: &mut State,
    ) -> Result<Done, StoreInterruption> {
        let spec = &object.spec.target;
        let Rendered { data, labels, annotations, type_ } = rendered;
        let finalizers =
            spec.template.as_ref().map(|template| template.metadata.finalizers.clone()).unwrap_or_default();
        let restarts = restart::is_asked_for(&object.metadata);
        let inputs_mac = self.inputs_mac(&inputs, state);
        let wanted = Wanted { data, labels, annotations, type_, finalizers, restarts, inputs: inputs_mac };
        for _ in 0..ATTEMPTS {
            let current = self.writer(object).get(object.target_name()).await.map_err(|error| not_written(&error))?;
            let plan = target::plan(&Owner::of(object), spec, object.target_name(), current.as_ref(), &wanted);
            if let Some(done) = self.carry_out(object, plan, current, state, inputs).await? {
                return Ok(done);
            }
        }
        Err(written_by_others().into())
    }

    /// Does what was decided about the Secret, which is `current`. `None`: another client has changed it meanwhile.
    async fn carry_out(
        &self,
        object: &ExternalSecret,
        plan: Plan,
        current: Option<Secret>,
        state: &mut State,
        inputs: [u8; 32],
    ) -> Result<Option<Done>, StoreFailure> {
        let writer = self.writer(object);
        let manager = hash::field_manager(Owner::of(object).name);
        let left = current.as_ref().map(|current| Revision::of(&current.metadata));
        let owed = match &plan.action {
            Action::Create(secret) | Action::Update(secret) => self.owed(object, secret),
            Action::Delete => None,
            Action::Leave => current.as_ref().and_then(|current| self.owed(object, current)),
        };
        let (written, done) = match plan.action {
            Action::Create(secret) => (writer.create_as(&secret, &manager).await.map(Some), Done::Created),
            Action::Update(mut secret) => {
                target::forget_others(&mut secret, |name| self.fills(name, object));
                (writer.update_as(&secret, &manager).await.map(Some), Done::Updated)
            }
            Action::Delete => {
                self.delete(object, object.target_name()).await?;
                state.applied = Some(Applied { revision: None, inputs });
                return Ok(Some(Done::Deleted { now: true }));
            }
            Action::Leave => (Ok(left), Done::Unchanged),
        };
        let revision = match written {
            Ok(revision) => revision,
            // Another client was faster.
            Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => return Ok(None),
            Err(error) => return Err(not_written(&error)),
        };
        state.owed = owed;
        let kept = |done: Done| {
            match revision {
                Some(revision) => self.keep(object, state, revision, inputs),
                None => state.applied = Some(Applied { revision: None, inputs }),
            }
            Ok(Some(done))
        };
        match plan.outcome {
            Outcome::Synced => kept(done),
            Outcome::Retained => kept(Done::Retained),
            Outcome::Missing => kept(Done::Missing),
            Outcome::Deleted => kept(Done::Deleted { now: false }),
            Outcome::Failed(error) => Err(StoreFailure::new(error.to_string())),
        }
    }

    /// The name of the Secret has changed: the one of the former name goes, if it is the object's. Called when the new
    /// one is there, so that a new one that cannot be made costs the workloads nothing.
    pub(super) async fn delete_former_target(&self, object: &ExternalSecret) -> Result<(), StoreFailure> {
        let binding = object.status.as_ref().and_then(|status| status.binding.as_ref());
        let Some(former) = binding.filter(|former| former.name != object.target_name()) else { return Ok(()) };
        let found = self.writer(object).get(&former.name).await.map_err(|error| not_written(&error))?;
        let is_orphan = |secret: &Secret| {
            target::is_orphan(&Owner::of(object), &object.spec.target, object.target_name(), &secret.metadata)
        };
        if found.as_ref().is_some_and(is_orphan) { self.delete(object, &former.name).await } else { Ok(()) }
    }

    async fn delete(&self, object: &ExternalSecret, name: &str) -> Result<(), StoreFailure> {
        let writer = self.writer(object);
        let failed = |error: KubernetesError| StoreFailure::new(format!("could not delete secret: {error}"));
        let Some(secret) = writer.get(name).await.map_err(failed)? else { return Ok(()) };
        let revision = Revision::of(&secret.metadata);
        writer.delete(name, &revision).await.map_err(failed)?;
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        self.stores().targets.delete_own(&ObjectRef::new(namespace, name), &revision);
        Ok(())
    }

    /// Whether the ExternalSecret of this name fills the Secret of `object`, or is not listed yet.
    fn fills(&self, name: &str, object: &ExternalSecret) -> bool {
        let stores = self.stores();
        let id = ObjectRef::new(object.metadata.namespace.as_deref().unwrap_or(""), name);
        let found = stores.external_secrets.get(&id);
        !stores.external_secret_watches.have_listed()
            || found.is_some_and(|other| other.target_name() == object.target_name())
    }

    pub(super) fn keep(&self, object: &ExternalSecret, state: &mut State, revision: Revision, inputs: [u8; 32]) {
        self.stores().targets.apply_answer(&target_id(object), &revision, &object.key());
        state.applied = Some(Applied { revision: Some(revision), inputs });
    }

    pub(super) fn writer(&self, object: &ExternalSecret) -> SecretWriter {
        SecretWriter::new(&self.access.outputs.client, object.metadata.namespace.as_deref().unwrap_or(""))
    }
}

fn target_id(object: &ExternalSecret) -> ObjectRef {
    ObjectRef::new(object.metadata.namespace.as_deref().unwrap_or(""), object.target_name())
}

fn not_written(error: &KubernetesError) -> StoreFailure {
    StoreFailure::new(format!("could not update secret: {error}"))
}

fn written_by_others() -> StoreFailure {
    StoreFailure::new("could not update secret: other clients write it all the time")
}
