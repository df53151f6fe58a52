//! Several JSON objects become one.

use std::collections::BTreeMap;

use super::Data;
use super::document::Json;
use super::value::{self, ExtractError};
use crate::api::external_secrets::rewrite::{ConflictPolicy, MergeStrategy, PriorityPolicy, RewriteMerge};
use crate::gocompat::json::{Style, write_styled};

/// Why values are not merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A value is not a JSON object.
    #[error("merge failed: the value of key {key:?} {}", not_an_object(.cause))]
    Value {
        /// The key of the value.
        key: String,
        /// What the value is.
        cause: ExtractError,
    },
    /// A key of `priority` is not there.
    #[error("merge failed with key {0:?} not found in input map")]
    Priority(String),
    /// Two objects have members of one name.
    #[error("merge failed with conflicts: {}", .0.join(", "))]
    Conflicts(Vec<String>),
    /// There is no key for the result.
    #[error("merge failed with missing 'into' field")]
    NoInto,
    /// There is no such policy or strategy.
    #[error("merge failed: {0} is not supported")]
    Unsupported(String),
}

fn not_an_object(cause: &ExtractError) -> &'static str {
    match cause {
        ExtractError::Json(super::document::JsonError::Syntax) => "is not JSON",
        ExtractError::Json(super::document::JsonError::Depth) => "is nested too deeply",
        ExtractError::NotAnObject => "is not a JSON object",
    }
}

/// Merges all values: first those of other keys in the order of the alphabet, then those of `priority`. Later ones win.
///
/// # Errors
/// See [`MergeError`].
pub fn apply(operation: &RewriteMerge, mut data: Data) -> Result<Data, MergeError> {
    let ignore_missing = match &operation.priority_policy {
        None | Some(PriorityPolicy::Strict) => false,
        Some(PriorityPolicy::IgnoreNotFound) => true,
        Some(PriorityPolicy::Unknown(name)) => return Err(MergeError::Unsupported(name.clone())),
    };
    let ignore_conflicts = match &operation.conflict_policy {
        None | Some(ConflictPolicy::Error) => false,
        Some(ConflictPolicy::Ignore) => true,
        Some(ConflictPolicy::Unknown(name)) => return Err(MergeError::Unsupported(name.clone())),
    };
    let keys = data.keys().filter(|key| !operation.priority.contains(key)).chain(&operation.priority);
    let mut members: BTreeMap<String, Json<'_>> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for key in keys {
        let Some(bytes) = data.get(key) else {
            if ignore_missing {
                continue;
            }
            return Err(MergeError::Priority(key.clone()));
        };
        let object = Json::parse(bytes).map_err(ExtractError::from).and_then(value::members);
        let object = object.map_err(|cause| MergeError::Value { key: key.clone(), cause })?;
        for (name, value) in object {
            if members.insert(name.clone(), value).is_some() {
                conflicts.push(name);
            }
        }
    }
    if !conflicts.is_empty() && !ignore_conflicts {
        return Err(MergeError::Conflicts(conflicts));
    }
    match &operation.strategy {
        None | Some(MergeStrategy::Extract) => {
            Ok(members.into_iter().map(|(name, value)| (name, value::of_json(value))).collect())
        }
        Some(MergeStrategy::Json) => {
            let into = operation.into.clone().ok_or(MergeError::NoInto)?;
            let merged = object(&members).into_bytes();
            data.insert(into, merged);
            Ok(data)
        }
        Some(MergeStrategy::Unknown(name)) => Err(MergeError::Unsupported(name.clone())),
    }
}

/// The object with these members, without the escapes of HTML.
fn object(members: &BTreeMap<String, Json<'_>>) -> String {
    let mut out = String::from("{");
    for (i, (name, member)) in members.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_styled(&mut out, name, Style::Raw);
        out.push(':');
        value::write(&mut out, *member, Style::Raw);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(entries: &[(&str, &str)]) -> Data {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn merge(operation: RewriteMerge, entries: &[(&str, &str)]) -> Result<Data, String> {
        apply(&operation, data(entries)).map_err(|error| error.to_string())
    }

    const TWO: &[(&str, &str)] = &[("a", r#"{"x":"<1>","n":1.50}"#), ("b", r#"{"x":2,"y":{"z":"&"}}"#)];

    fn ignoring(priority: &[&str]) -> RewriteMerge {
        RewriteMerge {
            priority: priority.iter().map(|key| (*key).to_owned()).collect(),
            conflict_policy: Some(ConflictPolicy::Ignore),
            ..RewriteMerge::default()
        }
    }

    #[test]
    fn later_members_win() {
        let merged = merge(ignoring(&[]), TWO).unwrap();
        assert_eq!(merged, data(&[("n", "1.5"), ("x", "2"), ("y", r#"{"z":"\u0026"}"#)]));
        let merged = merge(ignoring(&["b", "a"]), TWO).unwrap();
        assert_eq!(merged["x"], b"<1>");
    }

    #[test]
    fn json_goes_into_a_key_beside_the_others() {
        let operation =
            RewriteMerge { strategy: Some(MergeStrategy::Json), into: Some("all".to_owned()), ..ignoring(&[]) };
        let merged = merge(operation.clone(), TWO).unwrap();
        assert_eq!(merged.keys().collect::<Vec<_>>(), ["a", "all", "b"]);
        assert_eq!(merged["all"], br#"{"n":1.5,"x":2,"y":{"z":"&"}}"#);
        let error = merge(RewriteMerge { into: None, ..operation }, TWO).unwrap_err();
        assert_eq!(error, "merge failed with missing 'into' field");
    }

    #[test]
    fn what_cannot_be_merged_is_named() {
        assert_eq!(merge(RewriteMerge::default(), TWO).unwrap_err(), "merge failed with conflicts: x");
        let strict = merge(ignoring(&["c"]), TWO).unwrap_err();
        assert_eq!(strict, "merge failed with key \"c\" not found in input map");
        let lenient = RewriteMerge { priority_policy: Some(PriorityPolicy::IgnoreNotFound), ..ignoring(&["c", "a"]) };
        assert_eq!(merge(lenient, TWO).unwrap()["x"], b"<1>");
        let error = merge(RewriteMerge::default(), &[("a", "[1]")]).unwrap_err();
        assert_eq!(error, "merge failed: the value of key \"a\" is not a JSON object");
        assert!(merge(RewriteMerge::default(), &[("a", "hunter2")]).is_err_and(|error| !error.contains("hunter2")));
        assert!(merge(RewriteMerge::default(), &[("a", "null")]).unwrap().is_empty());
        let unknown = RewriteMerge { strategy: Some(MergeStrategy::Unknown("x".into())), ..RewriteMerge::default() };
        assert_eq!(merge(unknown, &[]).unwrap_err(), "merge failed: x is not supported");
    }

    #[test]
    fn a_key_that_is_named_twice_conflicts_with_itself() {
        let operation = RewriteMerge { priority: vec!["a".into(), "a".into()], ..RewriteMerge::default() };
        assert_eq!(merge(operation, &TWO[..1]).unwrap_err(), "merge failed with conflicts: n, x");
    }
}
