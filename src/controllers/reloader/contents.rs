//! Which content each Secret, or ConfigMap, has: a digest for each, and nothing of the data.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Resource;
use kube::api::ObjectMeta;
use parking_lot::RwLock;

use crate::api::ObjectRef;
use crate::kubernetes::{KnownKey, Sink};
use crate::mac::MacKey;
use crate::reloader::{Contents, Declared, Source, SourceKind, Traits};
use crate::util::shrink;

/// So much of the keyed digest of a content is kept.
const DIGEST_BYTES: usize = 12;

type Digest = [u8; DIGEST_BYTES];

/// What is kept of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Content {
    digest: Digest,
    traits: Traits,
}

type ByName = HashMap<Box<str>, Content>;

/// Told of an object whose content or traits are new or other ones.
type Listener = Box<dyn Fn(&ObjectRef, Traits) + Send + Sync>;

/// What is known of the objects of one kind: about a hundred bytes for each.
pub(super) struct KnownContents {
    kind: SourceKind,
    by_namespace: RwLock<HashMap<Box<str>, ByName>>,
    listener: OnceLock<Listener>,
}

impl KnownContents {
    /// Nothing is known.
    pub fn new(kind: SourceKind) -> Self {
        Self { kind, by_namespace: RwLock::default(), listener: OnceLock::new() }
    }

    /// Has `listener` told of what changes. Only the first listener counts.
    pub fn listen(&self, listener: impl Fn(&ObjectRef, Traits) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Adds the contents of a namespace that a workload wants to be restarted for.
    pub fn add_wanted(&self, namespace: &str, declared: &Declared, contents: &mut Contents) {
        let all = self.by_namespace.read();
        let Some(known) = all.get(namespace) else { return };
        let mut add = |name: &str, content: &Content| {
            if declared.reload(self.kind, name, content.traits) {
                contents.insert(Source::new(self.kind, name), STANDARD_NO_PAD.encode(content.digest));
            }
        };
        match declared.names(self.kind) {
            Some(names) => names.filter_map(|name| Some((name, known.get(name)?))).for_each(|(name, c)| add(name, c)),
            None => known.iter().for_each(|(name, content)| add(name, content)),
        }
    }

    fn put(&self, id: &ObjectRef, content: Content) {
        let mut all = self.by_namespace.write();
        let namespace = match all.get_mut(&*id.namespace) {
            Some(known) => known,
            None => all.entry((&*id.namespace).into()).or_default(),
        };
        let is_news = match namespace.get_mut(&*id.name) {
            Some(known) => std::mem::replace(known, content) != content,
            None => namespace.insert((&*id.name).into(), content).is_none(),
        };
        drop(all);
        if is_news && let Some(listener) = self.listener.get() {
            listener(id, content.traits);
        }
    }

    fn remove(&self, id: &ObjectRef) {
        let mut all = self.by_namespace.write();
        let Some(namespace) = all.get_mut(&*id.namespace) else { return };
        namespace.remove(&*id.name);
        shrink(namespace);
        if namespace.is_empty() {
            all.remove(&*id.namespace);
        }
    }
}

/// Puts what a watch of Secrets or ConfigMaps sees into [`KnownContents`].
pub(super) struct ContentWatch<K> {
    pub known: Arc<KnownContents>,
    pub key: Arc<KnownKey>,
    /// The keyed digest of the data of an object.
    pub digest: fn(&MacKey, &K) -> [u8; 32],
}

impl<K: Resource> Sink<K> for ContentWatch<K> {
    fn apply(&self, object: K) {
        let whole = (self.digest)(&self.key.key, &object);
        let mut digest = Digest::default();
        digest.copy_from_slice(&whole[..DIGEST_BYTES]);
        let traits = Traits::of(object.meta().annotations.as_ref());
        self.known.put(&ObjectRef::of(object.meta()), Content { digest, traits });
    }

    fn apply_listed(&self, object: K) {
        self.apply(object);
    }

