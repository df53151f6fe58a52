//! VaultAuth: whether its references resolve. As VSO, it does not log in: the identity depends on the object that uses
//! it.

use std::collections::HashSet;
use std::sync::Arc;

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use kube::{Resource as _, ResourceExt as _};

use super::controller::{Controller, Watches};
use super::dependents::spec_or_metadata_changed;
use super::finalizer::remove_finalizer;
use super::outcome::Outcome;
use super::outputs::{EventText, Outputs};
use super::vault_access::VaultAccess;
use crate::api::{
    ConditionType, ConditionUpdate, CustomObject as _, Key, Kind, ObjectRef, Reason, VaultAuth, VaultAuthGlobal,
    VaultAuthStatus, condition,
};
use crate::kubernetes::Change;
use crate::resolve::{self, Denied, GlobalVersion, Lookup, Merged};
use crate::telemetry::ResourceStatus;
use crate::workqueue::{Class, Job, Next};

const FINALIZER: &str = "vaultauth.secrets.hashicorp.com/finalizer";
/// Checks the settings of all logins.
pub(super) struct VaultAuths {
    pub vault: Arc<VaultAccess>,
    pub outputs: Outputs,
}

#[async_trait::async_trait]
impl Controller for VaultAuths {
    fn kind(&self) -> Kind {
        VaultAuth::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let (auths, globals) = (self.vault.stores.auths.clone(), self.vault.stores.globals.clone());
        let this = self.clone();
        auths.listen(move |change| this.changed(&change));
        watches.shared(auths);
        globals.listen(move |change| self.global_changed(&change));
        watches.shared(globals);
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let stores = &self.vault.stores;
        let Some(object) = stores.auths.get(&job.key.id) else { return Outcome::await_change() };
        if object.metadata.deletion_timestamp.is_some() {
            return remove_finalizer(&self.outputs.client, &*object, FINALIZER).await;
        }
        let (status, event) = report(&object, &**stores);
        if self.outputs.publish(&stores.auths, &object, &status, &[event]).await.is_err() {
            return Outcome::write_failed();
        }
        // What would change the result is watched, and makes this object due.
        if status.error.is_none() { Outcome::await_change() } else { Outcome::blocked(Next::WhenChanged, None) }
    }

    fn objects(&self) -> usize {
        self.vault.stores.auths.len()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        let all = self.vault.stores.auths.all();
        all.iter().filter_map(|object| ResourceStatus::of(&**object, object.status.as_ref()?.valid)).collect()
    }
}

impl VaultAuths {
    fn changed(&self, change: &Change<VaultAuth>) {
        let Some(id) = self.vault.dependents.enqueue_if_changed(change) else { return };
        self.vault.logins.users_changed();
        self.vault.dependents.of_auths(&HashSet::from([id]));
    }

    /// A VaultAuthGlobal is not reconciled itself: it is shown by the VaultAuths that use it, or would use it if it
    /// were there.
    fn global_changed(&self, change: &Change<VaultAuthGlobal>) {
        let id = match change {
            Change::Applied { old: Some(old), new, .. } if !spec_or_metadata_changed(old.meta(), new.meta()) => return,
            Change::Applied { new: object, .. } | Change::Deleted(object) => ObjectRef::of(object.meta()),
        };
        let stores = &self.vault.stores;
        let uses = |auth: &VaultAuth| resolve::global_candidates(auth, &stores.operator_namespace).contains(&id);
        let auths: HashSet<ObjectRef> =
            stores.auths.all().iter().filter(|auth| uses(auth)).map(|auth| ObjectRef::of(auth.meta())).collect();
        for id in &auths {
            self.vault.work.push_now(Key { kind: VaultAuth::KIND, id: id.clone() }, Class::Event);
        }
        self.vault.dependents.of_auths(&auths);
    }
}

