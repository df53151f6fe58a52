//! The template engine, as recipes use it.

use super::template::Value;
use super::{RenderError, TemplateText};

/// A set of templates that was parsed.
pub(super) struct Templates;

impl Templates {
    /// Parses them in the order they have.
    pub(super) fn parse(_: &[TemplateText<'_>]) -> Result<Self, RenderError> {
        Err(RenderError::Template("not supported yet: templates".into()))
    }

    /// What one of them prints.
    pub(super) fn execute(&self, _: &str, _: &Value) -> Result<Vec<u8>, RenderError> {
        Err(RenderError::Template("not supported yet: templates".into()))
    }
}
