//! References between objects: `name`, `namespace/name`, or nothing for the operator's default.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// A reference with more than one slash or with an empty half.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid name: {0}")]
pub struct ObjectRefError(String);

impl ObjectRef {
    /// Puts the two together.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The reference to the object with these metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
    }

    /// Resolves a reference found in an object of `namespace`. Nothing means `default` in the operator's namespace; a
    /// plain name is always meant in the namespace of the object that names it.
    pub fn resolve(text: Option<&str>, namespace: &str, operator_namespace: &str) -> Result<Self, ObjectRefError> {
        let Some(text) = text.filter(|t| !t.is_empty()) else {
            return Ok(Self::new(operator_namespace, "default"));
        };
        match text.split('/').collect::<Vec<_>>()[..] {
            [name] => Ok(Self::new(namespace, name)),
            [namespace, name] if !namespace.is_empty() && !name.is_empty() => Ok(Self::new(namespace, name)),
            _ => Err(ObjectRefError(text.to_owned())),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether a text can be the name of a Secret or service account (RFC 1123 subdomain).
pub(crate) fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        let fits = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        fits && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
