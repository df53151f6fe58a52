//! To which ExternalSecret a Secret belongs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::TargetError;
use crate::api::external_secrets::{API_VERSION, ExternalSecret};
use crate::external_secret::hash;

const KIND: &str = "ExternalSecret";

/// An ExternalSecret.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Its namespace, which is that of the Secret.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|reference| reference.controller == Some(true))
}

fn is_external_secret(reference: &OwnerReference) -> bool {
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    reference.kind == KIND && group(&reference.api_version) == group(API_VERSION)
}

impl<'a> Owner<'a> {
    /// An object as it is.
    pub fn of(object: &'a ExternalSecret) -> Self {
        let of = |member: &'a Option<String>| member.as_deref().unwrap_or("");
        let ObjectMeta { namespace, name, uid, .. } = &object.metadata;
        Self { namespace: of(namespace), name: of(name), uid: of(uid) }
    }
}

impl Owner<'_> {
    /// The label of what it owns.
    pub fn hash(&self) -> String {
        hash::of_owner(self.namespace, self.name)
    }

    /// Whether it is named as the controller. A predecessor of equal name counts as the ExternalSecret itself.
    pub fn controls(&self, secret: &ObjectMeta) -> bool {
        controller(secret).is_some_and(|reference| self.is(reference))
    }

    fn is(&self, reference: &OwnerReference) -> bool {
        is_external_secret(reference) && reference.name == self.name
    }

    /// Makes it the controller, or makes it no owner any more.
    pub(super) fn set(&self, secret: &mut ObjectMeta, owns: bool) -> Result<(), TargetError> {
        match controller(secret) {
            Some(other) if is_external_secret(other) && !self.is(other) => {
                return Err(TargetError::OwnedByAnother(other.name.clone()));
            }
            Some(other) if owns && !self.is(other) => {
                return Err(TargetError::Controlled(format!("{} {}", other.kind, other.name)));
            }
            _ => {}
        }
        let references = secret.owner_references.get_or_insert_default();
        if !owns {
            references.retain(|reference| !self.is(reference));
            return Ok(());
        }
        let reference = OwnerReference {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            name: self.name.to_owned(),
            uid: self.uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        match references.iter_mut().find(|reference| self.is(reference)) {
            Some(known) => *known = reference,
            None => references.push(reference),
        }
        Ok(())
    }
}
