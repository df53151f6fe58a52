//! Regular expressions: Go's `regexp` on the `regex` crate, which runs in linear time too.

use std::borrow::Cow;

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use super::args::{Answer, bytes, function, int, string, strings};
use crate::gocompat::regexp::{self, Translated};
use crate::gocompat::template::{CallError, Context, Function, List, Type, Value, strconv};

const S: Type = Type::String;
const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("mustRegexFind", [S, S], |ctx, a| find(ctx, a, false)),
    function!("mustRegexFindAll", [S, S, I], |ctx, a| find_all(ctx, a, false)),
    function!("mustRegexMatch", [S, S], |ctx, a| {
        let pattern = Pattern::compile(ctx, bytes(a, 0), false)?;
        Ok(pattern.is_match(ctx, bytes(a, 1))?.into())
    }),
    function!("mustRegexReplaceAll", [S, S, S], |ctx, a| replace_all(ctx, a, false, false)),
    function!("mustRegexReplaceAllLiteral", [S, S, S], |ctx, a| replace_all(ctx, a, false, true)),
    function!("mustRegexSplit", [S, S, I], |ctx, a| split(ctx, a, false)),
    function!("regexFind", [S, S], |ctx, a| find(ctx, a, true)),
    function!("regexFindAll", [S, S, I], |ctx, a| find_all(ctx, a, true)),
    function!("regexMatch", [S, S], |ctx, a| match Pattern::compile(ctx, bytes(a, 0), false) {
        Ok(pattern) => Ok(pattern.is_match(ctx, bytes(a, 1))?.into()),
        // What is no expression matches nothing.
        Err(_) => Ok(false.into()),
    }),
    function!("regexQuoteMeta", [S], |ctx, a| {
        ctx.reserve(bytes(a, 0).len().saturating_mul(2))?;
        let mut out = Vec::new();
        for byte in bytes(a, 0) {
            if br"\.+*?()|[]{}^$".contains(byte) {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        Ok(string(out))
    }),
    function!("regexReplaceAll", [S, S, S], |ctx, a| replace_all(ctx, a, true, false)),
    function!("regexReplaceAllLiteral", [S, S, S], |ctx, a| replace_all(ctx, a, true, true)),
    function!("regexSplit", [S, S, I], |ctx, a| split(ctx, a, true)),
];

struct Pattern {
    regex: Regex,
    /// The names of the groups, from the first on.
    names: Vec<Option<String>>,
}

/// A text as the expression sees it: where a byte is not UTF-8 there is U+FFFD.
struct Haystack<'t> {
    original: &'t [u8],
    text: Cow<'t, [u8]>,
    /// For each replaced byte: its place in the text.
    replaced: Vec<usize>,
}

impl<'t> Haystack<'t> {
    fn new(ctx: &mut Context<'_>, original: &'t [u8]) -> Result<Haystack<'t>, CallError> {
        ctx.step(1 + original.len() as u64 / 16)?;
        if std::str::from_utf8(original).is_ok() {
            return Ok(Haystack { original, text: Cow::Borrowed(original), replaced: Vec::new() });
        }
        ctx.reserve(original.len().saturating_mul(3))?;
        let (mut text, mut replaced) = (Vec::new(), Vec::new());
        for chunk in original.utf8_chunks() {
            text.extend_from_slice(chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                replaced.push(text.len());
                text.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
        Ok(Haystack { original, text: Cow::Owned(text), replaced })
    }

    /// The place in the original of a place in the text: each replacement is two bytes longer.
    fn place(&self, at: usize) -> usize {
        at - 2 * self.replaced.partition_point(|replaced| *replaced < at)
    }

    fn slice(&self, from: usize, to: usize) -> &'t [u8] {
        &self.original[self.place(from)..self.place(to)]
    }
}

impl Pattern {
    /// `panics`: the functions without `must` panic with another text.
    fn compile(ctx: &mut Context<'_>, pattern: &[u8], panics: bool) -> Result<Pattern, CallError> {
        ctx.step(100 + pattern.len() as u64)?;
        ctx.check_time()?;
        let failed = |cause: String| {
            let text = if panics {
                // As regexp.MustCompile does.
                let quoted = match strconv::can_backquote(pattern) {
                    true => format!("`{}`", String::from_utf8_lossy(pattern)),
                    false => String::from_utf8_lossy(&strconv::quote(pattern, false)).into_owned(),
                };
                format!("regexp: Compile({quoted}): error parsing regexp: {cause}")
            } else {
                format!("error parsing regexp: {cause}")
            };
            CallError::secret(text, "the regular expression is not valid")
        };
        let Translated { pattern, names } = regexp::translate(pattern).map_err(failed)?;
        let regex = RegexBuilder::new(&pattern)
            .size_limit(10 << 20)
            .dfa_size_limit(1 << 20)
            .nest_limit(1000)
            .build()
            .map_err(|_| CallError::new("the regular expression is too large"))?;
        Ok(Pattern { regex, names })
    }

    fn is_match(&self, ctx: &mut Context<'_>, text: &[u8]) -> Result<bool, CallError> {
        Ok(self.regex.is_match(&Haystack::new(ctx, text)?.text))
    }