/// What there is to tell of a VaultAuth, over the objects that it refers to.
fn report(object: &VaultAuth, lookup: &impl Lookup) -> (VaultAuthStatus, EventText) {
    use ConditionType::{Available, Healthy, Ready};
    let namespace = object.namespace().unwrap_or_default();
    let merged = resolve::merged(object, lookup);
    let denied = resolve::auth(object, &namespace, lookup).err();
    let error = denied.as_ref().map(Denied::to_string);
    let reason = match &denied {
        None => Reason::Accepted,
        Some(Denied::Reference(_)) => Reason::InvalidResourceRef,
        Some(Denied::NotAllowed(_)) => Reason::NotAllowed,
        Some(Denied::Missing(_) | Denied::Invalid(_)) => Reason::InvalidConfiguration,
    };
    let available = match &merged {
        Ok(Merged { global: None, .. }) => None,
        Ok(Merged { global: Some(GlobalVersion { id, uid, generation }), .. }) => {
            let text = format!("VaultAuthGlobal successfully merged, key={id}, uid={uid}, generation={generation}");
            Some(ConditionUpdate::holds(Available, Reason::VaultAuthGlobalRef, text))
        }
        Err(denied) => Some(ConditionUpdate::fails(Available, Reason::VaultAuthGlobalRef, denied.to_string())),
    };
    let without_global = available.is_none();
    let mut updates: Vec<_> = available.into_iter().collect();
    updates.extend(match &error {
        None => [
            ConditionUpdate::holds(Healthy, Reason::Healthy, "VaultAuthHealthy"),
            ConditionUpdate::holds(Ready, Reason::Ready, "VaultAuthReady"),
        ],
        Some(error) => [
            ConditionUpdate::fails(Healthy, Reason::Unhealthy, "VaultAuthUnhealthy"),
            ConditionUpdate::fails(Ready, reason, error.as_str()),
        ],
    });
    let mut conditions = condition::merge(object.conditions(), object.meta().generation.unwrap_or(0), &updates);
    conditions.retain(|c| !without_global || c.type_ != Available);
    let event = match &error {
        None => EventText::normal(reason, "Successfully handled VaultAuth resource request"),
        Some(error) => EventText::warning(reason, format!("Failed to handle VaultAuth resource request: err={error}")),
    };
    let spec = merged.as_ref().map_or(&object.spec, |merged| &merged.spec);
    let digest = Blake2b::<U32>::digest(serde_json::to_vec(spec).unwrap_or_default());
    let status =
        VaultAuthStatus { valid: Some(error.is_none()), error, spec_hash: Some(hex::encode(digest)), conditions };
    (status, event)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::api::{SecretTransformation, VaultConnection, condition::find};

    /// The objects that a VaultAuth can refer to, in namespace `ns`.
    #[derive(Default)]
    struct World {
        connections: HashMap<ObjectRef, Arc<VaultConnection>>,
        globals: HashMap<ObjectRef, Arc<VaultAuthGlobal>>,
    }

    impl Lookup for World {
        fn auth(&self, _id: &ObjectRef) -> Option<Arc<VaultAuth>> {
            None
        }

        fn global(&self, id: &ObjectRef) -> Option<Arc<VaultAuthGlobal>> {
            self.globals.get(id).cloned()
        }

        fn allows_default_globals(&self) -> bool {
            true
        }

        fn allows_ambient_cloud_identity(&self) -> bool {
            false
        }

        fn connection(&self, id: &ObjectRef) -> Option<Arc<VaultConnection>> {
            self.connections.get(id).cloned()
        }

        fn transformation(&self, _id: &ObjectRef) -> Option<Arc<SecretTransformation>> {
            None
        }

        fn watches_namespace(&self, namespace: &str) -> bool {
            namespace != "elsewhere"
        }

        fn operator_namespace(&self) -> &str {
            "operator"
        }

        fn min_refresh_after(&self) -> std::time::Duration {
            std::time::Duration::from_secs(1)
        }
    }

    fn object<K: serde::de::DeserializeOwned>(kind: &str, spec: Value) -> K {
        let metadata = json!({ "namespace": "ns", "name": "x", "uid": "u", "generation": 2 });
        let version = "secrets.hashicorp.com/v1beta1";
        serde_json::from_value(json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec }))
            .unwrap()
    }

    fn world() -> World {
        let connection = object("VaultConnection", json!({ "address": "http://vault" }));
        World { connections: [(ObjectRef::new("ns", "x"), Arc::new(connection))].into(), ..World::default() }
    }

    fn auth(connection: &str, role: Option<&str>) -> VaultAuth {
        let kubernetes = json!({ "role": role, "serviceAccount": "app" });
        let spec = json!({
            "vaultConnectionRef": connection, "method": "kubernetes", "mount": "kubernetes", "kubernetes": kubernetes,
        });
        object("VaultAuth", spec)
    }

    #[test]
    fn what_is_wrong_with_a_reference_is_told_apart() {
        for (connection, role, reason) in [
            ("x", Some("r"), Reason::Accepted),
            ("missing", Some("r"), Reason::InvalidConfiguration),
            ("a/b/c", Some("r"), Reason::InvalidResourceRef),
            ("elsewhere/x", Some("r"), Reason::NotAllowed),
            ("x", None, Reason::InvalidConfiguration),
        ] {
            let (status, event) = report(&auth(connection, role), &world());
            let ready = find(&status.conditions, ConditionType::Ready).unwrap();
            let valid = reason == Reason::Accepted;
            assert_eq!((event.reason, status.valid), (reason, Some(valid)), "{connection} {role:?}");
            assert_eq!(ready.status.as_str() == "True", valid, "{connection} {role:?}");
            assert_eq!(ready.reason.as_str(), if valid { "Ready" } else { reason.as_str() }, "{connection} {role:?}");
            assert_eq!(status.error.as_deref(), Some(&*ready.message).filter(|_| !valid));
            assert!(find(&status.conditions, ConditionType::Available).is_none(), "there is no VaultAuthGlobal");
        }
    }

    #[test]
    fn a_global_is_shown_while_it_is_referred_to() {
        let mut referrer = auth("x", Some("r"));
        referrer.spec.vault_auth_global_ref = serde_json::from_value(json!({ "name": "x" })).unwrap();
        let available = |object: &VaultAuth, world: &World| {
            let (status, _) = report(object, world);
            let found = find(&status.conditions, ConditionType::Available);
            (found.map(|c| c.status.as_str().to_owned()), status)
        };
        let mut world = world();
        assert_eq!(available(&referrer, &world).0.as_deref(), Some("False"));
        world.globals.insert(ObjectRef::new("ns", "x"), Arc::new(object("VaultAuthGlobal", json!({}))));
        let (shown, status) = available(&referrer, &world);
        assert_eq!(shown.as_deref(), Some("True"));
        referrer.status = Some(status.clone());
        assert_eq!(available(&referrer, &world).1, status, "an equal result is an equal status");
        referrer.spec.vault_auth_global_ref = None;
        assert_eq!(available(&referrer, &world).0, None);
    }
}
