//! What the generators Password and UUID make. Pure, but for the random numbers, which the caller brings.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use rand::{CryptoRng, RngExt as _};

use super::Data;
use crate::api::external_secrets::generator::{PasswordEncoding, PasswordSpec};
use crate::gocompat::sprig::base32_encode;

/// ESO's default.
const DEFAULT_LENGTH: usize = 24;
/// A part of the length: so many digits and so many symbols there are where nothing is said.
const PART: usize = 4;
/// ESO's default.
const SYMBOLS: &str = "~!@#$%^&*()_+`-={}|[]\\:\"<>?,./";
const DIGITS: &str = "0123456789";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// All passwords of a generator may have so many characters together.
const MAX_CHARACTERS: usize = 65_536;

/// A password that can be made.
struct Recipe<'a> {
    length: usize,
    digits: usize,
    symbols: usize,
    symbol_characters: Vec<char>,
    letters: Vec<char>,
    may_repeat: bool,
    encoding: &'a PasswordEncoding,
}

/// The passwords of a generator, by key.
///
/// # Errors
/// What of the generator cannot be done.
pub fn passwords(spec: &PasswordSpec, rng: &mut impl CryptoRng) -> Result<Data, String> {
    let default = ["password".to_owned()];
    let keys = if spec.secret_keys.is_empty() { &default[..] } else { &spec.secret_keys };
    let recipe = recipe(spec)?;
    if recipe.length.saturating_mul(keys.len()) > MAX_CHARACTERS {
        return Err(format!("the passwords have more than {MAX_CHARACTERS} characters together"));
    }
    let mut data = Data::new();
    for key in keys {
        let password = make(&recipe, rng)?;
        if key.is_empty() || data.insert(key.clone(), encode(recipe.encoding, password)).is_some() {
            return Err("spec.secretKeys must be non-empty and unique".to_owned());
        }
    }
    Ok(data)
}

/// A random UUID (version 4).
pub fn uuid(rng: &mut impl CryptoRng) -> Data {
    let mut bytes: [u8; 16] = rng.random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    Data::from([("uuid".to_owned(), text.into_bytes())])
}

fn recipe(spec: &PasswordSpec) -> Result<Recipe<'_>, String> {
    let count = |value: i64, member: &str| {
        let text = || format!("spec.{member} is {value}: it must be between 0 and {MAX_CHARACTERS}");
        usize::try_from(value).ok().filter(|count| *count <= MAX_CHARACTERS).ok_or_else(text)
    };
    let length = match count(spec.length, "length")? {
        0 => DEFAULT_LENGTH,
        length => length,
    };
    let part = |value: Option<i64>, member: &str| value.map_or(Ok(length / PART), |value| count(value, member));
    let (digits, symbols) = (part(spec.digits, "digits")?, part(spec.symbols, "symbols")?);
    if digits + symbols > length {
        return Err(format!("{digits} digits and {symbols} symbols are more than spec.length, {length}"));
    }
    let encoding = match &spec.encoding {
        None => &PasswordEncoding::Raw,
        Some(PasswordEncoding::Unknown(other)) if !other.is_empty() => {
            return Err(format!("spec.encoding {other:?} is none of raw, base64, base64url, base32 and hex"));
        }
        Some(encoding) => encoding,
    };
    let letters = LOWER.chars().chain(UPPER.chars().filter(|_| !spec.no_upper)).collect();
    let symbol_characters = spec.symbol_characters.as_deref().unwrap_or(SYMBOLS).chars().collect();
    Ok(Recipe { length, digits, symbols, symbol_characters, letters, may_repeat: spec.allow_repeat, encoding })
}

