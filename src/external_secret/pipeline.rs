//! From what the stores hold to the data of a Secret: all entries of `dataFrom`, then all rows of `data`.

use std::fmt;

use super::rewrite::{self, Transform};
use super::{Data, decode, keys};
use crate::api::external_secrets::remote::{DataFrom, DataRow};
use crate::api::external_secrets::{
    ConversionStrategy, DecodingStrategy, DeletionPolicy, ExternalSecretSpec, NullBytePolicy,
};
use crate::gocompat::template::Context;

/// What all values may take together. A Secret holds 1 MiB; templates may choose among more.
const MAX_DATA_BYTES: usize = 4 << 20;

/// Why an entry or a row gives no data. It quotes keys, and no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// Of an entry of `dataFrom`.
    #[error("error processing spec.dataFrom[{index}].{form}, err: {cause}")]
    DataFrom {
        /// Which one.
        index: usize,
        /// Its form: `extract` or `find`.
        form: &'static str,
        /// Why.
        cause: String,
    },
    /// Of a row of `data`.
    #[error("error processing spec.data[{index}] (key: {key}), err: {cause}")]
    Row {
        /// Which one.
        index: usize,
        /// Its key in the store.
        key: String,
        /// Why.
        cause: String,
    },
}

/// An entry or a row whose secret is not in the store, where that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Of an entry of `dataFrom`.
    DataFrom(usize),
    /// Of a row of `data`.
    Row {
        /// Which one.
        index: usize,
        /// Its key in the store.
        key: String,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataFrom(index) => write!(f, "secret does not exist at provider using spec.dataFrom[{index}]"),
            Self::Row { index, key } => {
                write!(f, "secret does not exist at provider using spec.data[{index}] (key: {key})")
            }
        }
    }
}

/// What a store has answered: the data, nothing if it has no such secret, or why there is no answer.
pub type Fetched<T> = Result<Option<T>, String>;

/// What is made of the answers, one after the other.
pub struct Assembly<'s> {
    spec: &'s ExternalSecretSpec,
    data: Data,
    bytes: usize,
    missing: Vec<Missing>,
}

impl<'s> Assembly<'s> {
    /// For an ExternalSecret of which nothing is read yet.
    pub fn new(spec: &'s ExternalSecretSpec) -> Self {
        Self { spec, data: Data::new(), bytes: 0, missing: Vec::new() }
    }

    /// Adds an entry of `dataFrom`.
    ///
    /// # Errors
    /// The entry gives no data.
    pub fn add_entry(
        &mut self,
        context: &mut Context,
        transform: &mut Transform<'_>,
        index: usize,
        fetched: Fetched<Data>,
    ) -> Result<(), PipelineError> {
        let Some(entry) = self.spec.data_from.get(index) else { return Ok(()) };
        let failed = |cause| PipelineError::DataFrom { index, form: form(entry), cause };
        let Some(data) = self.present(fetched).map_err(failed)? else {
            self.missing.push(Missing::DataFrom(index));
            return Ok(());
        };
        let data = of_entry(context, transform, entry, data).map_err(failed)?;
        for (key, value) in data {
            self.insert(key, value).map_err(failed)?;
        }
        Ok(())
    }

    /// Adds a row of `data`.
    ///
    /// # Errors
    /// The row gives no value.
    pub fn add_row(&mut self, index: usize, fetched: Fetched<Vec<u8>>) -> Result<(), PipelineError> {
        let Some(row) = self.spec.data.get(index) else { return Ok(()) };
        let failed = |cause| PipelineError::Row { index, key: row.remote_ref.key.clone(), cause };
        let Some(value) = self.present(fetched).map_err(failed)? else {
            self.missing.push(Missing::Row { index, key: row.remote_ref.key.clone() });
            return Ok(());
        };
        let value = of_row(row, value).map_err(failed)?;
        self.insert(row.secret_key.clone(), value).map_err(failed)
    }

    /// The data, and which secrets are not in the store.
    pub fn finish(self) -> (Data, Vec<Missing>) {
        (self.data, self.missing)
    }

    /// The answer. That there is none is an error if the data has to be retained.
    fn present<T>(&self, fetched: Fetched<T>) -> Result<Option<T>, String> {
        match fetched? {
            Some(found) => Ok(Some(found)),
            None => match self.spec.target.deletion_policy {
                Some(DeletionPolicy::Delete | DeletionPolicy::Merge) => Ok(None),
                _ => Err("Secret does not exist".to_owned()),
            },
        }
    }

    fn insert(&mut self, key: String, value: Vec<u8>) -> Result<(), String> {
        self.bytes += value.len();
        if let Some(before) = self.data.insert(key, value) {
            self.bytes -= before.len();
        }
        if self.bytes > MAX_DATA_BYTES {
            return Err(format!("the values take more than {} MiB together", MAX_DATA_BYTES >> 20));
        }
        Ok(())
    }
}

fn form(entry: &DataFrom) -> &'static str {
    if entry.extract.is_some() {
        "extract"
    } else if entry.find.is_some() {
        "find"
    } else {
        "sourceRef.generatorRef"
    }
}