    /// Go's loop over matches: an empty one right after another does not count.
    fn each(
        &self,
        ctx: &mut Context<'_>,
        haystack: &Haystack<'_>,
        mut limit: usize,
        mut f: impl FnMut(&mut Context<'_>, &CaptureLocations) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let text = &*haystack.text;
        let mut locations = self.regex.capture_locations();
        let (mut at, mut previous_end) = (0, None);
        while limit > 0 && at <= text.len() {
            ctx.step(2)?;
            let Some(found) = self.regex.captures_read_at(&mut locations, text, at) else { break };
            let mut accept = true;
            if found.end() == at {
                accept = Some(found.start()) != previous_end;
                at += std::str::from_utf8(&text[at..])
                    .ok()
                    .and_then(|rest| rest.chars().next())
                    .map_or(1, char::len_utf8);
            } else {
                at = found.end();
            }
            previous_end = Some(found.end());
            if accept {
                f(ctx, &locations)?;
                limit -= 1;
            }
        }
        Ok(())
    }

    /// The start and end of each match.
    fn places(&self, ctx: &mut Context<'_>, haystack: &Haystack<'_>, n: i64) -> Result<Vec<(usize, usize)>, CallError> {
        let limit = usize::try_from(n).unwrap_or(usize::MAX);
        let mut places = Vec::new();
        self.each(ctx, haystack, limit, |ctx, locations| {
            ctx.reserve_items(1)?;
            places.extend(locations.get(0));
            Ok(())
        })?;
        Ok(places)
    }
}

fn find(ctx: &mut Context<'_>, args: &[Value], panics: bool) -> Answer {
    let pattern = Pattern::compile(ctx, bytes(args, 0), panics)?;
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    let found = pattern.regex.find(&haystack.text);
    Ok(string(found.map_or(b"".as_slice(), |found| haystack.slice(found.start(), found.end()))))
}

fn find_all(ctx: &mut Context<'_>, args: &[Value], panics: bool) -> Answer {
    let pattern = Pattern::compile(ctx, bytes(args, 0), panics)?;
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    let places = pattern.places(ctx, &haystack, int(args, 2))?;
    if places.is_empty() {
        return Ok(Value::List(List::nil(S)));
    }
    let parts = places.into_iter().map(|(from, to)| haystack.slice(from, to).to_vec()).collect();
    strings(ctx, parts)
}

fn split(ctx: &mut Context<'_>, args: &[Value], panics: bool) -> Answer {
    let pattern = Pattern::compile(ctx, bytes(args, 0), panics)?;
    let n = int(args, 2);
    if n == 0 {
        return Ok(Value::List(List::nil(S)));
    }
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    if !bytes(args, 0).is_empty() && haystack.original.is_empty() {
        return strings(ctx, vec![Vec::new()]);
    }
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let (mut parts, mut from, mut end) = (Vec::new(), 0, 0);
    for (start, stop) in pattern.places(ctx, &haystack, n)? {
        if parts.len() + 1 == limit {
            break;
        }
        end = start;
        if stop != 0 {
            parts.push(haystack.slice(from, start).to_vec());
        }
        from = stop;
    }
    if end != haystack.text.len() {
        parts.push(haystack.slice(from, haystack.text.len()).to_vec());
    }
    if parts.is_empty() {
        // Nothing was ever put into Go's slice.
        return Ok(Value::List(List::strings(Vec::<Vec<u8>>::new())));
    }
    strings(ctx, parts)
}

fn replace_all(ctx: &mut Context<'_>, args: &[Value], panics: bool, literal: bool) -> Answer {
    let pattern = Pattern::compile(ctx, bytes(args, 0), panics)?;
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    let replacement = bytes(args, 2);
    let mut out = Vec::new();
    ctx.reserve(haystack.original.len())?;
    let mut from = 0;
    let (text, names) = (&haystack, &pattern.names);
    pattern.each(ctx, text, usize::MAX, |ctx, locations| {
        let Some((start, end)) = locations.get(0) else { return Ok(()) };
        out.extend_from_slice(text.slice(from, start));
        from = end;
        let before = out.len();
        if literal || !replacement.contains(&b'$') {
            out.extend_from_slice(replacement);
        } else {
            expand(&mut out, replacement, names, |group| {
                locations.get(group).map(|(from, to)| text.slice(from, to)).unwrap_or_default()
            });
        }
        ctx.reserve(out.len() - before)
    })?;
    out.extend_from_slice(text.slice(from, text.text.len()));
    Ok(string(out))
}

/// `Regexp.Expand`
fn expand<'t>(out: &mut Vec<u8>, template: &[u8], names: &[Option<String>], group: impl Fn(usize) -> &'t [u8]) {
    let mut rest = template;
    while let Some(at) = rest.iter().position(|b| *b == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let Some((name, after)) = group_name(rest) else {
            out.push(b'$');
            continue;
        };
        rest = after;
        let number = name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse::<usize>());
        match number {
            // Numbers with a leading zero are names.
            Some(Ok(number)) if name == "0" || !name.starts_with('0') => {
                if number <= names.len() {
                    out.extend_from_slice(group(number));
                }
            }
            _ => {
                // Of groups with one name the first that matched.
                let matched = names.iter().enumerate().filter(|(_, n)| n.as_deref() == Some(name));
                if let Some((i, _)) = matched.into_iter().next() {
                    out.extend_from_slice(group(i + 1));
                }
            }
        }
    }
    out.extend_from_slice(rest);
}

/// The name after a `$`, in braces or not.
fn group_name(text: &[u8]) -> Option<(&str, &[u8])> {
    let (body, braces) = text.strip_prefix(b"{").map_or((text, false), |body| (body, true));
    let body_text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
    };
    let end = body_text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body_text.len());
    let after = &body[end..];
    let after = if braces { after.strip_prefix(b"}")? } else { after };
    (end > 0).then(|| (&body_text[..end], after))
}