fn make(recipe: &Recipe<'_>, rng: &mut impl CryptoRng) -> Result<String, String> {
    let letters = recipe.length - recipe.digits - recipe.symbols;
    let digits: Vec<char> = DIGITS.chars().collect();
    let mut chosen = Vec::with_capacity(recipe.length);
    for (count, from, what) in [
        (recipe.symbols, &recipe.symbol_characters, "symbols"),
        (recipe.digits, &digits, "digits"),
        (letters, &recipe.letters, "letters"),
    ] {
        choose(count, from, what, recipe.may_repeat, &mut chosen, rng)?;
    }
    // Which places have the digits and symbols is random, too (Fisher and Yates).
    for last in (1..chosen.len()).rev() {
        chosen.swap(last, rng.random_range(0..=last));
    }
    Ok(chosen.into_iter().collect())
}

/// Adds so many characters to those that are chosen.
fn choose(
    count: usize,
    from: &[char],
    what: &str,
    may_repeat: bool,
    chosen: &mut Vec<char>,
    rng: &mut impl CryptoRng,
) -> Result<(), String> {
    if may_repeat {
        chosen.extend((0..count).map(|_| from[rng.random_range(0..from.len())]));
        return Ok(());
    }
    let mut left: Vec<char> = vec![];
    for character in from {
        if !left.contains(character) && !chosen.contains(character) {
            left.push(*character);
        }
    }
    if count > left.len() {
        let there = left.len();
        return Err(format!(
            "number of {what} exceeds available {what} and repeats are not allowed: {count} are asked for, and there are {there}"
        ));
    }
    for _ in 0..count {
        chosen.push(left.swap_remove(rng.random_range(0..left.len())));
    }
    Ok(())
}

