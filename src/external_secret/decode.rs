//! What becomes of values: how they are encoded in the store, and zero bytes in them.

use super::Data;
use crate::api::external_secrets::{DecodingStrategy, NullBytePolicy};
use crate::gocompat::base64::{self, Alphabet};

/// Why a value is not taken. It quotes nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The value is not encoded as it should be.
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    /// There is no such strategy.
    #[error("decoding strategy {0} is not supported")]
    Strategy(String),
    /// There is no such policy.
    #[error("null byte policy {0} is not supported")]
    Policy(String),
    /// The value has a zero byte, and must not have one.
    #[error("the value contains a null byte")]
    NullByte,
}

/// A value, without its encoding.
///
/// # Errors
/// The strategy is explicit, and the value is not encoded so.
pub fn value(strategy: Option<&DecodingStrategy>, value: Vec<u8>) -> Result<Vec<u8>, ValueError> {
    let explicit = |alphabet, value: &[u8]| base64::decode(alphabet, value).map_err(ValueError::Base64);
    match strategy {
        None | Some(DecodingStrategy::None) => Ok(value),
        Some(DecodingStrategy::Base64) => explicit(Alphabet::Standard, &value),
        Some(DecodingStrategy::Base64Url) => explicit(Alphabet::Url, &value),
        Some(DecodingStrategy::Auto) => Ok(base64::decode(Alphabet::Standard, &value)
            .or_else(|_| base64::decode(Alphabet::Url, &value))
            .unwrap_or(value)),
        Some(DecodingStrategy::Unknown(name)) => match name.as_str() {
            "" => Ok(value),
            name => Err(ValueError::Strategy(name.to_owned())),
        },
    }
}

/// A value that a template has made, without its encoding.
///
/// # Errors
/// See [`value`].
pub fn of_template(strategy: Option<&DecodingStrategy>, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    value(strategy, bytes).map_err(|error| error.to_string())
}

/// The name of a strategy, as it is written in manifests.
pub fn name(strategy: Option<&DecodingStrategy>) -> &str {
    match strategy {
        None | Some(DecodingStrategy::None) => "None",
        Some(DecodingStrategy::Auto) => "Auto",
        Some(DecodingStrategy::Base64) => "Base64",
        Some(DecodingStrategy::Base64Url) => "Base64URL",
        Some(DecodingStrategy::Unknown(name)) => name,
    }
}

/// All values, without their encoding.
///
/// # Errors
/// The first key whose value is not encoded so.
pub fn data(strategy: Option<&DecodingStrategy>, data: Data) -> Result<Data, (String, ValueError)> {
    data.into_iter()
        .map(|(key, bytes)| match value(strategy, bytes) {
            Ok(bytes) => Ok((key, bytes)),
            Err(error) => Err((key, error)),
        })
        .collect()
}

/// Whether a value may have the bytes that it has.
///
/// # Errors
/// It has a zero byte, and the policy is to fail.
pub fn check_null_bytes(policy: Option<&NullBytePolicy>, value: &[u8]) -> Result<(), ValueError> {
    match policy {
        None | Some(NullBytePolicy::Ignore) => Ok(()),
        Some(NullBytePolicy::Fail) if memchr::memchr(0, value).is_some() => Err(ValueError::NullByte),
        Some(NullBytePolicy::Fail) => Ok(()),
        Some(NullBytePolicy::Unknown(name)) if name.is_empty() => Ok(()),
        Some(NullBytePolicy::Unknown(name)) => Err(ValueError::Policy(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strategy_decodes_as_go_does() {
        use DecodingStrategy::{Auto, Base64, Base64Url, None as Plain};
        for (strategy, written, expected) in [
            (Plain, "aGk=", Ok("aGk=")),
            (Base64, "aGk=", Ok("hi")),
            (Base64, "aG\r\nk=\n", Ok("hi")),
            (Base64, "", Ok("")),
            (Base64, "aGk", Err(ValueError::Base64(0))),
            (Base64, "a-k=", Err(ValueError::Base64(1))),
            (Base64, "aGk=x", Err(ValueError::Base64(4))),
            (Base64Url, "PDw_Pz8-", Ok("<<???>")),
            (Base64Url, "PDw/Pz8+", Err(ValueError::Base64(3))),
            (Base64, "PDw/Pz8+", Ok("<<???>")),
            (Auto, "PDw/Pz8+", Ok("<<???>")),
            (Auto, "PDw_Pz8-", Ok("<<???>")),
            (Auto, "no base64", Ok("no base64")),
            (DecodingStrategy::Unknown("rot13".into()), "x", Err(ValueError::Strategy("rot13".into()))),
            (DecodingStrategy::Unknown(String::new()), "x", Ok("x")),
        ] {
            let decoded = value(Some(&strategy), written.into());
            assert_eq!(decoded, expected.map(|text| text.as_bytes().to_vec()), "{strategy:?} {written}");
        }
        assert_eq!(value(None, b"aGk=".to_vec()), Ok(b"aGk=".to_vec()));
    }

    #[test]
    fn the_key_of_a_bad_value_is_told() {
        let entries = Data::from([("a".to_owned(), b"aGk=".to_vec()), ("b".to_owned(), b"!".to_vec())]);
        let error = data(Some(&DecodingStrategy::Base64), entries).unwrap_err();
        assert_eq!(error, ("b".to_owned(), ValueError::Base64(0)));
    }

    #[test]
    fn a_zero_byte_is_refused_where_it_must_not_be() {
        assert_eq!(check_null_bytes(None, b"a\0"), Ok(()));
        assert_eq!(check_null_bytes(Some(&NullBytePolicy::Ignore), b"a\0"), Ok(()));
        assert_eq!(check_null_bytes(Some(&NullBytePolicy::Fail), b"a"), Ok(()));
        assert_eq!(check_null_bytes(Some(&NullBytePolicy::Fail), b"a\0"), Err(ValueError::NullByte));
        let unknown = NullBytePolicy::Unknown("x".into());
        assert_eq!(check_null_bytes(Some(&unknown), b"a"), Err(ValueError::Policy("x".into())));
    }
}
