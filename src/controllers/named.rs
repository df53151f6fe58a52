//! Which objects name which Secrets and ConfigMaps.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::api::external_secrets::target::Template;
use crate::api::{Key, ObjectRef};
use crate::external_secret::template::{self, SourceKind};
use crate::resolve::ClusterStore;
use crate::util::shrink;

/// Where a named object is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Secrets of the operator's own cluster.
    Secrets,
    /// ConfigMaps of the operator's own cluster.
    ConfigMaps,
    /// Service accounts of the operator's own cluster.
    ServiceAccounts,
    /// Secrets of the namespace that a store reads, with the login of the store.
    Store(Arc<ClusterStore>),
}

/// What is named of a source. `None`: any of its objects. An empty name: any of the namespace.
pub(crate) type Name = (Source, Option<ObjectRef>);

/// What the templates of an object in this namespace are made of.
pub(super) fn of_template(namespace: &str, template: Option<&Template>) -> impl Iterator<Item = Name> {
    template.into_iter().flat_map(template::sources).map(move |(kind, name)| {
        let source = match kind {
            SourceKind::ConfigMap => Source::ConfigMaps,
            SourceKind::Secret => Source::Secrets,
        };
        (source, Some(ObjectRef::new(namespace, name)))
    })
}

/// Which objects name what. Memory follows what is named.
#[derive(Default)]
pub(super) struct Named {
    names: HashMap<Key, Vec<Name>>,
    users: HashMap<Source, HashMap<Option<ObjectRef>, HashSet<Key>>>,
}

impl Named {
    /// Puts what an object names in the place of what it named before. True if anything is different.
    pub fn set(&mut self, user: &Key, mut names: Vec<Name>) -> bool {
        names.sort_by(|(_, one), (_, other)| one.cmp(other));
        names.dedup();
        let known = self.names.get(user).map(Vec::as_slice).unwrap_or_default();
        if *known == names {
            return false;
        }
        self.forget(user);
        for (source, name) in &names {
            let users = self.users.entry(source.clone()).or_default();
            users.entry(name.clone()).or_default().insert(user.clone());
        }
        if !names.is_empty() {
            self.names.insert(user.clone(), names);
        }
        true
    }

    fn forget(&mut self, user: &Key) {
        for (source, name) in self.names.remove(user).unwrap_or_default() {
            let Some(of_source) = self.users.get_mut(&source) else { continue };
            if let Some(users) = of_source.get_mut(&name) {
                users.remove(user);
                if users.is_empty() {
                    of_source.remove(&name);
                }
            }
            if of_source.is_empty() {
                self.users.remove(&source);
            }
        }
        shrink(&mut self.names);
        shrink(&mut self.users);
    }

    /// The sources of which anything is named.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.users.keys()
    }

    /// The objects that name an object of a source.
    pub fn users_of(&self, source: &Source, object: &ObjectRef) -> HashSet<Key> {
        let Some(of_source) = self.users.get(source) else { return HashSet::new() };
        let of_namespace = ObjectRef::new(&*object.namespace, "");
        let meant = [None, Some(of_namespace), Some(object.clone())];
        meant.iter().filter_map(|name| of_source.get(name)).flatten().cloned().collect()
    }

    /// The objects that name anything of a source.
    pub fn users_of_any(&self, source: &Source) -> HashSet<Key> {
        self.users.get(source).into_iter().flat_map(|names| names.values().flatten()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CustomObject as _;
    use crate::api::external_secrets::ExternalSecret;

    #[test]
    fn what_is_named_has_users_until_it_is_not_named_any_more() {
        let user = |name: &str| Key { kind: ExternalSecret::KIND, id: ObjectRef::new("ns", name) };
        let secret = |name: &str| (Source::Secrets, Some(ObjectRef::new("ns", name)));
        let users = |named: &Named, name: &str| {
            let found = named.users_of(&Source::Secrets, &ObjectRef::new("ns", name));
            let mut names: Vec<_> = found.into_iter().map(|key| key.id.name.to_string()).collect();
            names.sort();
            names
        };
        let mut named = Named::default();
        assert!(!named.set(&user("x"), vec![]));
        assert!(named.set(&user("x"), vec![secret("a"), secret("b"), secret("a")]));
        assert!(!named.set(&user("x"), vec![secret("a"), secret("b"), secret("a")]));
        assert!(named.set(&user("y"), vec![secret("b"), (Source::ConfigMaps, None)]));
        assert_eq!(users(&named, "a"), ["x"]);
        assert_eq!(users(&named, "b"), ["x", "y"]);
        assert_eq!(users(&named, "c"), [""; 0]);
        assert_eq!(named.users_of(&Source::ConfigMaps, &ObjectRef::new("ns", "c")), HashSet::from([user("y")]));
        assert_eq!(named.users_of_any(&Source::Secrets).len(), 2);
        assert_eq!(named.sources().count(), 2);
        named.set(&user("x"), vec![secret("c")]);
        assert_eq!(users(&named, "a"), [""; 0]);
        named.set(&user("z"), vec![secret("")]);
        assert_eq!(users(&named, "a"), ["z"], "any of the namespace");
        named.set(&user("z"), vec![]);
        named.set(&user("y"), vec![]);
        assert_eq!(named.sources().collect::<Vec<_>>(), [&Source::Secrets]);
        named.set(&user("x"), vec![]);
        assert!(named.names.is_empty() && named.users.is_empty());
    }
}