type Strategies<'e> = (Option<&'e ConversionStrategy>, Option<&'e DecodingStrategy>, Option<&'e NullBytePolicy>);

fn strategies(entry: &DataFrom) -> Strategies<'_> {
    if let Some(extract) = &entry.extract {
        (extract.conversion_strategy.as_ref(), extract.decoding_strategy.as_ref(), extract.null_byte_policy.as_ref())
    } else if let Some(find) = &entry.find {
        (find.conversion_strategy.as_ref(), find.decoding_strategy.as_ref(), find.null_byte_policy.as_ref())
    } else {
        (None, None, None)
    }
}

/// Rewrite, or else convert the keys; then look at the keys, decode, look for zero bytes.
fn of_entry(
    context: &mut Context,
    transform: &mut Transform<'_>,
    entry: &DataFrom,
    mut data: Data,
) -> Result<Data, String> {
    let (conversion, decoding, null_bytes) = strategies(entry);
    if entry.rewrite.is_empty() {
        data = keys::convert(conversion, data).map_err(|error| {
            format!("error applying conversion strategy {} to keys: {error}", keys::name(conversion))
        })?;
    } else {
        data = rewrite::apply(context, transform, &entry.rewrite, data)
            .map_err(|error| format!("error applying rewrite to keys: {error}"))?;
    }
    data = keys::validate(data).map_err(|error| {
        format!("invalid secret keys (TIP: use rewrite or conversionStrategy to change keys): {error}")
    })?;
    data = decode::data(decoding, data).map_err(|(key, error)| {
        let strategy = decode::name(decoding);
        format!("error applying decoding strategy {strategy} to data: failure decoding key {key}: {error}")
    })?;
    for (key, value) in &data {
        decode::check_null_bytes(null_bytes, value).map_err(|error| format!("key {key}: {error}"))?;
    }
    Ok(data)
}

