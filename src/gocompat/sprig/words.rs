//! `camelcase`, `snakecase`, `kebabcase`: xstrings v1.5.0.

use super::runes::{RUNE_ERROR, is_letter, is_number, is_punct, is_space, is_upper, runes, to_lower, to_upper};
use crate::gocompat::template::strconv::decode;

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || is_space(c)
}

/// A letter that is not Chinese.
fn is_alphabet(c: char) -> bool {
    is_letter(c) && !matches!(c, '\u{4E00}'..='\u{9FCC}' | '\u{3400}'..='\u{4D85}' | '\u{20000}'..='\u{2B81D}')
}

/// `ToPascalCase`
pub(super) fn camel_case(text: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    let mut rest = runes(text).map(|(c, _)| c);
    let Some(mut current) = (loop {
        match rest.next() {
            // Leading connectors stay.
            Some(c) if is_connector(c) => out.push(c),
            other => break other,
        }
    }) else {
        // Only connectors: the last of them is written twice.
        out.extend(out.chars().next_back());
        return out.into_bytes();
    };
    let mut first_upper = is_upper(current);
    current = to_upper(current);
    for next in rest {
        let previous = std::mem::replace(&mut current, next);
        if is_connector(current) && is_connector(previous) {
            out.push(previous);
            continue;
        }
        if is_connector(previous) {
            first_upper = is_upper(current);
            current = to_upper(current);
        } else {
            if first_upper {
                if is_upper(current) {
                    current = to_lower(current);
                } else {
                    first_upper = false;
                }
            }
            out.push(previous);
        }
    }
    out.push(current);
    out.into_bytes()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Invalid,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punct,
    Other,
}

/// The next rune that is valid, with the bytes up to its end; `previous` if there is none.
fn next_valid(text: &[u8], previous: char) -> (char, usize) {
    let mut size = 0;
    while size < text.len() {
        let (c, width) = decode(&text[size..]);
        size += width;
        if let Some(c) = c.filter(|c| *c != RUNE_ERROR) {
            return (c, size);
        }
    }
    (previous, size)
}

/// How far runes go on that satisfy the test, from `offset` on; with the rune that does not, or the last one.
fn extend(text: &[u8], mut offset: usize, mut c: char, test: impl Fn(char, usize) -> bool) -> (usize, char) {
    while offset < text.len() {
        let (next, size) = next_valid(&text[offset..], c);
        c = next;
        if !test(c, size) {
            break;
        }
        offset += size;
    }
    (offset, c)
}

fn next_word(text: &[u8]) -> (Word, &[u8], &[u8]) {
    if text.is_empty() {
        return (Word::Invalid, b"", b"");
    }
    let (c, size) = next_valid(text, RUNE_ERROR);
    let lower = |c: char, _| is_alphabet(c) && !is_upper(c);
    let (word, end) = if c == RUNE_ERROR {
        (Word::Invalid, size)
    } else if is_connector(c) {
        (Word::Connector, extend(text, size, c, |c, _| is_connector(c)).0)
    } else if is_punct(c) {
        (Word::Punct, extend(text, size, c, |c, _| is_punct(c)).0)
    } else if is_upper(c) {
        (Word::Upper, upper_word(text, size, c))
    } else if is_alphabet(c) {
        (Word::Alphabet, extend(text, size, c, lower).0)
    } else if is_number(c) {
        (Word::Number, extend(text, size, c, |c, _| is_number(c)).0)
    } else {
        let other = |c, size| size != 0 && !is_connector(c) && !is_alphabet(c) && !is_number(c) && !is_punct(c);
        (Word::Other, extend(text, size, c, other).0)
    };
    (word, &text[..end], &text[end..])
}

/// `HTTPStatus` is `HTTP` and `Status`.
fn upper_word(text: &[u8], start: usize, c: char) -> usize {
    if start >= text.len() {
        return start;
    }
    let (next, size) = next_valid(&text[start..], c);
    let mut offset = start;
    if is_upper(next) {
        let mut last = size;
        let mut c = next;
        offset += size;
        while offset < text.len() {
            let (next, size) = next_valid(&text[offset..], c);
            c = next;
            if !is_upper(c) {
                break;
            }
            last = size;
            offset += size;
        }
        if offset < text.len() && is_alphabet(c) {
            offset -= last;
        }
    } else if is_alphabet(next) {
        offset = extend(text, offset + size, next, |c, _| is_alphabet(c) && !is_upper(c)).0;
    }
    offset
}

fn write_lower(out: &mut Vec<u8>, word: Word, text: &[u8], connector: char) {
    if word != Word::Upper && word != Word::Connector {
        out.extend_from_slice(text);
        return;
    }
    for (c, _) in runes(text) {
        push(
            out,
            if is_connector(c) {
                connector
            } else if is_upper(c) {
                to_lower(c)
            } else {
                c
            },
        );
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `ToSnakeCase` and `ToKebabCase`
pub(super) fn lower_case_words(text: &[u8], connector: char) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    if text.is_empty() {
        return out;
    }
    let (mut kind, mut word, mut rest) = next_word(text);
    while !rest.is_empty() {
        if kind != Word::Connector {
            write_lower(&mut out, kind, word, connector);
        }
        let (previous, last) = (kind, word);
        (kind, word, rest) = next_word(rest);
        match previous {
            Word::Number => {
                while matches!(kind, Word::Alphabet | Word::Number) {
                    write_lower(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if !matches!(kind, Word::Invalid | Word::Punct | Word::Connector) {
                    push(&mut out, connector);
                }
            }
            Word::Connector => write_lower(&mut out, previous, last, connector),
            Word::Punct => {}
            _ if kind != Word::Number => {
                if !matches!(kind, Word::Connector | Word::Punct) {
                    push(&mut out, connector);
                }
            }
            _ if rest.is_empty() => {}
            _ => {
                let number = word;
                (kind, word, rest) = next_word(rest);
                if kind != Word::Alphabet {
                    // The number belongs to the word before it: "Bld4Floor" is "bld4_floor".
                    write_lower(&mut out, Word::Number, number, connector);
                    if !matches!(kind, Word::Connector | Word::Punct) {
                        push(&mut out, connector);
                    }
                    continue;
                }
                // Lower case letters follow the number: "HTTP2xx" is "http_2xx".
                push(&mut out, connector);
                write_lower(&mut out, Word::Number, number, connector);
                while matches!(kind, Word::Alphabet | Word::Number) {
                    write_lower(&mut out, kind, word, connector);
                    (kind, word, rest) = next_word(rest);
                }
                if !matches!(kind, Word::Invalid | Word::Connector | Word::Punct) {
                    push(&mut out, connector);
                }
            }
        }
    }
    write_lower(&mut out, kind, word, connector);
    out
}
