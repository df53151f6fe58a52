//! Quotes in a path.

/// The place of the quote that closes the one at `at`, and whether a backslash is between them.
pub(super) fn closing_quote(bytes: &[u8], mut at: usize) -> (usize, bool) {
    at += 1;
    let mut escaped = false;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'\\' {
            escaped = true;
            at += 1;
        } else if byte == b'"' {
            break;
        }
        at += 1;
    }
    (at, escaped)
}
