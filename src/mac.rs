//! The keyed digest of a Secret's data that `status.secretMAC` holds.
//!
//! The digest of VSO, byte for byte: HMAC-SHA256 over Go's JSON of the data, with the key that VSO made. Any other
//! digest would show a change of each object when the operator sees it for the first time, and restart its workloads.
//! Stored clients are signed with the key as well.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::gocompat::json::write_str;

/// What a Secret holds: bytes by key.
type Data = BTreeMap<String, Vec<u8>>;

/// The key: exactly 16 bytes.
#[derive(Clone)]
pub struct MacKey([u8; 16]);

/// The bytes given cannot be the key. The text is that of VSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key length {0}")]
pub struct MacKeyError(
    /// How many bytes were given.
    pub usize,
);

impl MacKey {
    /// A key from what the Secret `vso-cc-storage-hmac-key` holds.
    ///
    /// # Errors
    /// If there are not 16 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, MacKeyError> {
        bytes.try_into().map(Self).map_err(|_| MacKeyError(bytes.len()))
    }

    /// The digest of `data`, as `status.secretMAC` has it: standard base64 of 32 bytes.
    pub fn mac(&self, data: &Data) -> String {
        self.mac_of_content(data, &[], |_| true)
    }

    /// The digest of the keys of `data` that are content. `nil`: the keys of templates that print nothing, which have
    /// no value in VSO, where they have an empty value here.
    pub fn mac_of_content(&self, data: &Data, nil: &[String], is_content: impl Fn(&str) -> bool) -> String {
        let entries = data.iter().filter(|(key, _)| is_content(key));
        let entries = entries.map(|(k, v)| (k.as_str(), (!nil.contains(k)).then_some(v.as_slice())));
        STANDARD.encode(self.digest(&message(entries)).finalize().into_bytes())
    }

    /// A digest over texts. It tells none of the texts, and is the digest of no Secret.
    pub fn mac_of_texts<'a>(&self, texts: impl Iterator<Item = &'a str>) -> String {
        let mut all = String::from("texts");
        for text in texts {
            all.push('\0');
            all.push_str(&text.len().to_string());
            all.push(':');
            all.push_str(text);
        }
        STANDARD.encode(self.digest(&all).finalize().into_bytes())
    }

    /// Whether `mac`, in the form that [`MacKey::mac`] gives, is the digest of `data`. Takes equally long
    /// whichever byte differs. What is not base64 of 32 bytes is the digest of nothing.
    pub fn verify(&self, data: &Data, mac: &str) -> bool {
        let Ok(bytes) = STANDARD.decode(mac) else {
            return false;
        };
        self.digest(&message_of(data)).verify_slice(&bytes).is_ok()
    }

    /// The digest of parts, one after the other: how VSO signs a stored Vault client.
    pub fn mac_of_bytes(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.digest_of_bytes(parts).finalize().into_bytes().into()
    }

    /// Whether `mac` is the digest of these parts. Takes equally long whichever byte differs.
    pub fn verify_bytes(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.digest_of_bytes(parts).verify_slice(mac).is_ok()
    }

    fn digest(&self, message: &str) -> Hmac<Sha256> {
        self.digest_of_bytes(&[message.as_bytes()])
    }

    fn digest_of_bytes(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // HMAC fills a short key up with zeros to the hash's block; done here, nothing can fail.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut digest = Hmac::<Sha256>::new(&block.into());
        parts.iter().for_each(|part| digest.update(part));
        digest
    }
}

/// Never the key.
impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(<redacted>)")
    }
}

fn message_of(data: &Data) -> String {
    message(data.iter().map(|(key, value)| (key.as_str(), Some(value.as_slice()))))
}

