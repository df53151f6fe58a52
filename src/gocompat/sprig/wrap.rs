//! `wrap` and `wrapWith`: goutils `WrapCustom`, which counts bytes.

use super::args::rfind;
use crate::gocompat::template::{CallError, Context};

pub(super) fn wrap(
    ctx: &mut Context,
    text: &[u8],
    width: i64,
    new_line: &[u8],
    break_words: bool,
) -> Result<Vec<u8>, CallError> {
    let new_line = if new_line.is_empty() { b"\n" } else { new_line };
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    let mut at = 0;
    while text.len() - at > width {
        if text[at] == b' ' {
            at += 1;
            continue;
        }
        ctx.reserve(new_line.len())?;
        // The width is gone through in search of a blank.
        ctx.step(1 + width as u64 / 32)?;
        if let Some(space) = rfind(&text[at..=at + width], b' ') {
            out.extend_from_slice(&text[at..at + space]);
            out.extend_from_slice(new_line);
            at += space + 1;
        } else if break_words {
            out.extend_from_slice(&text[at..at + width]);
            out.extend_from_slice(new_line);
            at += width;
        } else {
            // Long words are not broken, they go beyond the limit.
            match text[at + width..].iter().position(|b| *b == b' ') {
                None => {
                    out.extend_from_slice(&text[at..]);
                    at = text.len();
                }
                Some(space) => {
                    let end = at + width + space;
                    out.extend_from_slice(&text[at..end]);
                    out.extend_from_slice(new_line);
                    at = end + 1;
                }
            }
        }
    }
    out.extend_from_slice(&text[at..]);
    Ok(out)
}
