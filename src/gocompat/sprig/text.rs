//! Strings: case, words, shortening.

use super::args::{Answer, bytes, function, int, string};
use super::runes::{is_lower, is_space, is_title, is_upper, map_runes, runes, to_lower, to_title, to_upper};
use super::words::{camel_case, lower_case_words};
use super::wrap::wrap;
use crate::gocompat::template::{Context, Function, Type, Value};

const S: Type = Type::String;
const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("abbrev", [I, S], |_, a| {
        let (width, text) = (int(a, 0), bytes(a, 1));
        Ok(string(if width < 4 { text.to_vec() } else { abbreviate(text, 0, width) }))
    }),
    function!("abbrevboth", [I, I, S], |_, a| {
        let (left, right, text) = (int(a, 0), int(a, 1), bytes(a, 2));
        let as_is = right < 4 || left > 0 && right < 7;
        Ok(string(if as_is { text.to_vec() } else { abbreviate(text, left, right) }))
    }),
    function!("camelcase", [S], |_, a| Ok(string(camel_case(bytes(a, 0))))),
    function!("initials", [S], |_, a| Ok(string(initials(bytes(a, 0))))),
    function!("kebabcase", [S], |_, a| Ok(string(lower_case_words(bytes(a, 0), '-')))),
    function!("lower", [S], |_, a| Ok(string(map_runes(bytes(a, 0), to_lower)))),
    function!("nospace", [S], |_, a| Ok(string(no_space(bytes(a, 0))))),
    function!("shuffle", [S], shuffle).volatile(),
    function!("snakecase", [S], |_, a| Ok(string(lower_case_words(bytes(a, 0), '_')))),
    function!("swapcase", [S], |_, a| Ok(string(swap_case(bytes(a, 0))))),
    function!("title", [S], |_, a| Ok(string(title(bytes(a, 0))))),
    function!("untitle", [S], |_, a| Ok(string(untitle(bytes(a, 0))))),
    function!("upper", [S], |_, a| Ok(string(map_runes(bytes(a, 0), to_upper)))),
    function!("wrap", [I, S], |ctx, a| Ok(string(wrap(ctx, bytes(a, 1), int(a, 0), b"", false)?))),
    function!("wrapWith", [I, S, S], |ctx, a| Ok(string(wrap(ctx, bytes(a, 2), int(a, 0), bytes(a, 1), true)?))),
];

/// goutils `AbbreviateFull`, without its errors, which sprig drops. Widths are bytes.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    if text.is_empty() || width < 4 {
        return Vec::new();
    }
    if length <= width {
        return text.to_vec();
    }
    // Within the text from here on: 0 < width < length.
    let at = |i: i64| usize::try_from(i).unwrap_or(0);
    let mut offset = offset.min(length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    if offset <= 4 {
        return [&text[..at(width - 3)], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < length {
        return [b"...".as_slice(), &abbreviate(&text[at(offset)..], 0, width - 3)].concat();
    }
    [b"...", &text[at(length - (width - 3))..]].concat()
}

/// goutils looks at bytes and writes them as runes: every letter beyond ASCII comes out as Latin-1 read it.
fn initials(text: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    let mut gap = true;
    for byte in text {
        let c = char::from(*byte);
        if is_space(c) {
            gap = true;
        } else if gap {
            out.push(c);
            gap = false;
        }
    }
    out.into_bytes()
}

/// As [`initials`]: what has a blank comes out garbled if it is not ASCII, what has none is left alone.
fn no_space(text: &[u8]) -> Vec<u8> {
    let kept: String = text.iter().map(|b| char::from(*b)).filter(|c| !is_space(*c)).collect();
    if kept.chars().count() == text.len() { text.to_vec() } else { kept.into_bytes() }
}

fn swap_case(text: &[u8]) -> Vec<u8> {
    let mut whitespace = true;
    map_runes(text, |c| {
        if is_upper(c) || is_title(c) {
            whitespace = false;
            to_lower(c)
        } else if is_lower(c) {
            let mapped = if whitespace { to_title(c) } else { to_upper(c) };
            whitespace = false;
            mapped
        } else {
            whitespace = is_space(c);
            c
        }
    })
}

/// `strings.Title`
fn title(text: &[u8]) -> Vec<u8> {
    let mut previous = ' ';
    map_runes(text, |c| {
        let separated =
            if previous.is_ascii() { !previous.is_ascii_alphanumeric() && previous != '_' } else { is_space(previous) };
        previous = c;
        if separated { to_title(c) } else { c }
    })
}

fn untitle(text: &[u8]) -> Vec<u8> {
    let mut next = true;
    map_runes(text, |c| {
        if is_space(c) {
            next = true;
            c
        } else if std::mem::take(&mut next) {
            to_lower(c)
        } else {
            c
        }
    })
}

fn shuffle(ctx: &mut Context<'_>, args: &[Value]) -> Answer {
    let mut letters: Vec<char> = runes(bytes(args, 0)).map(|(c, _)| c).collect();
    ctx.step(letters.len() as u64)?;
    for i in (1..letters.len()).rev() {
        let other = super::numbers::random_below(ctx, i as u64 + 1);
        letters.swap(i, usize::try_from(other).unwrap_or(0));
    }
    Ok(string(letters.into_iter().collect::<String>()))
}
