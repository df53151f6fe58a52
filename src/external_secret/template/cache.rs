//! Templates in use: objects whose templates have equal content share what is parsed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{CompiledTemplate, Fetched, TemplateError, TemplateId, id_of};
use crate::api::external_secrets::target::Template;

/// The templates in use.
#[derive(Default)]
pub struct TemplateCache(Mutex<Table>);

#[derive(Default)]
struct Table {
    known: HashMap<TemplateId, Weak<CompiledTemplate>>,
    /// At so many entries, templates that no object uses any more are dropped.
    sweep_at: usize,
}

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
        let mut table = self.0.lock();
        if table.known.len() >= table.sweep_at {
            table.known.retain(|_, compiled| compiled.strong_count() > 0);
            table.sweep_at = 2 * table.known.len() + 64;
        }
        table.known.insert(*compiled.id(), Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// The template with this content, if an object uses it already.
    pub fn in_use(&self, template: &Template, fetched: &Fetched) -> Option<Arc<CompiledTemplate>> {
        self.0.lock().known.get(&id_of(template, fetched)).and_then(Weak::upgrade)
    }
}
