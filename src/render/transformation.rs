//! Filters and templates of an object, checked and compiled once and used at every refresh.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Filter, Input, RenderError};
use crate::gocompat::sprig;
use crate::gocompat::template::{Context, Environment, Functions, Limits, Set};
use crate::util::WeakTable;

/// A digest over the content of a transformation.
pub type TransformationId = [u8; 32];

/// A template of an object.
#[derive(Clone, Copy, Debug)]
pub struct TemplateText<'a> {
    /// The key of the Secret that the template fills, if it fills one.
    pub key: Option<&'a str>,
    /// The name by which other templates call it.
    pub name: &'a str,
    /// The text of the template.
    pub text: &'a str,
}

/// How the data of a Secret is made from that of its source.
pub struct CompiledTransformation {
    id: TransformationId,
    filter: Filter,
    templates: Option<Set>,
    /// Keys to fill, each with the name of the template that fills it.
    outputs: Vec<(String, String)>,
    volatile: bool,
}

impl CompiledTransformation {
    /// Which keys of the source stay.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// A digest over the filters and templates.
    pub fn id(&self) -> &TransformationId {
        &self.id
    }

    /// Whether equal inputs may give unequal data: a template calls a function that is volatile.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Runs the templates. Where several templates fill one key, the last one counts.
    ///
    /// # Errors
    /// The error of the first template that fails.
    pub fn render(&self, context: &mut Context, input: &Input<'_>) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
        let mut rendered = BTreeMap::new();
        if let Some(templates) = &self.templates {
            // All templates share one input, as in VSO: what a template sets in a map, the next template sees.
            let mut root = input.root();
            let counted = context.account(&mut root);
            counted.map_err(|error| RenderError::Template(error.shown().to_owned()))?;
            for (key, name) in &self.outputs {
                let printed = templates.execute_in(name, &root, context);
                rendered.insert(key.clone(), printed.map_err(|error| RenderError::Template(error.to_string()))?);
            }
        }
        Ok(rendered)
    }
}

/// The transformations in use. Objects whose filters and templates have equal content share one.
pub struct TransformationCache {
    known: WeakTable<TransformationId, CompiledTransformation>,
    functions: Functions,
}

impl Default for TransformationCache {
    fn default() -> Self {
        Self { known: WeakTable::default(), functions: sprig::functions() }
    }
}

impl TransformationCache {
    /// The transformation with this content, compiled unless an object uses it already.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub fn get(
        &self,
        templates: &[TemplateText<'_>],
        includes: &[String],
        excludes: &[String],
    ) -> Result<Arc<CompiledTransformation>, RenderError> {
        let id = id_of(templates, includes, excludes);
        if let Some(transformation) = self.known.get(&id) {
            return Ok(transformation);
        }
        // Not under the lock of the table: long templates take their time.
        let transformation = Arc::new(self.compile(id, templates, includes, excludes)?);
        self.known.insert(id, &transformation);
        Ok(transformation)
    }

    /// The transformation with this content, if an object uses it already.
    pub fn in_use(
        &self,
        templates: &[TemplateText<'_>],
        includes: &[String],
        excludes: &[String],
    ) -> Option<Arc<CompiledTransformation>> {
        self.known.get(&id_of(templates, includes, excludes))
    }

    /// Whether a template parses by itself. The templates that it calls need not exist.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn check(&self, template: TemplateText<'_>) -> Result<(), RenderError> {
        self.parse(&[template]).map(drop)
    }

    /// Parses templates into one set, in the order they have.
    fn parse(&self, templates: &[TemplateText<'_>]) -> Result<Set, RenderError> {
        let sources: Vec<(&str, &str)> = templates.iter().map(|t| (t.name, t.text)).collect();
        // The prefix is VSO's.
        Set::parse(&sources, &self.functions).map_err(|error| RenderError::Template(format!("parse error: {error}")))
    }

    /// The error is the first template that does not parse, else the first pattern.
    fn compile(
        &self,
        id: TransformationId,
        templates: &[TemplateText<'_>],
        includes: &[String],
        excludes: &[String],
    ) -> Result<CompiledTransformation, RenderError> {
        let outputs: Vec<(String, String)> =
            templates.iter().filter_map(|t| Some((t.key?.to_owned(), t.name.to_owned()))).collect();
        let parsed = if templates.is_empty() { None } else { Some(self.parse(templates)?) };
        let mut context = Context::new(&Limits::default(), &Environment::default());
        Ok(CompiledTransformation {
            id,
            volatile: parsed.as_ref().is_some_and(|set| outputs.iter().any(|(_, name)| set.is_volatile(name))),
            templates: parsed,
            outputs,
            filter: Filter::new(&mut context, includes, excludes)?,
        })
    }
}

fn id_of(templates: &[TemplateText<'_>], includes: &[String], excludes: &[String]) -> TransformationId {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    for template in templates {
        add(if template.key.is_some() { "key" } else { "source" });
        [template.key.unwrap_or(""), template.name, template.text].into_iter().for_each(&mut add);
    }
    for (what, list) in [("includes", includes), ("excludes", excludes)] {
        add(&format!("{} {what}", list.len()));
        list.iter().for_each(|pattern| add(pattern));
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_content_is_one_transformation_while_it_is_in_use() {
        let cache = TransformationCache::default();
        let a = ["a".to_owned()];
        let one = cache.get(&[], &a, &[]).unwrap();
        assert!(Arc::ptr_eq(&one, &cache.get(&[], &a, &[]).unwrap()));
        assert!(!Arc::ptr_eq(&one, &cache.get(&[], &[], &a).unwrap()), "an include is no exclude");
        let odd = ["1 excludes".to_owned(), "b".to_owned()];
        let other = cache.get(&[], &odd[..1], &odd[1..]).unwrap();
        assert!(!Arc::ptr_eq(&other, &cache.get(&[], &odd, &[]).unwrap()));
        assert!(cache.in_use(&[], &["b".to_owned()], &[]).is_none());
        assert!(Arc::ptr_eq(&one, &cache.get(&[], &a, &[]).unwrap()));
    }
}
