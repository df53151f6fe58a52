//! Templates in use: objects whose templates have equal content share what is parsed.

use std::sync::Arc;

use super::{CompiledTemplate, Fetched, TemplateError, TemplateId, id_of};
use crate::api::external_secrets::target::Template;
use crate::util::WeakTable;

/// The templates in use.
#[derive(Default)]
pub struct TemplateCache(WeakTable<TemplateId, CompiledTemplate>);

impl TemplateCache {
    /// The template with this content, parsed unless an object uses it already.
    ///
    /// # Errors
    /// See [`CompiledTemplate::new`].
    pub fn get(&self, template: &Template, fetched: &Fetched) -> Result<Arc<CompiledTemplate>, TemplateError> {
        if let Some(compiled) = self.in_use(template, fetched) {
            return Ok(compiled);
        }
        // Not under the lock of the table: long templates take their time.
        let compiled = Arc::new(CompiledTemplate::new(template, fetched)?);
        self.0.insert(*compiled.id(), &compiled);
        Ok(compiled)
    }

    /// The template with this content, if an object uses it already.
    pub fn in_use(&self, template: &Template, fetched: &Fetched) -> Option<Arc<CompiledTemplate>> {
        self.0.get(&id_of(template, fetched))
    }
}