fn encode(encoding: &PasswordEncoding, password: String) -> Vec<u8> {
    match encoding {
        PasswordEncoding::Base64 => STANDARD.encode(password).into_bytes(),
        PasswordEncoding::Base64Url => URL_SAFE.encode(password).into_bytes(),
        PasswordEncoding::Base32 => base32_encode(password.as_bytes()),
        PasswordEncoding::Hex => hex::encode(password).into_bytes(),
        PasswordEncoding::Raw | PasswordEncoding::Unknown(_) => password.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use serde_json::{Value, json};

    use super::*;

    fn made(spec: Value, seed: u64) -> Result<Data, String> {
        passwords(&serde_json::from_value(spec).unwrap(), &mut StdRng::seed_from_u64(seed))
    }

    fn one(spec: Value, seed: u64) -> String {
        String::from_utf8(made(spec, seed).unwrap().remove("password").unwrap()).unwrap()
    }

    /// Digits, symbols, upper case and lower case letters of a text.
    fn counts(text: &str) -> [usize; 4] {
        let count = |is_one: fn(char) -> bool| text.chars().filter(|c| is_one(*c)).count();
        [
            count(|c| c.is_ascii_digit()),
            count(|c| !c.is_ascii_alphanumeric()),
            count(|c| c.is_ascii_uppercase()),
            count(|c| c.is_ascii_lowercase()),
        ]
    }

    #[test]
    fn a_password_has_what_the_generator_says() {
        for seed in 0..50 {
            let [digits, symbols, upper, lower] = counts(&one(json!({}), seed));
            assert_eq!((digits, symbols, upper + lower), (6, 6, 12), "ESO's defaults");
            let [digits, symbols, upper, lower] = counts(&one(json!({ "length": 0 }), seed));
            assert_eq!(digits + symbols + upper + lower, 24);
            let text = one(json!({ "length": 30, "digits": 3, "symbols": 2, "symbolCharacters": "-_" }), seed);
            let [digits, symbols, upper, lower] = counts(&text);
            assert_eq!((digits, symbols, upper + lower), (3, 2, 25), "{text}");
            assert_eq!(text.chars().collect::<BTreeSet<_>>().len(), 30, "no character twice: {text}");
            let spec = json!({ "length": 200, "digits": 0, "symbols": 0, "noUpper": true, "allowRepeat": true });
            assert_eq!(counts(&one(spec, seed)), [0, 0, 0, 200]);
            assert_eq!(counts(&one(json!({ "length": 1 }), seed)).iter().sum::<usize>(), 1);
            let text = one(json!({ "length": 2, "digits": 0, "symbols": 2, "symbolCharacters": "äö" }), seed);
            assert!(text == "äö" || text == "öä", "{text}");
        }
    }

    #[test]
    fn each_one_is_another_and_each_place_may_have_each_kind() {
        let all: BTreeSet<String> = (0..1000).map(|seed| one(json!({}), seed)).collect();
        assert_eq!(all.len(), 1000);
        for place in 0..24 {
            let at = |text: &String| text.chars().nth(place).unwrap();
            let kinds: BTreeSet<usize> =
                all.iter().map(|text| counts(&at(text).to_string()).iter().position(|n| *n == 1).unwrap()).collect();
            assert_eq!(kinds.len(), 4, "place {place}");
        }
    }

    #[test]
    fn several_keys_have_a_password_each() {
        let data = made(json!({ "secretKeys": ["a", "b"] }), 1).unwrap();
        assert!(data.len() == 2 && data["a"] != data["b"] && data["a"].len() == 24);
    }

    #[test]
    fn encodings_are_those_of_go() {
        let spec = |encoding: &str| json!({ "length": 5, "digits": 0, "symbols": 5, "symbolCharacters": "?", "allowRepeat": true, "encoding": encoding });
        for (encoding, expected) in [
            ("raw", "?????"),
            ("", "?????"),
            ("base64", "Pz8/Pz8="),
            ("base64url", "Pz8_Pz8="),
            ("base32", "H47T6PZ7"),
            ("hex", "3f3f3f3f3f"),
        ] {
            assert_eq!(one(spec(encoding), 1), expected, "{encoding}");
        }
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        let letters = "number of letters exceeds available letters and repeats are not allowed: 100 are asked for, and there are 52";
        let digits =
            "number of digits exceeds available digits and repeats are not allowed: 11 are asked for, and there are 10";
        let symbols =
            "number of symbols exceeds available symbols and repeats are not allowed: 2 are asked for, and there are 1";
        for (spec, expected) in [
            (json!({ "length": 8, "digits": 5, "symbols": 4 }), "5 digits and 4 symbols are more than spec.length, 8"),
            (json!({ "length": 100, "digits": 0, "symbols": 0 }), letters),
            (json!({ "length": 20, "digits": 11, "symbols": 0 }), digits),
            (json!({ "length": 10, "digits": 0, "symbols": 2, "symbolCharacters": "!!" }), symbols),
            (json!({ "length": -1 }), "spec.length is -1: it must be between 0 and 65536"),
            (json!({ "digits": -1 }), "spec.digits is -1: it must be between 0 and 65536"),
            (
                json!({ "length": 1_000_000_000_000_u64 }),
                "spec.length is 1000000000000: it must be between 0 and 65536",
            ),
            (
                json!({ "encoding": "rot13" }),
                "spec.encoding \"rot13\" is none of raw, base64, base64url, base32 and hex",
            ),
            (json!({ "secretKeys": ["a", "a"] }), "spec.secretKeys must be non-empty and unique"),
            (json!({ "secretKeys": [""] }), "spec.secretKeys must be non-empty and unique"),
            (
                json!({ "length": 40_000, "allowRepeat": true, "secretKeys": ["a", "b"] }),
                "the passwords have more than 65536 characters together",
            ),
        ] {
            assert_eq!(made(spec.clone(), 1), Err(expected.to_owned()), "{spec}");
        }
    }

    #[test]
    fn a_uuid_is_of_version_4() {
        let text = |seed| String::from_utf8(uuid(&mut StdRng::seed_from_u64(seed)).remove("uuid").unwrap()).unwrap();
        for seed in 0..100 {
            let text = text(seed);
            let lengths: Vec<usize> = text.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{text}");
            assert!(text.as_bytes()[14] == b'4' && b"89ab".contains(&text.as_bytes()[19]), "{text}");
        }
        assert_ne!(text(1), text(2));
    }
}
