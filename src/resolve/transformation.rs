//! From the transformation of a destination, and the SecretTransformations it refers to, to one set of templates and
//! filters. The order and the texts are VSO's.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Lookup, ObjectRef, PlanError};
use crate::api::{GROUP, SecretTransformation, Transformation, TransformationRef, VERSION};

/// What becomes of the data of a source: everything that was gathered, in the order in which it is parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResolvedTransformation {
    /// All templates, those without a key first.
    pub templates: Vec<ResolvedTemplate>,
    /// Patterns of the keys to keep, sorted.
    pub includes: Vec<String>,
    /// Patterns of the keys to drop, sorted.
    pub excludes: Vec<String>,
}

/// One template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedTemplate {
    /// Key to fill; `None` for a template that is there to be called by others.
    pub key: Option<String>,
    /// Name, unique in the set.
    pub name: String,
    /// Text.
    pub text: String,
}

/// Gathers the templates and filters of the object `owner`.
///
/// # Errors
/// All that is wrong with the references, a line for each.
pub fn transformation(
    spec: &Transformation,
    owner: &ObjectRef,
    lookup: &impl Lookup,
) -> Result<ResolvedTransformation, PlanError> {
    let mut all = Gatherer {
        includes: spec.includes.iter().cloned().collect(),
        excludes: spec.excludes.iter().cloned().collect(),
        ..Gatherer::default()
    };
    for (key, template) in &spec.templates {
        let name = template.name.clone().unwrap_or_else(|| format!("{owner}/{key}"));
        all.add(Some(key), name, &template.text);
    }
    let mut seen = HashSet::new();
    for reference in &spec.transformation_refs {
        let namespace = reference.namespace.as_deref().unwrap_or(&owner.namespace);
        let id = ObjectRef::new(namespace, reference.name.as_str());
        if !seen.insert(id.clone()) {
            all.errors.push(format!("duplicate SecretTransformation ref {id}"));
            continue;
        }
        if !lookup.watches_namespace(&id.namespace) {
            all.errors.push(format!("SecretTransformation {id} is in a namespace that this operator does not watch"));
            continue;
        }
        match lookup.transformation(&id) {
            Some(found) => all.add_object(&id, &found, reference),
            None => all.errors.push(format!("SecretTransformation {id} does not exist")),
        }
    }
    all.finish()
}

/// The names and texts of the templates of a SecretTransformation, as a referrer that takes all of them has them.
pub fn templates_of(object: &SecretTransformation) -> Vec<(String, String)> {
    let meta = &object.metadata;
    let id = ObjectRef::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""));
    let sources = object.spec.source_templates.iter().enumerate();
    let sources = sources.map(|(i, t)| (name_of(t.name.as_ref(), &id, &i), t.text.clone()));
    let keyed = object.spec.templates.iter().map(|(key, t)| (name_of(t.name.as_ref(), &id, key), t.text.clone()));
    sources.chain(keyed).collect()
}

/// Names of the SecretTransformations that an object of `namespace` refers to.
pub fn transformation_refs(spec: &Transformation, namespace: &str) -> impl Iterator<Item = ObjectRef> {
    spec.transformation_refs
        .iter()
        .map(move |r| ObjectRef::new(r.namespace.as_deref().unwrap_or(namespace), r.name.as_str()))
}

fn name_of(own: Option<&String>, id: &ObjectRef, member: &dyn std::fmt::Display) -> String {
    own.cloned().unwrap_or_else(|| format!("{id}/{member}"))
}

#[derive(Default)]
struct Gatherer {
    templates: Vec<ResolvedTemplate>,
    names: HashSet<String>,
    includes: BTreeSet<String>,
    excludes: BTreeSet<String>,
    errors: Vec<String>,
}

impl Gatherer {
    fn add(&mut self, key: Option<&str>, name: String, text: &str) {
        if !self.names.insert(name.clone()) {
            self.errors.push(format!("duplicate template name {name:?}"));
        } else {
            self.templates.push(ResolvedTemplate { key: key.map(str::to_owned), name, text: text.to_owned() });
        }
    }

    fn add_object(&mut self, id: &ObjectRef, object: &Arc<SecretTransformation>, reference: &TransformationRef) {
        let gvk = format!("{GROUP}/{VERSION}, Kind=SecretTransformation");
        if !object.status.as_ref().is_some_and(|s| s.valid) {
            self.errors.push(format!("{id} is in an invalid state, {gvk}"));
            return;
        }
        let spec = &object.spec;
        if !reference.ignore_excludes {
            self.excludes.extend(spec.excludes.iter().cloned());
        }
        if !reference.ignore_includes {
            self.includes.extend(spec.includes.iter().cloned());
        }
        for wanted in &reference.template_refs {
            match spec.templates.get(&wanted.name) {
                None => self.errors.push(format!("template {:?} not found in object {id}, {gvk}", wanted.name)),
                Some(template) => {
                    let key = wanted.key_override.as_ref().unwrap_or(&wanted.name);
                    // VSO makes up no name here, and fails; a manifest that works there has one.
                    self.add(Some(key), name_of(template.name.as_ref(), id, &wanted.name), &template.text);
                }
            }
        }
        for (i, template) in spec.source_templates.iter().enumerate() {
            self.add(None, name_of(template.name.as_ref(), id, &i), &template.text);
        }
        if reference.template_refs.is_empty() {
            for (key, template) in &spec.templates {
                // Compared with names and not with keys, as VSO does.
                if !self.names.contains(key) {
                    self.add(Some(key), name_of(template.name.as_ref(), id, key), &template.text);
                }
            }
        }
    }

    fn finish(mut self) -> Result<ResolvedTransformation, PlanError> {
        if !self.errors.is_empty() {
            return Err(PlanError::Transformation(self.errors.join("\n")));
        }
        self.templates.sort_by_cached_key(|t| format!("{}0{}", t.key.as_deref().unwrap_or(""), t.name));
        Ok(ResolvedTransformation {
            templates: self.templates,
            includes: self.includes.into_iter().collect(),
            excludes: self.excludes.into_iter().collect(),
        })
    }
}
