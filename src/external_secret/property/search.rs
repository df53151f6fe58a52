//! The search, in gjson's order: where a component fits several members, the first with a part for the rest of the
//! path.

use std::borrow::Cow;

use super::modifiers::Call;
use super::path::{Name, Next, Place, Selection, split_pipe};
use super::query::Query;
use super::selectors::Selectors;
use super::work::{NOTHING, Part, View, Work};
use super::{NO_JSON, Stop, literal, wildcard};
use crate::external_secret::document::{Halves, Json, Kind, unescape};

type Found<'t> = Option<Part<'t>>;

/// What was found up to a pipe, and the path behind that.
type Step<'t, 'p> = (Found<'t>, Option<&'p str>);

/// A part of a document, or what the path makes of it.
///
/// Paths and documents are no longer and no deeper than their limits, so that calls nest no deeper either.
pub(super) fn get<'t>(work: &mut Work<'_>, view: View<'t>, path: &str) -> Result<Found<'t>, Stop> {
    work.nested(|work| {
        let step = one(work, view, path, false)?;
        finish(work, step)
    })
}

/// A part of the documents that an array holds, each of them in a line.
pub(super) fn in_lines<'t>(work: &mut Work<'_>, lines: &'t str, path: &str) -> Result<Found<'t>, Stop> {
    let mut search = Search { work, value: None, pipe: None };
    search.array(Json::checked(lines), path)?;
    let step = (search.value, search.pipe);
    finish(work, step)
}

/// Follows the pipes.
fn finish<'t>(work: &mut Work<'_>, (mut found, mut pipe): Step<'t, '_>) -> Result<Found<'t>, Stop> {
    while let Some(path) = pipe {
        (found, pipe) = match found {
            None => one(work, NOTHING, path, true)?,
            Some(Part { text: Cow::Borrowed(text), is_json }) => one(work, View { text, is_json }, path, true)?,
            Some(Part { text: Cow::Owned(text), is_json }) => {
                let (found, pipe) = one(work, View { text: &text, is_json }, path, true)?;
                (found.map(Part::into_owned), pipe)
            }
        };
    }
    Ok(found)
}

/// What is found up to the first pipe that counts, and the path behind that.
fn one<'t, 'p>(work: &mut Work<'_>, view: View<'t>, path: &'p str, is_behind_pipe: bool) -> Result<Step<'t, 'p>, Stop> {
    work.context.step(1)?;
    let mut path = path;
    if path.len() > 1 {
        if let Some((call, rest)) = Call::first(path) {
            let made = call.run(work, view)?;
            return value_and_rest(made, rest);
        }
        if let Some((text, rest)) = literal::first(path) {
            let made = work.made(text.to_owned())?;
            return value_and_rest(made, rest);
        }
        if path.starts_with(['{', '[']) {
            path = match Selectors::first(path) {
                // As with gjson, a member without a name is looked for.
                None => "",
                Some((selectors, rest)) if rest.is_empty() || rest.starts_with(['.', '|']) => {
                    let made = selectors.apply(work, view)?;
                    return Ok((Some(made), rest.get(1..)));
                }
                Some((_, rest)) => rest,
            };
        }
    }
    let json = Json::checked(view.text.trim_matches(|c: char| c <= ' '));
    // gjson would look between the brackets.
    let is_looked_into = !view.is_json || (is_behind_pipe && json.kind() == Kind::String);
    if is_looked_into && json.raw().contains(['{', '[']) {
        return Err(NO_JSON);
    }
    if let Some(path) = path.strip_prefix("..") {
        let lines = work.made(format!("[{}]", json.raw()))?;
        let mut search = Search { work, value: None, pipe: None };
        search.array(Json::checked(&lines.text), path)?;
        return Ok((search.value.map(Part::into_owned), search.pipe));
    }
    let mut search = Search { work, value: None, pipe: None };
    match json.kind() {
        Kind::Object => search.object(json, path)?,
        Kind::Array => search.array(json, path)?,
        _ => false,
    };
    Ok((search.value, search.pipe))
}

