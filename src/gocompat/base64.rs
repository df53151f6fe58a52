//! Base64 as Go's `encoding/base64` reads it, with padding.

/// The digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// With `+` and `/`: `base64.StdEncoding`.
    Standard,
    /// With `-` and `_`: `base64.URLEncoding`.
    Url,
}

fn digit_of(alphabet: Alphabet, byte: u8) -> Option<u32> {
    Some(u32::from(match (byte, alphabet) {
        (b'A'..=b'Z', _) => byte - b'A',
        (b'a'..=b'z', _) => byte - b'a' + 26,
        (b'0'..=b'9', _) => byte - b'0' + 52,
        (b'+', Alphabet::Standard) | (b'-', Alphabet::Url) => 62,
        (b'/', Alphabet::Standard) | (b'_', Alphabet::Url) => 63,
        _ => return None,
    }))
}

/// `Encoding.DecodeString`: line ends are skipped, trailing bits are not looked at.
///
/// # Errors
/// The offset of the byte that is not expected.
pub fn decode(alphabet: Alphabet, text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let newline = |b: u8| b == b'\n' || b == b'\r';
    let skip = |mut at: usize| {
        while at < text.len() && newline(text[at]) {
            at += 1;
        }
        at
    };
    let mut at = 0;
    loop {
        let (mut quantum, mut count) = (0, 0);
        while count < 4 {
            let Some(&byte) = text.get(at) else {
                return if count == 0 { Ok(out) } else { Err(at - count) };
            };
            at += 1;
            if let Some(digit) = digit_of(alphabet, byte) {
                quantum = quantum << 6 | digit;
                count += 1;
            } else if newline(byte) {
                continue;
            } else if byte != b'=' || count < 2 {
                return Err(at - 1);
            } else {
                if count == 2 {
                    at = skip(at);
                    match text.get(at) {
                        None => return Err(text.len()),
                        Some(b'=') => at += 1,
                        Some(_) => return Err(at - 1),
                    }
                }
                at = skip(at);
                if at < text.len() {
                    return Err(at);
                }
                let quantum = quantum << (6 * (4 - count));
                out.extend_from_slice(&quantum.to_be_bytes()[1..count]);
                return Ok(out);
            }
        }
        out.extend_from_slice(&quantum.to_be_bytes()[1..]);
    }
}
