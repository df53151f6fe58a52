//! The data of a Secret, and how it is made of what Vault answered.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{CompiledTransformation, Input};
use crate::gocompat::json;
use crate::gocompat::template::{Context, Environment, Limits};

/// The key that holds the whole answer.
const RAW_KEY: &str = "_raw";
/// Longest key that Kubernetes accepts, in bytes.
const MAX_KEY_LENGTH: usize = 253;
/// What all values of a Secret together may be long, in bytes. Kubernetes does not count the keys.
const MAX_DATA_LENGTH: usize = 1024 * 1024;

/// What a Secret holds: bytes by key. Its `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretData(BTreeMap<String, Vec<u8>>);

impl SecretData {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// Sets a key, in place of what it had.
    pub fn insert(&mut self, key: String, value: Vec<u8>) {
        self.0.insert(key, value);
    }

    /// All keys and values, sorted by key.
    pub fn as_map(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.0
    }

    /// Whether Kubernetes takes it as the data of a Secret: the rules of its own validation, asked before the write so
    /// that the error says which key.
    ///
    /// # Errors
    /// The first key that is not allowed, or too much data.
    pub fn check(&self) -> Result<(), RenderError> {
        for key in self.0.keys() {
            check_key(key)?;
        }
        let size = self.0.values().map(Vec::len).sum();
        if size > MAX_DATA_LENGTH {
            return Err(RenderError::TooLarge(size));
        }
        Ok(())
    }
}

impl FromIterator<(String, Vec<u8>)> for SecretData {
    fn from_iter<I: IntoIterator<Item = (String, Vec<u8>)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretData")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why no data could be made. Names keys and sizes, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The source, or a template, has the key `_raw`, which the operator fills. The text is that of VSO.
    #[error("key '_raw' not permitted in Secret data")]
    RawKey,
    /// Kubernetes does not allow the key.
    #[error("key {} cannot be a key of a Secret: {rule}", Shortened(.key))]
    Key {
        /// The key.
        key: String,
        /// What it breaks.
        rule: &'static str,
    },
    /// A pattern of `includes` or `excludes` is not a regular expression.
    #[error("invalid regular expression {pattern:?} in includes or excludes: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The patterns of `includes` and `excludes` need more than an object may have.
    #[error(
        "too many regular expressions in includes and excludes: {0}; use fewer, or spread the keys over several objects"
    )]
    TooManyPatterns(String),
    /// A template does not parse, or failed. The text has no value in it.
    #[error("{0}")]
    Template(String),
    /// The values are longer than Kubernetes stores.
    #[error("the values are {0} bytes long together, a Secret holds {MAX_DATA_LENGTH}")]
    TooLarge(usize),
}

/// A key in quotes, cut where it gets long: it ends up in a condition and an event.
struct Shortened<'a>(&'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?}... ({} bytes)", &self.0[..end], self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// The data of a Secret, rendered.
#[derive(Debug)]
pub struct Built {
    /// Keys and values of the Secret.
    pub data: SecretData,
    /// Keys of templates that print nothing. They hold the empty string; VSO has a nil there.
    pub nil: Vec<String>,
}

/// Makes the data of the Secret.
///
/// The keys of the source become the keys of the Secret as far as the filter lets them: text as it is, anything else as
/// JSON. `_raw` holds the whole answer, the metadata of KV v2 included, unless `exclude_raw`. What a template prints
/// wins over a key of the source, and no filter applies to it.
///
/// # Errors
/// See [`RenderError`]; the rules of Kubernetes are checked as well.
pub fn build(input: &Input<'_>, transformation: &CompiledTransformation) -> Result<Built, RenderError> {
    let Input { source, exclude_raw, .. } = *input;
    let mut context = Context::new(&Limits::default(), &Environment::default());
    let rendered = transformation.render(&mut context, input)?;
    if rendered.contains_key(RAW_KEY) && !exclude_raw {
        return Err(RenderError::RawKey);
    }
    let mut data = SecretData::default();
    let keys: Vec<&str> = source.data().map(|(key, _)| key.as_str()).collect();
    let kept = transformation.filter().kept(&mut context, &keys)?;
    for ((key, value), _) in source.data().zip(kept).filter(|(_, kept)| *kept) {
        if key == RAW_KEY && !exclude_raw {
            return Err(RenderError::RawKey);
        }
        let text = source.text(key).map(<[u8]>::to_vec);
        data.insert(key.clone(), text.unwrap_or_else(|| bytes_of(value)));
    }
    source.added().iter().for_each(|(key, value)| data.insert(key.clone(), value.clone()));
    if !exclude_raw {
        data.insert(RAW_KEY.to_owned(), json::to_string(source.raw()).into_bytes());
    }
    let nil = rendered.iter().filter(|(_, value)| value.is_empty()).map(|(key, _)| key.clone()).collect();
    rendered.into_iter().for_each(|(key, value)| data.insert(key, value));
    data.check()?;
    Ok(Built { data, nil })
}

fn bytes_of(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        other => json::to_string(other).into_bytes(),
    }
}

fn check_key(key: &str) -> Result<(), RenderError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let rule = if key.is_empty() {
        "it is empty"
    } else if key.len() > MAX_KEY_LENGTH {
        "it is longer than 253 characters"
    } else if !key.bytes().all(allowed) {
        "only letters, digits, '-', '_' and '.' are allowed"
    } else if key == "." || key.starts_with("..") {
        "it must not be '.' nor start with '..'"
    } else {
        return Ok(());
    };
    Err(RenderError::Key { key: key.to_owned(), rule })
}

#[cfg(test)]
mod tests;
