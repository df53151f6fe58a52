//! Digests and names that ESO writes, so that what it has written is known again.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha3::{Digest, Sha3_224};

use super::Data;

/// Annotation of a Secret with the digest of its data.
pub const ANNOTATION_DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";

/// Before the name of the ExternalSecret in that of its field manager.
const FIELD_MANAGER_PREFIX: &str = "externalsecrets.external-secrets.io/";
/// Longest name of a field manager that is not shortened.
const MAX_FIELD_MANAGER_BYTES: usize = 63;

/// SHA3-224 of a value as Go's `%+v` prints it.
#[derive(Default)]
struct Printed(Sha3_224);

impl Printed {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.update(text);
        self
    }

    /// `[1 2 3]`
    fn bytes(&mut self, bytes: &[u8]) {
        let mut text = String::with_capacity(4 * bytes.len().min(1024));
        self.text("[");
        for (i, chunk) in bytes.chunks(1024).enumerate() {
            text.clear();
            for (k, byte) in chunk.iter().enumerate() {
                if i + k > 0 {
                    text.push(' ');
                }
                for (power, least) in [(100, 100), (10, 10), (1, 0)] {
                    if *byte >= least {
                        text.push(char::from(b'0' + byte / power % 10));
                    }
                }
            }
            self.text(&text);
        }
        self.text("]");
    }

    /// `map[a:x b:y]`
    fn map<V>(&mut self, map: &BTreeMap<String, V>, mut value: impl FnMut(&mut Self, &V)) {
        self.text("map[");
        for (i, (key, entry)) in map.iter().enumerate() {
            if i > 0 {
                self.text(" ");
            }
            self.text(key).text(":");
            value(self, entry);
        }
        self.text("]");
    }

    fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// The annotation of a Secret with this data.
pub fn of_data(data: &Data) -> String {
    let mut printed = Printed::default();
    printed.map(data, |printed, bytes| printed.bytes(bytes));
    printed.finish()
}

/// The label of what the ExternalSecret owns.
pub fn of_owner(namespace: &str, name: &str) -> String {
    let mut printed = Printed::default();
    printed.text(namespace).text("/").text(name);
    printed.finish()
}

/// Labels and annotations of an ExternalSecret.
pub fn of_metadata(metadata: &ObjectMeta) -> String {
    let none = BTreeMap::new();
    let mut printed = Printed::default();
    let value = |printed: &mut Printed, text: &String| {
        printed.text(text);
    };
    printed.text("{annotations:").map(metadata.annotations.as_ref().unwrap_or(&none), value);
    printed.text(" labels:").map(metadata.labels.as_ref().unwrap_or(&none), value);
    printed.text("}");
    printed.finish()
}

/// `status.syncedResourceVersion` of an ExternalSecret that is synced as it is.
pub fn synced_resource_version(metadata: &ObjectMeta) -> String {
    format!("{}-{}", metadata.generation.unwrap_or(0), of_metadata(metadata))
}

/// The field manager that writes the Secret of an ExternalSecret.
pub fn field_manager(name: &str) -> String {
    let whole = format!("{FIELD_MANAGER_PREFIX}{name}");
    if whole.len() <= MAX_FIELD_MANAGER_BYTES {
        whole
    } else {
        format!("{FIELD_MANAGER_PREFIX}sha3/{}", hex::encode(Sha3_224::digest(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(entries: &[(&str, &[u8])]) -> Data {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect()
    }

    /// Recorded from ESO.
    #[test]
    fn digests_are_those_of_eso() {
        for (data, digest) in [
            (
                data(&[("foo", b"value1"), ("bar", b"value2")]),
                "1bed8bcbcb4547ffe19a19cd47d9078e84aa6598266d86b99f992d64",
            ),
            (data(&[("ma-cle-secrete", b"abc")]), "33afa1a67d64f3013a7650cf6bb664a5c7c697cc61f84a74c485aefb"),
            (data(&[]), "74a974446e359fb3e6baff9bd0058950e6edd0f040888d9989b0a11b"),
        ] {
            assert_eq!(of_data(&data), digest);
        }
        assert_eq!(of_owner("bar", "pull-my-secret"), "7f9dfab9173403a4c6d018c26445070f70a02476a901faa21d60eea8");
        let metadata = ObjectMeta { generation: Some(3), ..ObjectMeta::default() };
        assert_eq!(of_metadata(&metadata), "f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2");
        assert_eq!(synced_resource_version(&metadata), "3-f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2");
        let digest = |text: &str| {
            let mut printed = Printed::default();
            printed.text(text);
            printed.finish()
        };
        assert_eq!(digest("<nil>"), "c461202a18e99215f121936fb2452e03843828e448a00a53f285a6fc");
        assert_eq!(digest("hello there"), "f78681ec611ebaeea0689bff6c7812a83ff98a7faba986d9af76c999");
    }

    #[test]
    fn values_are_printed_as_go_prints_them() {
        let digest = |text: &str| hex::encode(Sha3_224::digest(text));
        assert_eq!(of_data(&data(&[("a", b""), ("b", b"\x00\xff\x0a")])), digest("map[a:[] b:[0 255 10]]"));
        let long = vec![7_u8; 3000];
        let printed = ["7"; 3000].join(" ");
        assert_eq!(of_data(&data(&[("k", &long)])), digest(&format!("map[k:[{printed}]]")));
        let metadata = ObjectMeta {
            labels: Some([("b".to_owned(), "y".to_owned()), ("a".to_owned(), "x".to_owned())].into()),
            annotations: Some([("n".to_owned(), "1 2".to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(of_metadata(&metadata), digest("{annotations:map[n:1 2] labels:map[a:x b:y]}"));
    }

    #[test]
    fn a_long_name_of_a_field_manager_is_a_digest() {
        let name = "a".repeat(27);
        assert_eq!(field_manager(&name), format!("externalsecrets.external-secrets.io/{name}"));
        assert_eq!(
            field_manager("hello there, this is 28 long"),
            format!(
                "externalsecrets.external-secrets.io/sha3/{}",
                hex::encode(Sha3_224::digest("hello there, this is 28 long"))
            )
        );
        assert!(field_manager(&"a".repeat(253)).len() <= 128, "the API server's limit");
    }
}