/// Decode, look for zero bytes.
fn of_row(row: &DataRow, value: Vec<u8>) -> Result<Vec<u8>, String> {
    let decoding = row.remote_ref.decoding_strategy.as_ref();
    let value = decode::value(decoding, value)
        .map_err(|error| format!("error applying decoding strategy {} to data: {error}", decode::name(decoding)))?;
    decode::check_null_bytes(row.remote_ref.null_byte_policy.as_ref(), &value)
        .map_err(|error| format!("key {}: {error}", row.secret_key))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gocompat::template::{Environment, Limits};

    fn data(entries: &[(&str, &str)]) -> Data {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn spec(value: serde_json::Value) -> ExternalSecretSpec {
        serde_json::from_value(value).unwrap()
    }

    fn assemble(
        spec: &ExternalSecretSpec,
        entries: Vec<Fetched<Data>>,
        rows: Vec<Fetched<Vec<u8>>>,
    ) -> Result<(Data, Vec<Missing>), String> {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let mut assembly = Assembly::new(spec);
        let mut transform = |_: &mut Context, template: &str, key: &str| Ok(format!("{template}{key}"));
        for (index, entry) in entries.into_iter().enumerate() {
            assembly.add_entry(&mut context, &mut transform, index, entry).map_err(|error| error.to_string())?;
        }
        for (index, row) in rows.into_iter().enumerate() {
            assembly.add_row(index, row).map_err(|error| error.to_string())?;
        }
        Ok(assembly.finish())
    }

    fn entry(value: serde_json::Value, fetched: &[(&str, &str)]) -> Result<Data, String> {
        let spec = spec(json!({ "dataFrom": [value] }));
        assemble(&spec, vec![Ok(Some(data(fetched)))], vec![]).map(|(data, _)| data)
    }

    #[test]
    fn rows_win_over_entries_and_later_over_earlier() {
        let spec = spec(json!({
            "dataFrom": [{ "extract": { "key": "a" } }, { "extract": { "key": "b" } }],
            "data": [
                { "secretKey": "k3", "remoteRef": { "key": "c" } },
                { "secretKey": "k4", "remoteRef": { "key": "d" } },
                { "secretKey": "k4", "remoteRef": { "key": "e", "decodingStrategy": "Base64" } },
            ],
        }));
        let entries =
            vec![Ok(Some(data(&[("k1", "1"), ("k2", "1"), ("k3", "1")]))), Ok(Some(data(&[("k2", "2"), ("k3", "2")])))];
        let rows = vec![Ok(Some(b"3".to_vec())), Ok(Some(b"4".to_vec())), Ok(Some(b"NQ==".to_vec()))];
        let (assembled, missing) = assemble(&spec, entries, rows).unwrap();
        assert_eq!(assembled, data(&[("k1", "1"), ("k2", "2"), ("k3", "3"), ("k4", "5")]));
        assert!(missing.is_empty());
    }

    #[test]
    fn keys_are_converted_unless_they_are_rewritten() {
        let odd = &[("a/b", "1")];
        assert_eq!(entry(json!({ "extract": {} }), odd).unwrap(), data(&[("a_b", "1")]));
        let unicode = json!({ "find": { "conversionStrategy": "Unicode" } });
        assert_eq!(entry(unicode, odd).unwrap(), data(&[("a_U002f_b", "1")]));
        let rewrite = json!({ "extract": {}, "rewrite": [{ "regexp": { "source": "a/", "target": "" } }] });
        assert_eq!(entry(rewrite, odd).unwrap(), data(&[("b", "1")]));
        let unchanged = json!({ "extract": {}, "rewrite": [{ "transform": { "template": "x" } }] });
        assert_eq!(
            entry(unchanged, odd).unwrap_err(),
            "error processing spec.dataFrom[0].extract, err: invalid secret keys (TIP: use rewrite or conversionStrategy to \
             change keys): key has invalid character /, only alphanumeric, '-', '.' and '_' are allowed: xa/b"
        );
        let collision = entry(json!({ "find": {} }), &[("a/b", "1"), ("a_b", "2")]).unwrap_err();
        assert_eq!(
            collision,
            "error processing spec.dataFrom[0].find, err: error applying conversion strategy Default to keys: secret name \
             collision during conversion: a_b"
        );
        let pattern = json!({ "find": {}, "rewrite": [{ "regexp": { "source": "[", "target": "" } }] });
        let error = entry(pattern, odd).unwrap_err();
        assert!(error.starts_with(
            "error processing spec.dataFrom[0].find, err: error applying rewrite to keys: failed rewrite operation[0]: regexp failed"
        ));
    }

    #[test]
    fn values_are_decoded_and_looked_at() {
        let decoded =
            entry(json!({ "extract": { "decodingStrategy": "Auto" } }), &[("a", "aGk="), ("b", "-")]).unwrap();
        assert_eq!(decoded, data(&[("a", "hi"), ("b", "-")]));
        let error = entry(json!({ "extract": { "decodingStrategy": "Base64" } }), &[("a", "hunter2!")]).unwrap_err();
        assert_eq!(
            error,
            "error processing spec.dataFrom[0].extract, err: error applying decoding strategy Base64 to data: failure \
             decoding key a: illegal base64 data at input byte 7"
        );
        let zero = json!({ "extract": { "decodingStrategy": "Base64", "nullBytePolicy": "Fail" } });
        let error = entry(zero, &[("a", "AAA=")]).unwrap_err();
        assert_eq!(error, "error processing spec.dataFrom[0].extract, err: key a: the value contains a null byte");
        let rows = spec(json!({ "data": [
            { "secretKey": "s", "remoteRef": { "key": "k", "nullBytePolicy": "Fail", "decodingStrategy": "Base64URL" } },
        ] }));
        let error = |bytes: &[u8]| assemble(&rows, vec![], vec![Ok(Some(bytes.to_vec()))]).unwrap_err();
        assert_eq!(
            error(b"AA=="),
            "error processing spec.data[0] (key: k), err: key s: the value contains a null byte"
        );
        assert_eq!(
            error(b"+"),
            "error processing spec.data[0] (key: k), err: error applying decoding strategy Base64URL to data: illegal \
             base64 data at input byte 0"
        );
    }

    #[test]
    fn what_is_not_in_the_store_is_an_error_only_if_the_data_is_retained() {
        let make = |policy: &str| {
            spec(json!({
                "target": { "deletionPolicy": policy },
                "dataFrom": [{ "extract": { "key": "a" } }],
                "data": [{ "secretKey": "s", "remoteRef": { "key": "b" } }],
            }))
        };
        for policy in ["Delete", "Merge"] {
            let (assembled, missing) = assemble(&make(policy), vec![Ok(None)], vec![Ok(None)]).unwrap();
            assert!(assembled.is_empty());
            let texts: Vec<String> = missing.iter().map(ToString::to_string).collect();
            assert_eq!(
                texts,
                [
                    "secret does not exist at provider using spec.dataFrom[0]",
                    "secret does not exist at provider using spec.data[0] (key: b)"
                ]
            );
        }
        for policy in ["Retain", ""] {
            let error = assemble(&make(policy), vec![Ok(None)], vec![]).unwrap_err();
            assert_eq!(error, "error processing spec.dataFrom[0].extract, err: Secret does not exist");
            let error = assemble(&make(policy), vec![], vec![Ok(None)]).unwrap_err();
            assert_eq!(error, "error processing spec.data[0] (key: b), err: Secret does not exist");
            let error = assemble(&make(policy), vec![], vec![Err("vault is sealed".into())]).unwrap_err();
            assert_eq!(error, "error processing spec.data[0] (key: b), err: vault is sealed");
        }
    }

    #[test]
    fn values_have_a_limit_together() {
        let row = json!({ "secretKey": "same", "remoteRef": { "key": "k" } });
        let large = || Ok(Some(vec![b'x'; 3 << 20]));
        let same = spec(json!({ "data": [row, row] }));
        assert!(
            assemble(&same, vec![], vec![large(), large()]).is_ok(),
            "the later one takes the place of the earlier"
        );
        let two = spec(json!({ "data": [row, { "secretKey": "other", "remoteRef": { "key": "k" } }] }));
        let error = assemble(&two, vec![], vec![large(), large()]).unwrap_err();
        assert_eq!(error, "error processing spec.data[1] (key: k), err: the values take more than 4 MiB together");
    }
}
