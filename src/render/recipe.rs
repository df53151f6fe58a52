//! Filters and templates of one object, checked and compiled once and then used at every refresh.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest as _, Sha256};

use super::{Filter, Input, Patterns, RenderError};
use crate::gocompat::sprig;
use crate::gocompat::template::{Functions, Limits, Set};

/// A digest over the content of a recipe.
pub type RecipeId = [u8; 32];

/// A template, as it was gathered.
#[derive(Clone, Copy, Debug)]
pub struct TemplateText<'a> {
    /// Key to fill, if it fills one.
    pub key: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// Text.
    pub text: &'a str,
}

/// How the data of a Secret is made from that of its source.
pub struct Recipe {
    id: RecipeId,
    filter: Filter,
    templates: Option<Set>,
    /// Key to fill and name of the template that does.
    outputs: Vec<(String, String)>,
    volatile: bool,
}

impl Recipe {
    /// Which keys of the source stay.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// A digest over its content.
    pub fn id(&self) -> &RecipeId {
        &self.id
    }

    /// Whether there is anything to run.
    pub fn has_templates(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Whether equal inputs may give unequal data: a template calls a function that is volatile.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Runs the templates. Of those for one key the last one counts.
    ///
    /// # Errors
    /// The first that fails.
    pub fn render(&self, input: &Input<'_>) -> Result<BTreeMap<String, Vec<u8>>, RenderError> {
        let mut rendered = BTreeMap::new();
        if let Some(templates) = &self.templates {
            // One for all, as upstream: what a template sets in its maps, the next one sees.
            let root = input.root();
            for (key, name) in &self.outputs {
                let printed = templates.execute(name, &root, &Limits::default());
                rendered.insert(key.clone(), printed.map_err(|error| RenderError::Template(error.to_string()))?);
            }
        }
        Ok(rendered)
    }
}

/// The recipes that are in use, shared by all objects whose recipe has the same content.
pub struct Recipes {
    table: Mutex<Table>,
    patterns: Mutex<Patterns>,
    functions: Functions,
}

impl Default for Recipes {
    fn default() -> Self {
        Self { table: Mutex::default(), patterns: Mutex::default(), functions: sprig::functions() }
    }
}

#[derive(Default)]
struct Table {
    known: HashMap<RecipeId, Weak<Recipe>>,
    /// When there are so many entries, those that nobody uses any more are dropped.
    sweep_at: usize,
}

impl Recipes {
    /// The recipe with this content. It is compiled unless somebody has it.
    ///
    /// # Errors
    /// See [`RenderError`].
    pub fn get(
        &self,
        templates: &[TemplateText<'_>],
        includes: &[String],
        excludes: &[String],
    ) -> Result<Arc<Recipe>, RenderError> {
        let id = id_of(templates, includes, excludes);
        let table = || self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recipe) = table().known.get(&id).and_then(Weak::upgrade) {
            return Ok(recipe);
        }
        // Not under the lock of the table: long templates take their time.
        let recipe = Arc::new(self.compile(id, templates, includes, excludes)?);
        let mut table = table();
        if table.known.len() >= table.sweep_at {
            table.known.retain(|_, recipe| recipe.strong_count() > 0);
            table.sweep_at = 2 * table.known.len() + 64;
        }
        table.known.insert(id, Arc::downgrade(&recipe));
        Ok(recipe)
    }

    /// Whether a template parses by itself. Templates that it calls need not be there.
    ///
    /// # Errors
    /// What is wrong with it.
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
        id: RecipeId,
        templates: &[TemplateText<'_>],
        includes: &[String],
        excludes: &[String],
    ) -> Result<Recipe, RenderError> {
        let outputs = templates.iter().filter_map(|t| Some((t.key?.to_owned(), t.name.to_owned())));
        let outputs: Vec<(String, String)> = outputs.collect();
        let parsed = if templates.is_empty() { None } else { Some(self.parse(templates)?) };
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Recipe {
            id,
            volatile: parsed.as_ref().is_some_and(|set| outputs.iter().any(|(_, name)| set.is_volatile(name))),
            templates: parsed,
            outputs,
            filter: Filter::new(&mut patterns, includes, excludes)?,
        })
    }
}

fn id_of(templates: &[TemplateText<'_>], includes: &[String], excludes: &[String]) -> RecipeId {
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
    fn equal_content_is_one_recipe_while_somebody_uses_it() {
        let recipes = Recipes::default();
        let a = ["a".to_owned()];
        let one = recipes.get(&[], &a, &[]).unwrap();
        assert!(Arc::ptr_eq(&one, &recipes.get(&[], &a, &[]).unwrap()));
        assert!(!Arc::ptr_eq(&one, &recipes.get(&[], &[], &a).unwrap()), "an include is no exclude");
        let odd = ["1 excludes".to_owned(), "b".to_owned()];
        let other = recipes.get(&[], &odd[..1], &odd[1..]).unwrap();
        assert!(!Arc::ptr_eq(&other, &recipes.get(&[], &odd, &[]).unwrap()));
        for i in 0..1000 {
            recipes.get(&[], &[format!("{i}")], &[]).unwrap();
        }
        assert!(recipes.table.lock().unwrap().known.len() < 200, "those that nobody uses are dropped");
        assert!(Arc::ptr_eq(&one, &recipes.get(&[], &a, &[]).unwrap()));
    }
}
