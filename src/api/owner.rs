//! What all kinds have in common that fill a Secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::condition::Condition;
use super::{Destination, Kind, ObjectRef, RolloutRestartTarget, VaultClientMeta};

/// An object that owns a Secret: it logs in to Vault, fills its destination, and restarts workloads.
pub trait SecretOwner: Send + Sync + 'static {
    /// Its kind.
    fn kind(&self) -> Kind;
    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// `spec.vaultAuthRef`: `name`, `namespace/name`, or nothing for the operator's default.
    fn vault_auth_ref(&self) -> Option<&str>;
    /// The Secret to fill, and what becomes of the data before that.
    fn destination(&self) -> &Destination;
    /// Workloads to restart when the content of the Secret changes.
    fn restart_targets(&self) -> &[RolloutRestartTarget];
    /// Whether the object asks to be synced as soon as Vault tells of a change.
    fn wants_instant_updates(&self) -> bool;
    /// Whether a digest of the content is kept in the status. Without it no restart is owed to a workload.
    fn keeps_digest(&self) -> bool;
    /// `status.secretMAC`: the content whose restarts are all done.
    fn recorded_mac(&self) -> Option<&str>;
    /// `status.lastGeneration`: the generation that was last applied, 0 before the first sync.
    fn applied_generation(&self) -> i64;
    /// The conditions of the status.
    fn owner_conditions(&self) -> &[Condition];
    /// Which keys of the Secret are its content.
    fn content_keys(&self) -> ContentKeys {
        ContentKeys::All
    }

    /// Namespace of the object, of its Secret and of its workloads.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or("")
    }

    /// Name of the object.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or("")
    }

    /// Namespace and name of the object.
    fn id(&self) -> ObjectRef {
        ObjectRef::of(self.metadata())
    }

    /// Namespace and name of the Secret.
    fn destination_id(&self) -> ObjectRef {
        ObjectRef::new(self.namespace(), self.destination().name.as_str())
    }

    /// Generation of the object.
    fn generation(&self) -> i64 {
        self.metadata().generation.unwrap_or(0)
    }

    /// The one owner reference of a Secret that the object has created.
    fn owner_reference(&self) -> Value {
        let meta = self.metadata();
        json!({
            "apiVersion": self.kind().api_version(),
            "kind": self.kind().as_str(),
            "name": meta.name,
            "uid": meta.uid,
        })
    }
}

/// Which keys of a Secret are its content. A change of the others alone is not written and restarts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentKeys {
    /// All.
    #[default]
    All,
    /// All but what Vault says about the rotation of static credentials, which differs in each answer. The rule is
    /// VSO's.
    StaticCredentials,
}

impl ContentKeys {
    /// Whether a key is content.
    pub fn contains(self, key: &str) -> bool {
        match self {
            ContentKeys::All => true,
            ContentKeys::StaticCredentials => {
                let about = ["rotation_schedule", "rotation_period", "last_vault_rotation"];
                !key.starts_with("ttl") && !key.ends_with("_raw") && !about.iter().any(|part| key.contains(part))
            }
        }
    }
}

/// What the status of every owner says of its last sync.
pub trait OwnerStatus {
    /// Replaces the conditions.
    fn set_conditions(&mut self, conditions: Vec<Condition>);
    /// The generation that was applied.
    fn set_generation(&mut self, generation: i64);
    /// The content whose restarts are all done.
    fn set_recorded_mac(&mut self, mac: Option<String>);
    /// What it says of the Vault client that was used, if the kind says it.
    fn vault_client_meta(&mut self) -> Option<&mut VaultClientMeta> {
        None
    }
}
