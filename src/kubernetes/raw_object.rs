//! An object in the text that the API server sent.
//!
//! The machinery of watches is large and made anew for each type that it carries. It carries this one for all kinds;
//! the text becomes an object of its kind at the end. So an object that cannot be read is left out alone, and does not
//! end the watch of all others.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use kube::Resource;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::store::Sink;
use crate::api::ObjectRef;

/// An object of any kind, not read but for what a watch has to know.
#[derive(Clone)]
pub(super) struct RawObject {
    /// Namespace, name and version.
    identity: ObjectMeta,
    text: Box<RawValue>,
}

#[derive(Deserialize)]
struct Identified {
    metadata: Identity,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    namespace: Option<String>,
    name: Option<String>,
    resource_version: Option<String>,
}

#[derive(Deserialize)]
struct WithMetadata {
    metadata: ObjectMeta,
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Identified { metadata } = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let Identity { namespace, name, resource_version } = metadata;
        Ok(Self { identity: ObjectMeta { namespace, name, resource_version, ..ObjectMeta::default() }, text })
    }
}

/// Without the text: it may be that of a Secret.
impl fmt::Debug for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawObject").field(&self.id()).finish()
    }
}

impl Resource for RawObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> std::borrow::Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}

impl RawObject {
    /// Namespace and name.
    pub fn id(&self) -> ObjectRef {
        ObjectRef::of(&self.identity)
    }

    /// The object as one of its kind, or nothing and a line in the log: what is known of it stays.
    fn read<K: DeserializeOwned>(&self, kind: &str) -> Option<K> {
        // What serde says of an error may name a value.
        let unreadable = |error: serde_json::Error| {
            tracing::warn!(kind, object = %self.id(), column = error.column(), "the object cannot be read: it does not fit its kind");
        };
        serde_json::from_str(self.text.get()).map_err(unreadable).ok()
    }
}

/// Where a watch puts what it sees of the objects of a kind.
pub(super) trait RawSink: Send + Sync {
    /// See [`Sink::apply`].
    fn apply(&self, object: &RawObject);
    /// See [`Sink::apply_listed`].
    fn apply_listed(&self, object: &RawObject);
    /// See [`Sink::delete`].
    fn delete(&self, object: &RawObject);
    /// See [`Sink::retain`].
    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>);
}

/// Reads objects for a sink.
pub(super) struct Reader<K> {
    /// Plural of the kind.
    pub kind: String,
    /// What takes the objects.
    pub sink: Arc<dyn Sink<K>>,
}

impl<K: DeserializeOwned> RawSink for Reader<K> {
    fn apply(&self, object: &RawObject) {
        if let Some(object) = object.read(&self.kind) {
            self.sink.apply(object);
        }
    }

    fn apply_listed(&self, object: &RawObject) {
        if let Some(object) = object.read(&self.kind) {
            self.sink.apply_listed(object);
        }
    }

    fn delete(&self, object: &RawObject) {
        let whole = object.read::<WithMetadata>(&self.kind);
        self.sink.delete(whole.as_ref().map_or(&object.identity, |whole| &whole.metadata));
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        self.sink.retain(namespace, listed);
    }
}

#[cfg(test)]
mod tests {
    use kube::api::{DynamicObject, ObjectList, WatchEvent};
    use parking_lot::Mutex;

    use super::*;
    use crate::api::VaultStaticSecret;

    const TEXT: &str = r#"{"apiVersion":"secrets.hashicorp.com/v1beta1","kind":"VaultStaticSecret",
        "metadata":{"namespace":"ns","name":"app","uid":"u","resourceVersion":"7"},
        "spec":{"mount":"kv","type":"kv-v2","path":"p","destination":{"name":"d"}}}"#;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    impl<K: Resource<DynamicType = ()>> Sink<K> for Seen {
        fn apply(&self, object: K) {
            self.0.lock().push(format!("applied {}", ObjectRef::of(object.meta())));
        }

        fn apply_listed(&self, object: K) {
            self.0.lock().push(format!("listed {}", ObjectRef::of(object.meta())));
        }

        fn delete(&self, gone: &ObjectMeta) {
            self.0.lock().push(format!("deleted {} {:?}", ObjectRef::of(gone), gone.uid.as_deref()));
        }

        fn retain(&self, _namespace: Option<&str>, _listed: &HashSet<ObjectRef>) {}
    }

    #[test]
    fn events_and_lists_are_carried_as_text() {
        let event = format!(r#"{{"type":"MODIFIED","object":{TEXT}}}"#);
        let WatchEvent::Modified(object) = serde_json::from_str::<WatchEvent<RawObject>>(&event).unwrap() else {
            panic!("another event");
        };
        assert_eq!(object.meta().resource_version.as_deref(), Some("7"));
        let read: VaultStaticSecret = object.read("vaultstaticsecrets").unwrap();
        assert_eq!((read.spec.path.as_str(), read.metadata.uid.as_deref()), ("p", Some("u")));

        // The items of a list of a core kind say neither kind nor version.
        let list = r#"{"apiVersion":"v1","kind":"SecretList","metadata":{"resourceVersion":"9"},
            "items":[{"metadata":{"namespace":"ns","name":"a"}},{"metadata":{"name":"b"}}]}"#;
        let list: ObjectList<RawObject> = serde_json::from_str(list).unwrap();
        let ids: Vec<String> = list.items.iter().map(|item| item.id().to_string()).collect();
        assert_eq!(ids, ["ns/a", "/b"]);
        assert!(list.items[0].read::<DynamicObject>("secrets").is_some());
    }

    #[test]
    fn an_object_that_cannot_be_read_is_left_out_alone_and_deleted_all_the_same() {
        let seen = Arc::new(Seen::default());
        let reader = Reader::<VaultStaticSecret> { kind: "vaultstaticsecrets".into(), sink: seen.clone() };
        let raw = |text: &str| serde_json::from_str::<RawObject>(text).unwrap();
        let (good, bad) = (raw(TEXT), raw(&TEXT.replace(r#""path":"p""#, r#""path":{"secret":1}"#)));
        for object in [&bad, &good] {
            reader.apply(object);
            reader.apply_listed(object);
        }
        reader.delete(&bad);
        reader.delete(&raw(&TEXT.replace(r#""uid":"u""#, r#""uid":1"#)));
        let expected = ["applied ns/app", "listed ns/app", r#"deleted ns/app Some("u")"#, "deleted ns/app None"];
        assert_eq!(*seen.0.lock(), expected);
        assert_eq!(format!("{bad:?}"), format!("RawObject({:?})", bad.id()), "no text");
    }
}