/// Go's JSON of a map from key to bytes: base64, or `null` for a value that is nil. Keys have to come sorted. VSO makes
/// a nil of a template that prints nothing, and recorded digests may cover one; the operator makes none.
fn message<'a>(entries: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> String {
    let mut out = String::from("{");
    for (i, (key, value)) in entries.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_str(&mut out, key);
        out.push(':');
        match value {
            None => out.push_str("null"),
            Some(bytes) => {
                out.push('"');
                STANDARD.encode_string(bytes, &mut out);
                out.push('"');
            }
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> MacKey {
        MacKey::new(b"0123456789abcdef").unwrap()
    }

    fn data(entries: &[(&str, &[u8])]) -> Data {
        entries.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect()
    }

    /// Digests recorded from VSO's algorithm.
    #[test]
    fn digests_are_those_of_vso() {
        let full = [
            ("_raw", Some(&br#"{"a":"1"}"#[..])),
            ("a", Some(b"1")),
            ("b", Some(b"2<&>")),
            ("empty", Some(b"")),
            ("nil", None),
        ];
        let text = message(full.into_iter());
        assert_eq!(text, r#"{"_raw":"eyJhIjoiMSJ9","a":"MQ==","b":"MjwmPg==","empty":"","nil":null}"#);
        let digest = key().digest(&text).finalize().into_bytes();
        assert_eq!(STANDARD.encode(digest), "DpjX0aRxNTibsQ3UHA2/atczJWOAGdfSJr290aySwsw=");

        let data = data(&[("_raw", br#"{"foo":"bar"}"#), ("foo", b"bar")]);
        assert_eq!(message_of(&data), r#"{"_raw":"eyJmb28iOiJiYXIifQ==","foo":"YmFy"}"#);
        assert_eq!(key().mac(&data), "+oFjt0q8NcJxK03QbwBo+zfrgPvziOAO7CUomvJ/e/A=");
        let with_empty = self::data(&[("a", b"1"), ("nil", b"")]);
        let nil = key().digest(r#"{"a":"MQ==","nil":null}"#).finalize().into_bytes();
        assert_eq!(key().mac_of_content(&with_empty, &["nil".to_owned()], |_| true), STANDARD.encode(nil));
        assert_eq!(key().mac_of_content(&with_empty, &[], |key| key != "nil"), key().mac(&self::data(&[("a", b"1")])));
        assert_eq!(key().mac(&Data::new()), "+R4+nwXMLfZKwcJvitzN/9qNHkp6jFChoI7q2sbd/sU=");
    }

    #[test]
    fn verifies_only_its_own() {
        let (one, other) = (data(&[("a", b"1")]), data(&[("a", b"2")]));
        let mac = key().mac(&one);
        assert!(key().verify(&one, &mac));
        assert!(!key().verify(&other, &mac));
        assert!(!MacKey::new(&[7; 16]).unwrap().verify(&one, &mac));
        for odd in ["", "=", "AAAA", "not base64", mac.trim_end_matches('=')] {
            assert!(!key().verify(&one, odd), "{odd:?}");
        }
    }

    #[test]
    fn the_digest_of_a_stored_client_is_that_of_vso() {
        let name = "vso-cc-kubernetes-2a8108711ae49ac0faa724";
        let parts = [name.as_bytes(), &name.as_bytes()[7..], br#"{"auth":{}}"#];
        let mac = key().mac_of_bytes(&parts);
        assert_eq!(STANDARD.encode(mac), "DzAGC/j0dWUw7ZPTDxj4JU+DbuRs/mPCnmoDQhYdcrs=");
        assert!(key().verify_bytes(&parts, &mac));
        assert!(!key().verify_bytes(&parts[1..], &mac) && !key().verify_bytes(&parts, &mac[1..]));
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let of = |texts: &[&str]| key().mac_of_texts(texts.iter().copied());
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        for other in [&["ab"][..], &["a", "b", ""], &["", "a", "b"], &["a\u{0}1:b"], &[]] {
            assert_ne!(of(&["a", "b"]), of(other), "{other:?}");
        }
    }

    #[test]
    fn a_key_has_16_bytes_and_is_not_shown() {
        for n in [0, 15, 17, 32] {
            let error = MacKey::new(&vec![1; n]).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid key length {n}"));
        }
        assert_eq!(format!("{:?}", key()), "MacKey(<redacted>)");
    }

    proptest! {
        #[test]
        fn the_order_of_insertion_does_not_matter(
            entries in prop::collection::btree_map("[a-z<>&]{0,4}", prop::collection::vec(any::<u8>(), 0..9), 0..9),
        ) {
            let forwards: Data = entries.clone().into_iter().collect();
            let backwards: Data = entries.into_iter().rev().collect();
            prop_assert_eq!(key().mac(&forwards), key().mac(&backwards));
            prop_assert!(key().verify(&forwards, &key().mac(&backwards)));
        }

        #[test]
        fn any_change_changes_it(
            entries in prop::collection::btree_map("[a-c]{1,2}", prop::collection::vec(any::<u8>(), 0..3), 0..5),
            others in prop::collection::btree_map("[a-c]{1,2}", prop::collection::vec(any::<u8>(), 0..3), 0..5),
        ) {
            let (a, b): (Data, Data) = (entries.into_iter().collect(), others.into_iter().collect());
            prop_assert_eq!(a == b, key().verify(&a, &key().mac(&b)));
        }
    }
}