/// What was made, if no path follows the value that it begins with.
fn value_and_rest<'t, 'p>(made: Part<'t>, rest: &'p str) -> Result<Step<'t, 'p>, Stop> {
    if rest.starts_with(['.', '|']) {
        return Ok((Some(made), rest.get(1..)));
    }
    let Some(value) = literal::value_of(&made.text) else { return Ok((None, None)) };
    if value.starts_with('"') && !made.is_json {
        return Err(NO_JSON);
    }
    let text = match made.text {
        Cow::Borrowed(text) => Cow::Borrowed(literal::value_of(text).unwrap_or("")),
        Cow::Owned(_) => Cow::Owned(value.to_owned()),
    };
    Ok((Some(Part { text, is_json: made.is_json }), None))
}

struct Search<'w, 'c, 't, 'p> {
    work: &'w mut Work<'c>,
    value: Found<'t>,
    pipe: Option<&'p str>,
}

impl<'t, 'p> Search<'_, '_, 't, 'p> {
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
                self.value = Some(View::of(value).into());
                Ok(true)
            }
        }
    }

    fn object(&mut self, json: Json<'t>, path: &'p str) -> Result<bool, Stop> {
        self.work.context.step_bytes(json.raw().len())?;
        let name = Name::first(path);
        self.pipe_at_end(name.next);
        for (key, value) in json.members() {
            let key = unescape(key, Halves::Gjson);
            let fits =
                if name.wild { wildcard::matches(self.work.context, &key, &name.text)? } else { key == name.text };
            if fits && self.take(value, name.next)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn array(&mut self, json: Json<'t>, path: &'p str) -> Result<bool, Stop> {
        self.work.context.step_bytes(json.raw().len())?;
        let place = Place::first(path);
        self.pipe_at_end(place.next);
        match place.selection {
            Selection::Nothing | Selection::Index(None) => Ok(false),
            Selection::Index(Some(index)) => match json.elements().nth(index) {
                Some(element) => self.take(element, place.next),
                None => Ok(false),
            },
            Selection::Count => {
                let text = Cow::Owned(json.elements().count().to_string());
                self.value = Some(Part { text, is_json: true });
                Ok(true)
            }
            Selection::Each(path) => {
                let path = self.without_pipe(path);
                let mut list = List::new();
                for element in json.elements() {
                    list.push(get(self.work, View::of(element), path)?);
                }
                self.value = Some(list.finish());
                Ok(true)
            }
            Selection::Query { query, all } => self.query(json, &query, all, place.next),
        }
    }

    fn query(&mut self, json: Json<'t>, query: &Query<'_>, all: bool, mut next: Next<'p>) -> Result<bool, Stop> {
        let mut list = List::new();
        for element in json.elements() {
            self.work.context.step(1)?;
            let looked_at = match element.kind() {
                Kind::Object | Kind::Array => get(self.work, View::of(element), query.path)?,
                _ if query.path.is_empty() => Some(View::of(element).into()),
                _ => continue,
            };
            if !query.is_true(self.work.context, looked_at.as_ref().map(|part| Json::checked(&part.text)))? {
                continue;
            }
            let found = match next {
                Next::Path(path) => {
                    let path = self.without_pipe(path);
                    next = Next::Path(path);
                    get(self.work, View::of(element), path)?
                }
                Next::End | Next::Pipe(_) => Some(View::of(element).into()),
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

/// An array of what was found.
struct List {
    text: String,
    is_json: bool,
}

impl List {
    fn new() -> Self {
        Self { text: String::new(), is_json: true }
    }

    fn push(&mut self, found: Found<'_>) {
        if let Some(found) = found {
            self.text.push(if self.text.is_empty() { '[' } else { ',' });
            self.text.push_str(&found.text);
            self.is_json &= found.is_json;
        }
    }

    fn finish(mut self) -> Part<'static> {
        self.text.push_str(if self.text.is_empty() { "[]" } else { "]" });
        Part { text: Cow::Owned(self.text), is_json: self.is_json }
    }
}
