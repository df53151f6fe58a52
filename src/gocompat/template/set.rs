//! Templates that know each other by name.

use std::collections::BTreeMap;

use super::error::TemplateError;
use super::node::Tree;
use super::value::functions::Functions;
use super::{builtins, parser};

/// Tokens of all sources of an object. Parsed, a token takes some hundred bytes, for as long as an object uses the set.
pub const MAX_TOKENS: usize = 50_000;

/// A set of parsed templates.
pub struct Set {
    pub(super) trees: BTreeMap<String, Tree>,
    pub(super) functions: Functions,
    pub(super) missing_key_is_error: bool,
}

impl Set {
    /// Parses the sources, each a name and a text, one after the other into one set. Every template can call any other.
    ///
    /// As in Go a later template replaces an earlier one of its name, unless there is nothing but space in it.
    pub fn parse<N: AsRef<str>, T: AsRef<str>>(
        sources: &[(N, T)],
        functions: &Functions,
    ) -> Result<Set, TemplateError> {
        Set::parse_within(sources, functions, &mut { MAX_TOKENS })
    }

    /// [`Set::parse`] for an object with several sets, with the tokens that the sets before have left of
    /// [`MAX_TOKENS`].
    ///
    /// # Errors
    /// As [`Set::parse`].
    pub fn parse_within<N: AsRef<str>, T: AsRef<str>>(
        sources: &[(N, T)],
        functions: &Functions,
        tokens_left: &mut usize,
    ) -> Result<Set, TemplateError> {
        let mut set = Set { trees: BTreeMap::new(), functions: functions.clone(), missing_key_is_error: false };
        for (name, text) in sources {
            let known = |name: &str| functions.get(name).is_some() || builtins::find(name).is_some();
            for (name, tree) in parser::parse(name.as_ref(), text.as_ref(), &known, tokens_left)? {
                if !tree.is_empty() || !set.trees.contains_key(&name) {
                    set.trees.insert(name, tree);
                }
            }
        }
        Ok(set)
    }

    /// A key that a map does not have is an error where a template names it as a field, and not `<no value>`. (Go's
    /// option `missingkey=error`)
    pub fn with_missing_keys_as_errors(mut self) -> Set {
        self.missing_key_is_error = true;
        self
    }

    /// The names of all templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.trees.keys().map(String::as_str)
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set").field("names", &self.trees.keys()).finish_non_exhaustive()
    }
}
