//! What goes wrong in a function.

/// Why a function could not give a value.
///
/// Go's text may quote the value (`strconv.ParseInt: parsing "hunter2": invalid syntax`), and values are secrets. So
/// there are two texts: the one that Go prints, which only tests see, and one that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CallError {
    text: String,
    shown: Option<String>,
    is_limit: bool,
}

/// Longest text of an error, in bytes: it ends up in a condition, and is copied on its way there.
const MAX_TEXT_BYTES: usize = 4096;

fn cut(text: impl Into<String>) -> String {
    let mut text = text.into();
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.shrink_to_fit();
    }
    text
}

impl CallError {
    /// An error whose text holds no value.
    pub fn new(text: impl Into<String>) -> CallError {
        CallError { text: cut(text), shown: None, is_limit: false }
    }

    /// An error for what Go would give a value, but the limits of a rendering do not let through.
    pub fn limit(text: impl Into<String>) -> CallError {
        CallError { is_limit: true, ..CallError::new(text) }
    }

    /// Whether a limit of the rendering is the cause.
    pub fn is_limit(&self) -> bool {
        self.is_limit
    }

    /// An error whose text in Go quotes a value, and what to show instead.
    pub fn secret(text: impl Into<String>, shown: impl Into<String>) -> CallError {
        CallError { text: cut(text), shown: Some(cut(shown)), is_limit: false }
    }

    /// Go's text. May hold a secret: for tests.
    pub fn go_text(&self) -> &str {
        &self.text
    }

    /// The text to show.
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

impl std::fmt::Debug for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CallError").field(&self.shown()).finish()
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.shown())
    }
}

impl std::error::Error for CallError {}
