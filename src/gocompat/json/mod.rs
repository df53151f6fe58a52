//! JSON as Go's `encoding/json` writes and reads it.
//!
//! [`to_string`] writes documents of Vault and Kubernetes; [`encode`] and [`decode`] are for the values of templates.

use std::borrow::Cow;

mod decode;
mod encode;
mod marshal;

pub(crate) use decode::{DecodeError, decode};
pub(crate) use encode::{EncodeError, encode, encode_pretty, write_bytes};
pub(crate) use marshal::write_styled;
pub use marshal::{html_escape, to_string, write_str};

/// Whether `<`, `>` and `&` are escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Escaped, as `json.Marshal` does.
    Html,
    /// As they are.
    Raw,
}

/// Gives `push` the parts of `text` as they stand within a JSON string.
fn escape(text: &str, style: Style, mut push: impl FnMut(&str)) {
    let mut done = 0;
    for (at, c) in text.char_indices() {
        if let Some(escaped) = escape_char(c, style) {
            push(&text[done..at]);
            push(&escaped);
            done = at + c.len_utf8();
        }
    }
    push(&text[done..]);
}

/// What stands for `c` within a JSON string, unless `c` itself does.
fn escape_char(c: char, style: Style) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '<' | '>' | '&' if style == Style::Raw => return None,
        '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => return Some(Cow::Owned(unicode_escape(c))),
        _ => return None,
    }))
}

fn unicode_escape(c: char) -> String {
    format!("\\u{:04x}", u32::from(c))
}
