//! What a login consists of, and for which VaultAuth it is made.

use sha2::{Digest as _, Sha256};

use super::{ConnectionPlan, ObjectRef};
use crate::api::Kind;
use crate::api::auth_methods::{CredentialObject, Method};

/// A checked VaultAuth with its connection, for one namespace that uses it, or the login of a store.
#[derive(Clone, Debug)]
pub struct AuthPlan {
    /// The VaultAuth or the store.
    pub owner: LoginOwner,
    /// How a token is obtained.
    pub login: LoginPlan,
}

/// One version of the VaultAuth, or the store, that asks for a login.
#[derive(Clone, Debug)]
pub struct LoginOwner {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub id: ObjectRef,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// How a token is obtained. VaultAuths with equal content lead to equal plans.
#[derive(Clone, Debug)]
pub struct LoginPlan {
    /// Where to log in.
    pub connection: ConnectionPlan,
    /// Vault namespace of the login, and of the reads of objects that name no other; empty for the root.
    pub vault_namespace: String,
    /// Auth mount without `auth/`; empty for a method that needs none.
    pub mount: String,
    /// Further parameters of the login.
    pub params: Vec<(String, String)>,
    /// Headers of the login request.
    pub headers: Vec<(String, String)>,
    /// The method and its settings.
    pub method: Method,
    /// Namespace of the object that uses the login; its Secrets and service accounts are here.
    pub credential_namespace: String,
}

impl LoginPlan {
    /// A digest over everything that decides which token a login gives. Logins with equal digests on one server are one
    /// login.
    pub fn identity(&self, server: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        let server = server.to_string();
        for text in [&server, &self.vault_namespace, &self.mount, &self.credential_namespace] {
            add(text);
        }
        let settings = self.method.settings();
        add(settings.method().as_str());
        settings.digest(&mut add);
        for (name, value) in self.params.iter().chain(&self.headers) {
            add(name);
            add(value);
        }
        add(&self.params.len().to_string());
        hash.finalize().into()
    }
}

impl AuthPlan {
    /// VSO's key of the client in `status.vaultClientMeta`: readers of the status, and VSO itself after a way back,
    /// find the objects of a client by it. `credential_uid` is the UID of the service account or Secret. `None` for
    /// method `token`, which VSO does not know.
    pub fn cache_key(&self, credential_uid: &str) -> Option<String> {
        let (owner, connection) = (&self.owner, &self.login.connection);
        let settings = self.login.method.settings();
        let uids = [owner.uid.as_str(), connection.uid.as_str(), credential_uid];
        if !self.login.method.needs_mount() || uids.iter().any(|uid| uid.len() != 36) {
            return None;
        }
        let mut input = format!(
            "{}-{}.{}-{}.{}",
            owner.uid, owner.generation, connection.uid, connection.generation, credential_uid
        );
        // The operator's own identity has one UID, whatever namespace uses it, and each namespace has a login of its
        // own.
        let user = &self.login.credential_namespace;
        if settings.credential() == CredentialObject::Operator && **user != *owner.id.namespace {
            input = format!("{input}.{user}");
        }
        let digest = Sha256::digest(input.as_bytes());
        let method = settings.method().as_str().to_lowercase();
        Some(format!("{method}-{}{}", hex::encode(&digest[..7]), hex::encode(&digest[28..])))
    }
}
