//! Names with `*` and `?`.

use crate::gocompat::template::{CallError, Context};

/// Comparisons in one step.
const COMPARISONS_PER_STEP: u64 = 64;

/// Whether a pattern fits the whole text. `*` stands for any text, `?` for any character, a backslash takes the
/// meaning from the character behind it.
pub(super) fn matches(context: &mut Context, text: &str, pattern: &str) -> Result<bool, CallError> {
    let stars = pattern.bytes().filter(|byte| *byte == b'*').count();
    let worst = if stars > 1 { text.len().saturating_mul(pattern.len()) } else { text.len() };
    context.step(1 + worst as u64 / COMPARISONS_PER_STEP)?;
    let (mut text, mut pattern) = (text, pattern);
    // Where to go on if what follows the last star does not fit: one character later.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let rest = strip_star(pattern);
        if let Some(rest) = rest {
            if rest.is_empty() {
                return Ok(true);
            }
            retry = Some((text, rest));
            pattern = rest;
            continue;
        }
        if text.is_empty() && pattern.is_empty() {
            return Ok(true);
        }
        if let Some((after_text, after_pattern)) = one(text, pattern) {
            (text, pattern) = (after_text, after_pattern);
            continue;
        }
        let Some((from, rest)) = retry else { return Ok(false) };
        let mut characters = from.chars();
        if characters.next().is_none() {
            return Ok(false);
        }
        let later = characters.as_str();
        retry = Some((later, rest));
        (text, pattern) = (later, rest);
    }
}

fn strip_star(pattern: &str) -> Option<&str> {
    pattern.starts_with('*').then(|| pattern.trim_start_matches('*'))
}

/// What is behind a character of the text and its counterpart in the pattern, if it is one.
fn one<'a>(text: &'a str, pattern: &'a str) -> Option<(&'a str, &'a str)> {
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    let character = text.next()?;
    let expected = match pattern.next()? {
        '?' => None,
        '\\' => Some(pattern.next()?),
        c => Some(c),
    };
    expected.is_none_or(|c| c == character).then(|| (text.as_str(), pattern.as_str()))
}
