//! Strings: the case of letters and words.

use super::args::{Answer, bytes, function, string};
use super::runes::{is_lower, is_space, is_title, is_upper, map_runes, to_lower, to_title, to_upper};
use super::words::{camel_case, lower_case_words};
use crate::gocompat::template::{Context, Function, Type};

const S: Type = Type::String;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("camelcase", [S], |ctx, a| words(ctx, bytes(a, 0), camel_case)),
    function!("initials", [S], |_, a| Ok(string(initials(bytes(a, 0))))),
    function!("kebabcase", [S], |ctx, a| words(ctx, bytes(a, 0), |text| lower_case_words(text, '-'))),
    function!("lower", [S], |_, a| Ok(string(map_runes(bytes(a, 0), to_lower)))),
    function!("snakecase", [S], |ctx, a| words(ctx, bytes(a, 0), |text| lower_case_words(text, '_'))),
    function!("swapcase", [S], |ctx, a| words(ctx, bytes(a, 0), swap_case)),
    function!("title", [S], |ctx, a| words(ctx, bytes(a, 0), title)),
    function!("untitle", [S], |ctx, a| words(ctx, bytes(a, 0), untitle)),
    function!("upper", [S], |_, a| Ok(string(map_runes(bytes(a, 0), to_upper)))),
];

/// Looks up several classes of each character.
fn words(ctx: &mut Context, text: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Answer {
    ctx.step(text.len() as u64 / 4)?;
    ctx.reserve(text.len().saturating_mul(2))?;
    Ok(string(change(text)))
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
