//! What an expression costs, and what it makes.

use std::borrow::Cow;

use super::Stop;
use crate::external_secret::document::Json;
use crate::gocompat::template::Context;

/// All texts that an expression makes may have so many bytes together.
const MAX_MADE_BYTES: usize = 8 << 20;
/// Paths within paths.
const MAX_NESTED: usize = 128;

/// Looks for a path in a part.
pub(super) type Get = for<'t> fn(&mut Work<'_>, View<'t>, &str) -> Result<Option<Part<'t>>, Stop>;

/// The limits of an expression.
pub(super) struct Work<'c> {
    pub(super) context: &'c mut Context,
    /// The search, for paths within paths.
    pub(super) get: Get,
    made_bytes: usize,
    nested: usize,
}

/// What a path is applied to.
#[derive(Clone, Copy)]
pub(super) struct View<'t> {
    pub(super) text: &'t str,
    /// Whether the text is JSON that is not too deep. What is none can be shown, but has no parts.
    pub(super) is_json: bool,
}

/// What gjson goes on with where it has found nothing.
pub(super) const NOTHING: View<'static> = View { text: "", is_json: false };

impl<'t> View<'t> {
    /// A part of a document.
    pub(super) fn of(json: Json<'t>) -> Self {
        Self { text: json.raw(), is_json: true }
    }
}

impl<'t> From<View<'t>> for Part<'t> {
    fn from(View { text, is_json }: View<'t>) -> Self {
        Part { text: Cow::Borrowed(text), is_json }
    }
}

/// A part of a document, or what was made of one.
pub(super) struct Part<'t> {
    pub(super) text: Cow<'t, str>,
    /// As of a [`View`].
    pub(super) is_json: bool,
}

impl Part<'_> {
    pub(super) fn into_owned(self) -> Part<'static> {
        Part { text: Cow::Owned(self.text.into_owned()), is_json: self.is_json }
    }
}

impl<'c> Work<'c> {
    pub(super) fn new(context: &'c mut Context, get: Get) -> Self {
        Self { context, get, made_bytes: 0, nested: 0 }
    }

    /// Whether so many more bytes may be made.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), Stop> {
        if self.made_bytes.saturating_add(bytes) > MAX_MADE_BYTES {
            Err(Stop::TooLarge(MAX_MADE_BYTES))
        } else {
            Ok(())
        }
    }

    /// Counts a text that was made.
    pub(super) fn made(&mut self, text: String) -> Result<Part<'static>, Stop> {
        self.check_room(text.len())?;
        self.made_bytes += text.len();
        self.context.step_bytes(text.len())?;
        let is_json = Json::parse(text.as_bytes()).is_ok();
        Ok(Part { text: Cow::Owned(text), is_json })
    }

    /// Looks for a path within a path.
    pub(super) fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.nested >= MAX_NESTED {
            return Err(Stop::Unsupported("more than 128 paths are within each other"));
        }
        self.nested += 1;
        let result = run(self);
        self.nested -= 1;
        result
    }
}
