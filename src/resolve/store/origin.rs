//! A store, and the namespace that uses it: which objects it may name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::external_secrets::selector::SecretKeySelector;
use crate::api::reference::is_object_name;
use crate::api::{Key, ObjectRef};
use crate::resolve::Denied;

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// The Secret.
    pub id: ObjectRef,
    /// The key.
    pub key: String,
}

/// The store that is resolved, and for which namespace.
pub(super) struct Origin<'a> {
    /// The store.
    pub key: Key,
    /// Its metadata.
    pub meta: &'a ObjectMeta,
    /// The namespace that uses it; empty for a look at a ClusterSecretStore alone.
    pub consumer: &'a str,
}

impl Origin<'_> {
    /// Whether the store is a ClusterSecretStore.
    pub fn is_cluster_store(&self) -> bool {
        self.key.id.namespace.is_empty()
    }

    /// The namespace of an object that the store names.
    ///
    /// # Errors
    /// Where a SecretStore names another namespace than its own.
    pub fn namespace_of(&self, named: Option<&str>, member: &str) -> Result<String, Denied> {
        match named {
            Some(named) if !self.is_cluster_store() && named != self.consumer => Err(Denied::NotAllowed(format!(
                "{member}.namespace {named:?} is not that of the SecretStore: only a ClusterSecretStore may name another"
            ))),
            Some(named) => Ok(named.to_owned()),
            None => Ok(self.consumer.to_owned()),
        }
    }

    /// A client certificate that the store names, and its key. The connection is one for all users of the store, and so
    /// is what it shows: a ClusterSecretStore has to name the namespace.
    ///
    /// # Errors
    /// If a name or the namespace is missing.
    pub fn certificate(
        &self,
        certificate: &SecretKeySelector,
        key: &SecretKeySelector,
        member: &str,
    ) -> Result<(SecretKey, SecretKey), Denied> {
        if self.is_cluster_store() && (certificate.namespace.is_none() || key.namespace.is_none()) {
            let text = format!("{member}: the Secrets with the certificate and its key need a namespace");
            return Err(Denied::Invalid(text));
        }
        let certificate = self.secret_key(certificate, member, Some("tls.crt"))?;
        Ok((certificate, self.secret_key(key, member, Some("tls.key"))?))
    }

    /// A key of a Secret that the store names.
    ///
    /// # Errors
    /// If there is no name, or no key where there is no default.
    pub fn secret_key(
        &self,
        selector: &SecretKeySelector,
        member: &str,
        default_key: Option<&str>,
    ) -> Result<SecretKey, Denied> {
        let missing = |what: &str| Denied::Invalid(format!("{member} has no {what}"));
        let name = selector.name.as_deref().ok_or_else(|| missing("name"))?;
        if !is_object_name(name) {
            return Err(Denied::Invalid(format!("{member}.name {name:?} is not the name of an object")));
        }
        let key = selector.key.as_deref().or(default_key).ok_or_else(|| missing("key"))?;
        let namespace = self.namespace_of(selector.namespace.as_deref(), member)?;
        Ok(SecretKey { id: ObjectRef::new(namespace, name), key: key.to_owned() })
    }
}
