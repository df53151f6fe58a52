//! What becomes of keys that come from a store: a key of a Secret has letters, digits, `-`, `.` and `_` only.

use std::collections::btree_map::Entry;

use super::Data;
use crate::api::external_secrets::ConversionStrategy;
use crate::gocompat::template::strconv::is_letter;

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 253;

/// Why keys are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Two keys become one.
    #[error("secret name collision during conversion: {}", shown(.0))]
    Collision(String),
    /// There is no such strategy.
    #[error("conversion strategy {0} is not supported")]
    Strategy(String),
    /// The key is too long.
    #[error("key has length {} but max is {MAX_KEY_BYTES}: (following is truncated): {}", .0.len(), shown(.0))]
    TooLong(String),
    /// The key has a character that it must not have.
    #[error("key has invalid character {character}, only alphanumeric, '-', '.' and '_' are allowed: {}", shown(.key))]
    Character {
        /// The key.
        key: String,
        /// The first such character.
        character: char,
    },
}

/// The beginning of a key, for a message.
fn shown(key: &str) -> &str {
    &key[..key.floor_char_boundary(MAX_KEY_BYTES)]
}

fn is_allowed(c: char) -> bool {
    // `is_numeric` is Go's `IsNumber`.
    is_letter(c) || c.is_numeric() || matches!(c, '-' | '.' | '_')
}

/// The name of a strategy, as it is written in manifests.
pub fn name(strategy: Option<&ConversionStrategy>) -> &str {
    match strategy {
        None | Some(ConversionStrategy::Default) => "Default",
        Some(ConversionStrategy::Unicode) => "Unicode",
        Some(ConversionStrategy::Unknown(name)) => name,
    }
}

/// A key with the characters that a key may have.
fn converted(unicode: bool, key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for c in key.chars() {
        if is_allowed(c) {
            out.push(c);
        } else if unicode {
            out.push_str(&format!("_U{:04x}_", u32::from(c)));
        } else {
            out.push('_');
        }
    }
    out
}

/// All keys with the characters that keys may have.
///
/// # Errors
/// Two keys become one.
pub fn convert(strategy: Option<&ConversionStrategy>, data: Data) -> Result<Data, KeyError> {
    let unicode = match strategy {
        None | Some(ConversionStrategy::Default) => false,
        Some(ConversionStrategy::Unicode) => true,
        Some(ConversionStrategy::Unknown(name)) if name.is_empty() => false,
        Some(ConversionStrategy::Unknown(name)) => return Err(KeyError::Strategy(name.clone())),
    };
    renamed(data, |key| converted(unicode, key))
}

/// Undoes [`convert`] with [`ConversionStrategy::Unicode`]: `_U0040_` becomes `@`.
///
/// # Errors
/// Two keys become one.
pub fn reverse_unicode(data: Data) -> Result<Data, KeyError> {
    renamed(data, reversed)
}

fn renamed(data: Data, rename: impl Fn(&str) -> String) -> Result<Data, KeyError> {
    let mut out = Data::new();
    for (key, value) in data {
        match out.entry(rename(&key)) {
            Entry::Vacant(entry) => entry.insert(value),
            Entry::Occupied(entry) => return Err(KeyError::Collision(entry.key().clone())),
        };
    }
    Ok(out)
}

fn reversed(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut rest = key;
    while let Some(at) = rest.find("_U") {
        out.push_str(&rest[..at]);
        let from = &rest[at..];
        let (replacement, length) = escaped(&from[2..]).unwrap_or(('_', 1));
        out.push(replacement);
        rest = &from[length..];
    }
    out.push_str(rest);
    out
}

/// The character of four or five hexadecimal digits and an underscore, and the length of it all with `_U`.
fn escaped(text: &str) -> Option<(char, usize)> {
    let digits = text.bytes().take(5).take_while(u8::is_ascii_hexdigit).count();
    if digits < 4 || text.as_bytes().get(digits) != Some(&b'_') {
        return None;
    }
    let code = u32::from_str_radix(&text[..digits], 16).ok()?;
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 2 + digits + 1))
}

/// Leaves out an empty key.
///
/// # Errors
/// A key is not one that a Secret may have.
pub fn validate(mut data: Data) -> Result<Data, KeyError> {
    data.remove("");
    for key in data.keys() {
        if key.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong(key.clone()));
        }
        if let Some(character) = key.chars().find(|c| !is_allowed(*c)) {
            return Err(KeyError::Character { key: key.clone(), character });
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(keys: &[&str]) -> Data {
        keys.iter().map(|key| ((*key).to_owned(), key.as_bytes().to_vec())).collect()
    }

    fn keys(data: &Data) -> Vec<&str> {
        data.keys().map(String::as_str).collect()
    }

    #[test]
    fn characters_are_converted() {
        let odd = ["a/b", "c d", "é½Ⅷ", "x.y-z_1", "😀"];
        assert_eq!(keys(&convert(None, data(&odd)).unwrap()), ["_", "a_b", "c_d", "x.y-z_1", "é½Ⅷ"]);
        let unicode = convert(Some(&ConversionStrategy::Unicode), data(&odd)).unwrap();
        assert_eq!(keys(&unicode), ["_U1f600_", "a_U002f_b", "c_U0020_d", "x.y-z_1", "é½Ⅷ"]);
        assert_eq!(unicode["a_U002f_b"], b"a/b");
        assert_eq!(reverse_unicode(unicode).unwrap(), data(&odd));
        let error = convert(None, data(&["a/b", "a_b"])).unwrap_err();
        assert_eq!(error.to_string(), "secret name collision during conversion: a_b");
        assert!(convert(Some(&ConversionStrategy::Unknown("x".into())), data(&["a"])).is_err());
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (key, expected) in [
            ("_U00_", "_U00_"),
            ("_U0040", "_U0040"),
            ("_U_U0040_", "_U@"),
            ("_U0040__U0041_", "@A"),
            ("_Ud800_", "\u{fffd}"),
            ("_U123456_", "_U123456_"),
            ("__U004E_", "_N"),
            ("_Ué", "_Ué"),
        ] {
            assert_eq!(reversed(key), expected, "{key}");
        }
        assert!(reverse_unicode(data(&["_U0041_", "A"])).is_err());
    }

    #[test]
    fn keys_that_no_secret_may_have_are_refused() {
        assert_eq!(keys(&validate(data(&["", "a", "B.c-d_e", "é"])).unwrap()), ["B.c-d_e", "a", "é"]);
        let error = validate(data(&["a/b"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "key has invalid character /, only alphanumeric, '-', '.' and '_' are allowed: a/b"
        );
        assert!(validate(data(&[&"a".repeat(253)])).is_ok());
        let error = validate(data(&[&"é".repeat(127)])).unwrap_err();
        assert!(error.to_string().starts_with("key has length 254 but max is 253: (following is truncated): é"));
    }

    proptest! {
        #[test]
        fn conversion_gives_valid_keys_and_can_be_undone(key in ".{1,20}") {
            let converted = convert(Some(&ConversionStrategy::Unicode), data(&[&key])).unwrap();
            prop_assert!(validate(converted.clone()).is_ok());
            // ESO reads back five digits at most.
            if !key.contains("_U") && key.chars().all(|c| c < '\u{100000}') {
                prop_assert_eq!(reverse_unicode(converted).unwrap(), data(&[&key]));
            }
        }
    }
}
