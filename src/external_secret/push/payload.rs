//! What of a Secret is pushed. Rows share the data of their Secret.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::external_secret::Data;
use crate::gocompat::json::{Style, write_styled};

/// One key of a Secret, or several.
#[derive(Clone)]
pub struct Payload {
    data: Arc<Data>,
    keys: Keys,
}

#[derive(Clone, Debug)]
enum Keys {
    One(String),
    Some(BTreeSet<String>),
    All,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?})", self.keys)
    }
}

impl Payload {
    /// The value of a key, if there is one.
    pub fn one(data: &Arc<Data>, key: &str) -> Option<Self> {
        data.contains_key(key).then(|| Self { data: data.clone(), keys: Keys::One(key.to_owned()) })
    }

    /// These keys.
    pub fn some(data: &Arc<Data>, keys: BTreeSet<String>) -> Self {
        Self { data: data.clone(), keys: Keys::Some(keys) }
    }

    /// All keys.
    pub fn all(data: &Arc<Data>) -> Self {
        Self { data: data.clone(), keys: Keys::All }
    }

    /// The value, if it is that of one key.
    pub fn value(&self) -> Option<&[u8]> {
        match &self.keys {
            Keys::One(key) => self.data.get(key).map(Vec::as_slice),
            Keys::Some(_) | Keys::All => None,
        }
    }

    /// The keys and their values.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.data.iter().filter(|(key, _)| match &self.keys {
            Keys::One(one) => one == *key,
            Keys::Some(some) => some.contains(*key),
            Keys::All => true,
        })
    }

    /// The keys and their values as members of a JSON object.
    ///
    /// # Errors
    /// The first key whose value is no text: JSON has texts only.
    pub fn members(&self) -> Result<Map<String, Value>, String> {
        let member = |(key, value): (&String, &Vec<u8>)| Ok((key.clone(), Value::String(text(key, value)?)));
        self.entries().map(member).collect()
    }

    /// What is pushed to one property: the value, or all keys as a JSON object.
    ///
    /// # Errors
    /// See [`Self::members`].
    pub fn of_property(&self) -> Result<Vec<u8>, String> {
        match self.value() {
            Some(value) => Ok(value.to_vec()),
            None => Ok(self.json()?.into_bytes()),
        }
    }

    /// The same as a text.
    ///
    /// # Errors
    /// If it is none.
    pub fn text_of_property(&self) -> Result<String, String> {
        match &self.keys {
            Keys::One(key) => text(key, self.value().unwrap_or_default()),
            Keys::Some(_) | Keys::All => self.json(),
        }
    }

    /// All keys as a JSON object, as Go writes it without the escapes of HTML.
    fn json(&self) -> Result<String, String> {
        let mut out = String::from("{");
        for (i, (key, value)) in self.entries().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_styled(&mut out, key, Style::Raw);
            out.push(':');
            write_styled(&mut out, &text(key, value)?, Style::Raw);
        }
        out.push('}');
        Ok(out)
    }

    /// Whether a text quotes any of the values, as it is or in Base64.
    pub fn is_quoted_in(&self, text: &str) -> bool {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD_NO_PAD;
        let quoted = |value: &Vec<u8>| {
            let plain = std::str::from_utf8(value).is_ok_and(|value| text.contains(value.trim()));
            // What follows the last full group depends on what follows the value.
            let encoded = STANDARD_NO_PAD.encode(&value[..value.len() - value.len() % 3]);
            plain || (!encoded.is_empty() && text.contains(&encoded))
        };
        self.entries().filter(|(_, value)| value.len() >= SHORTEST_QUOTE_BYTES).any(|(_, value)| quoted(value))
    }
}

/// A shorter value stands in many a text by chance.
const SHORTEST_QUOTE_BYTES: usize = 4;

fn text(key: &str, value: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(value).map(str::to_owned);
    text.map_err(|_| format!("the value of key {key:?} is no text (UTF-8), and this place holds texts only"))
}