    fn delete(&self, gone: &ObjectMeta) {
        self.known.remove(&ObjectRef::of(gone));
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        let all = self.known.by_namespace.read();
        let of_scope = all.iter().filter(|(name, _)| namespace.is_none_or(|namespace| namespace == &***name));
        let known =
            of_scope.flat_map(|(namespace, known)| known.keys().map(|name| ObjectRef::new(&**namespace, &**name)));
        let gone: Vec<ObjectRef> = known.filter(|id| !listed.contains(id)).collect();
        drop(all);
        gone.iter().for_each(|id| self.known.remove(id));
    }
}

/// The digest of what a Secret holds.
pub(super) fn digest_of_secret(key: &MacKey, secret: &Secret) -> [u8; 32] {
    let data = secret.data.iter().flatten().map(|(name, value)| (name.as_str(), value.0.as_slice()));
    digest(key, SourceKind::Secret, data)
}

/// The digest of what a ConfigMap holds.
pub(super) fn digest_of_config_map(key: &MacKey, config_map: &ConfigMap) -> [u8; 32] {
    let text = config_map.data.iter().flatten().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let binary = config_map.binary_data.iter().flatten().map(|(name, value)| (name.as_str(), value.0.as_slice()));
    digest(key, SourceKind::ConfigMap, text.chain(binary))
}

/// Each part comes with its length, so that no two contents are the same bytes.
fn digest<'a>(key: &MacKey, kind: SourceKind, data: impl Iterator<Item = (&'a str, &'a [u8])>) -> [u8; 32] {
    let parts: Vec<&[u8]> = data.flat_map(|(name, value)| [name.as_bytes(), value]).collect();
    let lengths: Vec<[u8; 8]> = parts.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
    let mut all: Vec<&[u8]> = vec![b"content of ", kind.as_str().as_bytes()];
    all.extend(lengths.iter().zip(&parts).flat_map(|(length, part)| [length.as_slice(), part]));
    key.mac_of_bytes(&all)
}

/// A name of the key that tells nothing of it.
pub(super) fn name_of_key(key: &MacKey) -> String {
    STANDARD_NO_PAD.encode(&key.mac_of_bytes(&[b"name of the key of contents"])[..6])
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use parking_lot::Mutex;

    use super::*;

    fn secret(name: &str, data: &[(&str, &str)], annotations: &[(&str, &str)]) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.into());
        secret.metadata.namespace = Some("ns".into());
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        secret.metadata.annotations = Some(annotations.iter().map(pair).collect());
        secret.data = Some(data.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec()))).collect());
        secret
    }

    #[test]
    fn what_is_told_are_contents_and_traits_and_nothing_else() {
        let known = Arc::new(KnownContents::new(SourceKind::Secret));
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = told.clone();
        known.listen(move |id, _| log.lock().push(id.name.to_string()));
        let key = Arc::new(KnownKey { key: MacKey::new(b"0123456789abcdef").unwrap(), made: 0 });
        let watch = ContentWatch { known: known.clone(), key, digest: digest_of_secret };
        let told = || std::mem::take(&mut *told.lock()).len();
        watch.apply(secret("a", &[("k", "1")], &[]));
        assert_eq!(told(), 1, "it is new");
        watch.apply(secret("a", &[("k", "1")], &[("note", "x")]));
        assert_eq!(told(), 0, "equal data");
        watch.apply(secret("a", &[("k", "2")], &[]));
        watch.apply(secret("a", &[("k", ""), ("2", "")], &[]));
        watch.apply(secret("a", &[("k2", "")], &[]));
        assert_eq!(told(), 3, "other data, and no two are the same bytes");
        watch.apply(secret("a", &[("k2", "")], &[("reloader.stakater.com/ignore", "true")]));
        assert_eq!(told(), 1, "it is ignored from now on");

        let annotations = [("secret.reloader.stakater.com/reload".to_owned(), "a,b".to_owned())].into();
        let declared = Declared::of(&annotations, &serde_json::Value::Null).unwrap();
        let wanted = || {
            let mut contents = Contents::new();
            known.add_wanted("ns", &declared, &mut contents);
            contents.len()
        };
        assert_eq!(wanted(), 0);
        watch.apply(secret("a", &[], &[]));
        watch.apply(secret("b", &[], &[]));
        watch.apply(secret("c", &[], &[]));
        assert_eq!(wanted(), 2);
        watch.retain(Some("other"), &HashSet::new());
        assert_eq!(wanted(), 2);
        watch.retain(None, &[ObjectRef::new("ns", "b")].into());
        assert_eq!(wanted(), 1);
        watch.delete(&secret("b", &[], &[]).metadata);
        assert!(known.by_namespace.read().is_empty(), "what is gone takes no room");
    }
}
