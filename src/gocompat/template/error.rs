//! What goes wrong with a template.

use std::fmt;

/// An error of parsing or executing a template. What it shows says which template, which line, what is wrong, and no
/// value.
#[derive(Clone, PartialEq, Eq)]
pub struct TemplateError {
    text: String,
    shown: Option<String>,
}

impl TemplateError {
    pub(super) fn new(text: String) -> TemplateError {
        TemplateError { text, shown: None }
    }

    pub(super) fn with_shown(text: String, shown: String) -> TemplateError {
        let shown = (shown != text).then_some(shown);
        TemplateError { text, shown }
    }

    /// What Go prints. It may quote a value, which may be a secret: for comparing with Go.
    pub fn go_text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown.as_deref().unwrap_or(&self.text))
    }
}

impl fmt::Debug for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TemplateError").field(&self.to_string()).finish()
    }
}

impl std::error::Error for TemplateError {}
