//! The search, in gjson's order: where a component fits several members, the first with a part for the rest of the path.

use std::borrow::Cow;

use super::path::{Name, Next, Place, Selection, is_modifier, split_pipe};
use super::query::Query;
use super::{Stop, wildcard};
use crate::external_secret::document::{Halves, Json, Kind, unescape};
use crate::gocompat::template::Context;

type Found<'t> = Option<Cow<'t, str>>;

/// The JSON of a part of a document.
///
/// Paths and documents are no longer and no deeper than their limits, so that calls nest no deeper either.
pub(super) fn get<'t>(context: &mut Context, json: Json<'t>, path: &str) -> Result<Found<'t>, Stop> {
    let mut path = path;
    let mut found = Cow::Borrowed(json.raw());
    loop {
        let (value, pipe) = match &found {
            Cow::Borrowed(raw) => one(context, Json::checked(raw), path)?,
            Cow::Owned(text) => {
                let (value, pipe) = one(context, Json::checked(text), path)?;
                (value.map(|value| Cow::Owned(value.into_owned())), pipe)
            }
        };
        match (value, pipe) {
            (value, None) => return Ok(value),
            (None, Some(rest)) => {
                check(rest)?;
                return Ok(None);
            }
            (Some(value), Some(rest)) => (found, path) = (value, rest),
        }
    }
}

/// The part up to the first pipe that counts, and the path behind that.
fn one<'t, 'p>(context: &mut Context, json: Json<'t>, path: &'p str) -> Result<(Found<'t>, Option<&'p str>), Stop> {
    check(path)?;
    let mut search = Search { context, value: None, pipe: None };
    match json.kind() {
        Kind::Object => search.object(json, path)?,
        Kind::Array => search.array(json, path)?,
        _ => false,
    };
    Ok((search.value, search.pipe))
}

/// Refuses what a path may begin with in gjson, and may not here.
fn check(path: &str) -> Result<(), Stop> {
    let unsupported = |why| Err(Stop::Unsupported(why));
    let rest = path.get(1..).unwrap_or("");
    match path.as_bytes() {
        [b'@', _, ..] if is_modifier(rest) => unsupported("modifiers are not served"),
        [b'{' | b'[', _, ..] => unsupported("several paths at a time are not served"),
        [b'.', b'.', ..] => unsupported("lines are not served"),
        [b'!', first, ..] => {
            let word = rest.split(['.', '|']).next().unwrap_or(rest).to_ascii_lowercase();
            let is_literal = b"{[\"+-0123456789".contains(first);
            if is_literal || ["true", "false", "null", "nan", "inf"].contains(&&*word) {
                return unsupported("literals are not served");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

struct Search<'c, 't, 'p> {
    context: &'c mut Context,
    value: Found<'t>,
    pipe: Option<&'p str>,
}

impl<'t, 'p> Search<'_, 't, 'p> {
    fn pipe_at_end(&mut self, next: Next<'p>) {
        if let Next::Pipe(rest) = next {
            self.pipe = Some(rest);
        }
    }

    /// Takes a value, or looks for the rest of the path in it. Whether the search is over.
    fn take(&mut self, value: Json<'t>, next: Next<'p>) -> Result<bool, Stop> {
        match (next, value.kind()) {
            (Next::Path(path), Kind::Object) => self.object(value, path),
            (Next::Path(path), Kind::Array) => self.array(value, path),
            (Next::Path(_), _) => Ok(false),
            (Next::End | Next::Pipe(_), _) => {
                self.value = Some(Cow::Borrowed(value.raw()));
                Ok(true)
            }
        }
    }

    fn object(&mut self, json: Json<'t>, path: &'p str) -> Result<bool, Stop> {
        self.context.step_bytes(json.raw().len())?;
        let name = Name::first(path);
        self.pipe_at_end(name.next);
        for (key, value) in json.members() {
            let key = unescape(key, Halves::Gjson);
            let fits = if name.wild { wildcard::matches(self.context, &key, &name.text)? } else { key == name.text };
            if fits && self.take(value, name.next)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn array(&mut self, json: Json<'t>, path: &'p str) -> Result<bool, Stop> {
        self.context.step_bytes(json.raw().len())?;
        let place = Place::first(path);
        self.pipe_at_end(place.next);
        match place.selection {
            Selection::Nothing | Selection::Index(None) => Ok(false),
            Selection::Index(Some(index)) => match json.elements().nth(index) {
                Some(element) => self.take(element, place.next),
                None => Ok(false),
            },
            Selection::Count => {
                self.value = Some(Cow::Owned(json.elements().count().to_string()));
                Ok(true)
            }
            Selection::Each(path) => {
                let path = self.without_pipe(path);
                let mut list = List::default();
                for element in json.elements() {
                    list.push(get(self.context, element, path)?);
                }
                self.value = Some(list.finish());
                Ok(true)
            }
            Selection::Query { query, all } => self.query(json, &query, all, place.next),
        }
    }

    fn query(&mut self, json: Json<'t>, query: &Query<'_>, all: bool, mut next: Next<'p>) -> Result<bool, Stop> {
        let mut list = List::default();
        for element in json.elements() {
            self.context.step(1)?;
            let looked_at = match element.kind() {
                Kind::Object | Kind::Array => get(self.context, element, query.path)?,
                _ if query.path.is_empty() => Some(Cow::Borrowed(element.raw())),
                _ => continue,
            };
            if !query.is_true(self.context, looked_at.as_deref().map(Json::checked))? {
                continue;
            }
            let found = match next {
                Next::Path(path) => {
                    let path = self.without_pipe(path);
                    next = Next::Path(path);
                    get(self.context, element, path)?
                }
                Next::End | Next::Pipe(_) => Some(Cow::Borrowed(element.raw())),
            };
            if all {
                list.push(found);
            } else {
                self.value = found;
                return Ok(true);
            }
        }
        if all && self.value.is_none() {
            self.value = Some(list.finish());
        }
        Ok(false)
    }

    /// The path up to a pipe, which applies to the whole result.
    fn without_pipe(&mut self, path: &'p str) -> &'p str {
        match split_pipe(path) {
            None => path,
            Some((before, after)) => {
                self.pipe = Some(after);
                before
            }
        }
    }
}

/// An array of what was found. It is no longer than the document, since its elements are parts of it.
#[derive(Default)]
struct List {
    text: String,
}

impl List {
    fn push(&mut self, found: Found<'_>) {
        if let Some(found) = found {
            self.text.push(if self.text.is_empty() { '[' } else { ',' });
            self.text.push_str(&found);
        }
    }

    fn finish(mut self) -> Cow<'static, str> {
        self.text.push_str(if self.text.is_empty() { "[]" } else { "]" });
        Cow::Owned(self.text)
    }
}
