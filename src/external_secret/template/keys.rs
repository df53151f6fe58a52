//! Templates that make keys: those of `rewrite.transform`.

use std::collections::BTreeMap;

use super::program::Program;
use crate::gocompat::eso;
use crate::gocompat::template::strconv::to_text;
use crate::gocompat::template::{Context, Functions, MAX_TOKENS, Map, Value};

/// The templates of an object that make keys, each parsed once.
pub struct KeyTemplates {
    functions: Functions,
    programs: BTreeMap<String, Program>,
    tokens_left: usize,
}

impl Default for KeyTemplates {
    fn default() -> Self {
        Self { functions: eso::functions(), programs: BTreeMap::new(), tokens_left: MAX_TOKENS }
    }
}

impl KeyTemplates {
    /// What a template makes of a key, which is its `.value`.
    ///
    /// # Errors
    /// If the template does not parse, or fails.
    pub fn transform(&mut self, context: &mut Context, text: &str, key: &str) -> Result<String, String> {
        if !self.programs.contains_key(text) {
            let program = Program::parse("transform", text.as_bytes(), false, &self.functions, &mut self.tokens_left);
            self.programs.insert(text.to_owned(), program.map_err(|error| error.to_string())?);
        }
        let mut root = Value::Map(Map::strings([("value", key.as_bytes())]));
        context.account(&mut root).map_err(|error| error.shown().to_owned())?;
        match self.programs.get(text) {
            Some(program) => program.run(context, &root).map(|made| to_text(&made)).map_err(|error| error.to_string()),
            None => Ok(key.to_owned()),
        }
    }
}
