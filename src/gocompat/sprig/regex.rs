//! Regular expressions: Go's `regexp` on the `regex` crate, which runs in linear time too.

use std::borrow::Cow;

use regex::bytes::CaptureLocations;

use super::args::{Answer, bytes, function, int, string, strings};
use crate::gocompat::regexp::{Groups, Pattern, PatternError};
use crate::gocompat::template::{CallError, Context, Function, List, Str, Type, Value, strconv};

const S: Type = Type::String;
const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("mustRegexFind", [S, S], |ctx, a| find(ctx, a, false)),
    function!("mustRegexFindAll", [S, S, I], |ctx, a| find_all(ctx, a, false)),
    function!("mustRegexMatch", [S, S], |ctx, a| {
        let pattern = compile(ctx, bytes(a, 0), Groups::Ignored, false)?;
        Ok(is_match(ctx, &pattern, bytes(a, 1))?.into())
    }),
    function!("mustRegexReplaceAll", [S, S, S], |ctx, a| replace_all(ctx, a, false, false)),
    function!("mustRegexReplaceAllLiteral", [S, S, S], |ctx, a| replace_all(ctx, a, false, true)),
    function!("mustRegexSplit", [S, S, I], |ctx, a| split(ctx, a, false)),
    function!("regexFind", [S, S], |ctx, a| find(ctx, a, true)),
    function!("regexFindAll", [S, S, I], |ctx, a| find_all(ctx, a, true)),
    function!("regexMatch", [S, S], |ctx, a| match Pattern::compile(ctx, bytes(a, 0), Groups::Ignored) {
        Ok(pattern) => Ok(is_match(ctx, &pattern, bytes(a, 1))?.into()),
        // What is no expression matches nothing.
        Err(PatternError::Syntax(_)) => Ok(false.into()),
        Err(PatternError::Limit(error)) => Err(error),
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

/// A text as the expression sees it: where a byte is not UTF-8 there is U+FFFD.
struct Haystack<'t> {
    original: &'t [u8],
    text: Cow<'t, [u8]>,
    /// For each replaced byte: its place in the text.
    replaced: Vec<usize>,
}

impl<'t> Haystack<'t> {
    fn new(ctx: &mut Context, original: &'t [u8]) -> Result<Haystack<'t>, CallError> {
        if std::str::from_utf8(original).is_ok() {
            return Ok(Haystack { original, text: Cow::Borrowed(original), replaced: Vec::new() });
        }
        ctx.reserve(original.len().saturating_mul(3 + size_of::<usize>()))?;
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

/// `panics`: the functions without `must` panic with another text.
fn compile(ctx: &mut Context, pattern: &[u8], groups: Groups, panics: bool) -> Result<Pattern, CallError> {
    Pattern::compile(ctx, pattern, groups).map_err(|error| {
        let cause = match error {
            PatternError::Limit(error) => return error,
            PatternError::Syntax(cause) => cause,
        };
        let text = if panics {
            // As regexp.MustCompile does.
            let quoted = if strconv::can_backquote(pattern) {
                format!("`{}`", String::from_utf8_lossy(pattern))
            } else {
                String::from_utf8_lossy(&strconv::quote(pattern, false)).into_owned()
            };
            format!("regexp: Compile({quoted}): error parsing regexp: {cause}")
        } else {
            format!("error parsing regexp: {cause}")
        };
        CallError::secret(text, "the regular expression is not valid")
    })
}

fn is_match(ctx: &mut Context, pattern: &Pattern, text: &[u8]) -> Result<bool, CallError> {
    let haystack = Haystack::new(ctx, text)?;
    pattern.count_search(ctx, haystack.text.len())?;
    Ok(pattern.regex().is_match(&haystack.text))
}

/// Begin and end of a match, or of a group.
type Place = (usize, usize);

/// Go's loop over matches: an empty one right after another does not count.
fn each(
    ctx: &mut Context,
    pattern: &Pattern,
    haystack: &Haystack<'_>,
    mut limit: usize,
    mut f: impl FnMut(&mut Context, Place, Option<&CaptureLocations>) -> Result<(), CallError>,
) -> Result<(), CallError> {
    let text = &*haystack.text;
    pattern.count_search(ctx, text.len())?;
    let regex = pattern.regex();
    let mut locations = pattern.groups_wanted().then(|| regex.capture_locations());
    let (mut at, mut previous_end) = (0, None);
    while limit > 0 && at <= text.len() {
        // A search may look far ahead for each of many short matches.
        ctx.step(2)?;
        ctx.check_time()?;
        let found = match &mut locations {
            Some(locations) => regex.captures_read_at(locations, text, at),
            None => regex.find_at(text, at),
        };
        let Some(found) = found else { break };
        let mut accept = true;
        if found.end() == at {
            accept = Some(found.start()) != previous_end;
            at += strconv::decode(&text[at..]).1.max(1);
        } else {
            at = found.end();
        }
        previous_end = Some(found.end());
        if accept {
            f(ctx, (found.start(), found.end()), locations.as_ref())?;
            limit -= 1;
        }
    }
    Ok(())
}

/// The begin and end of each match.
fn places(ctx: &mut Context, pattern: &Pattern, haystack: &Haystack<'_>, n: i64) -> Result<Vec<Place>, CallError> {
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let mut places = Vec::new();
    each(ctx, pattern, haystack, limit, |ctx, place, _| {
        // The place, and later the text that is there.
        ctx.reserve_texts(2)?;
        places.push(place);
        Ok(())
    })?;
    Ok(places)
}

fn find(ctx: &mut Context, args: &[Value], panics: bool) -> Answer {
    let pattern = compile(ctx, bytes(args, 0), Groups::Ignored, panics)?;
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    pattern.count_search(ctx, haystack.text.len())?;
    let found = pattern.regex().find(&haystack.text);
    Ok(string(found.map_or(b"".as_slice(), |found| haystack.slice(found.start(), found.end()))))
}

fn find_all(ctx: &mut Context, args: &[Value], panics: bool) -> Answer {
    let pattern = compile(ctx, bytes(args, 0), Groups::Ignored, panics)?;
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    let places = places(ctx, &pattern, &haystack, int(args, 2))?;
    if places.is_empty() {
        return Ok(Value::List(List::nil(S)));
    }
    let parts = places.into_iter().map(|(from, to)| haystack.slice(from, to).into()).collect();
    strings(ctx, parts)
}

fn split(ctx: &mut Context, args: &[Value], panics: bool) -> Answer {
    let pattern = compile(ctx, bytes(args, 0), Groups::Ignored, panics)?;
    let n = int(args, 2);
    if n == 0 {
        return Ok(Value::List(List::nil(S)));
    }
    let haystack = Haystack::new(ctx, bytes(args, 1))?;
    if !bytes(args, 0).is_empty() && haystack.original.is_empty() {
        return strings(ctx, vec!["".into()]);
    }
    let limit = usize::try_from(n).unwrap_or(usize::MAX);
    let (mut parts, mut from, mut end) = (Vec::<Str>::new(), 0, 0);
    for (start, stop) in places(ctx, &pattern, &haystack, n)? {
        if parts.len() + 1 == limit {
            break;
        }
        end = start;
        if stop != 0 {
            parts.push(haystack.slice(from, start).into());
        }
        from = stop;
    }
    if end != haystack.text.len() {
        parts.push(haystack.slice(from, haystack.text.len()).into());
    }
    if parts.is_empty() {
        // Nothing was ever put into Go's slice.
        return Ok(Value::List(List::strings(Vec::<Vec<u8>>::new())));
    }
    strings(ctx, parts)
}

fn replace_all(ctx: &mut Context, args: &[Value], panics: bool, literal: bool) -> Answer {
    let replacement = bytes(args, 2);
    let literal = literal || !replacement.contains(&b'$');
    let groups = if literal { Groups::Ignored } else { Groups::Wanted };
    let pattern = compile(ctx, bytes(args, 0), groups, panics)?;
    Ok(string(replaced(ctx, &pattern, bytes(args, 1), replacement)?))
}

/// `Regexp.ReplaceAll`, or `Regexp.ReplaceAllLiteral` if the pattern was compiled without groups.
pub(crate) fn replaced(
    ctx: &mut Context,
    pattern: &Pattern,
    text: &[u8],
    replacement: &[u8],
) -> Result<Vec<u8>, CallError> {
    let haystack = Haystack::new(ctx, text)?;
    let mut out = Vec::new();
    ctx.reserve(haystack.original.len())?;
    let mut from = 0;
    let (text, names) = (&haystack, pattern.names());
    each(ctx, pattern, text, usize::MAX, |ctx, (start, end), locations| {
        out.extend_from_slice(text.slice(from, start));
        from = end;
        ctx.reserve(replacement.len())?;
        match locations {
            None => out.extend_from_slice(replacement),
            Some(locations) => {
                // Each name is looked for among all.
                ctx.step_bytes(replacement.len().saturating_mul(1 + names.len()))?;
                expand(ctx, &mut out, replacement, names, |group| {
                    locations.get(group).map(|(from, to)| text.slice(from, to)).unwrap_or_default()
                })?;
            }
        }
        Ok(())
    })?;
    out.extend_from_slice(text.slice(from, text.text.len()));
    Ok(out)
}

/// `Regexp.Expand`
fn expand<'t>(
    ctx: &mut Context,
    out: &mut Vec<u8>,
    template: &[u8],
    names: &[Option<String>],
    group: impl Fn(usize) -> &'t [u8],
) -> Result<(), CallError> {
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
                    ctx.reserve(group(number).len())?;
                    out.extend_from_slice(group(number));
                }
            }
            _ => {
                // Of groups with one name the first that matched.
                let matched = names.iter().enumerate().filter(|(_, n)| n.as_deref() == Some(name));
                if let Some((i, _)) = matched.into_iter().next() {
                    ctx.reserve(group(i + 1).len())?;
                    out.extend_from_slice(group(i + 1));
                }
            }
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The name after a `$`, in braces or not.
fn group_name(text: &[u8]) -> Option<(&str, &[u8])> {
    let (body, braces) = text.strip_prefix(b"{").map_or((text, false), |body| (body, true));
    let mut end = 0;
    while let (Some(c), width) = strconv::decode(&body[end..])
        && (c.is_alphanumeric() || c == '_')
    {
        end += width;
    }
    let name = std::str::from_utf8(&body[..end]).ok()?;
    let after = &body[end..];
    let after = if braces { after.strip_prefix(b"}")? } else { after };
    (end > 0).then_some((name, after))
}
