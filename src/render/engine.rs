//! The template engine, as recipes use it.

use super::template::{Functions, Limits, Set, TemplateError, Value};
use super::{RenderError, TemplateText, sprig};

/// The functions that templates can call beside the language's own.
pub(super) fn functions() -> Functions {
    sprig::FAMILIES.iter().fold(Functions::new(), |functions, family| functions.with(family))
}

/// Parses templates into one set, in the order they have.
pub(super) fn parse(templates: &[TemplateText<'_>], functions: &Functions) -> Result<Set, RenderError> {
    let sources: Vec<(&str, &str)> = templates.iter().map(|t| (t.name, t.text)).collect();
    // The prefix is upstream's.
    Set::parse(&sources, functions).map_err(|error| RenderError::Template(format!("parse error: {error}")))
}

/// What one of them prints.
pub(super) fn execute(set: &Set, name: &str, root: &Value) -> Result<Vec<u8>, RenderError> {
    set.execute(name, root, &Limits::default()).map_err(|error: TemplateError| RenderError::Template(error.to_string()))
}
