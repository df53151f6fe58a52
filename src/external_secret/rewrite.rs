//! What becomes of the keys, and the values, of one entry of `dataFrom`.

use super::Data;
use super::merge::{self, MergeError};
use crate::api::external_secrets::rewrite::{Rewrite, RewriteRegexp};
use crate::gocompat::regexp::{Groups, Pattern, PatternError};
use crate::gocompat::sprig;
use crate::gocompat::template::{CallError, Context};

/// Operations of one entry.
const MAX_OPERATIONS: usize = 64;

/// Makes a key with a template: of its text, and the key. The error is without the key.
pub type Transform<'a> = dyn FnMut(&mut Context, &str, &str) -> Result<String, String> + 'a;

/// Why keys are not rewritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// There are too many operations.
    #[error("more than {MAX_OPERATIONS} rewrite operations")]
    TooMany,
    /// An operation fails.
    #[error("failed rewrite operation[{index}]: {cause}")]
    Operation {
        /// Which one.
        index: usize,
        /// Why.
        cause: OperationError,
    },
}

/// Why an operation fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// The regular expression is not RE2.
    #[error("regexp failed with failed to compile: error parsing regexp: {0}")]
    Pattern(String),
    /// The limits of the object are reached.
    #[error("regexp failed: {0}")]
    Limit(String),
    /// The template does not make a key.
    #[error("transform failed with failed to transform key: {0}")]
    Template(String),
    /// The values cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

impl From<CallError> for OperationError {
    fn from(error: CallError) -> Self {
        Self::Limit(error.shown().to_owned())
    }
}

/// Applies the operations, one after the other. Of keys that become equal the last in the alphabet counts.
///
/// # Errors
/// The first operation that fails.
pub fn apply(
    context: &mut Context,
    transform: &mut Transform<'_>,
    operations: &[Rewrite],
    mut data: Data,
) -> Result<Data, RewriteError> {
    if operations.len() > MAX_OPERATIONS {
        return Err(RewriteError::TooMany);
    }
    for (index, operation) in operations.iter().enumerate() {
        data = one(context, transform, operation, data).map_err(|cause| RewriteError::Operation { index, cause })?;
    }
    Ok(data)
}

fn one(
    context: &mut Context,
    transform: &mut Transform<'_>,
    operation: &Rewrite,
    data: Data,
) -> Result<Data, OperationError> {
    if let Some(operation) = &operation.merge {
        Ok(merge::apply(operation, data)?)
    } else if let Some(operation) = &operation.regexp {
        let renamed = regexp(context, operation, data);
        // What the operation has reserved is free again.
        context.end_call();
        renamed
    } else if let Some(operation) = &operation.transform {
        data.into_iter()
            .map(|(key, value)| Ok((transform(context, &operation.template, &key)?, value)))
            .collect::<Result<_, String>>()
            .map_err(OperationError::Template)
    } else {
        Ok(data)
    }
}

fn regexp(context: &mut Context, operation: &RewriteRegexp, data: Data) -> Result<Data, OperationError> {
    let groups = if operation.target.contains('$') { Groups::Wanted } else { Groups::Ignored };
    let pattern = Pattern::compile(context, operation.source.as_bytes(), groups).map_err(|error| match error {
        PatternError::Syntax(cause) => OperationError::Pattern(cause),
        PatternError::Limit(error) => error.into(),
    })?;
    data.into_iter()
        .map(|(key, value)| {
            let renamed = sprig::replaced(context, &pattern, key.as_bytes(), operation.target.as_bytes())?;
            // The groups of a text that is UTF-8 are UTF-8.
            Ok((String::from_utf8_lossy(&renamed).into_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::external_secrets::rewrite::{RewriteMerge, RewriteTransform};
    use crate::gocompat::template::{Environment, Limits};

    fn data(entries: &[(&str, &str)]) -> Data {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn regexp(source: &str, target: &str) -> Rewrite {
        let regexp = RewriteRegexp { source: source.to_owned(), target: target.to_owned() };
        Rewrite { regexp: Some(regexp), ..Rewrite::default() }
    }

    fn rewritten(operations: &[Rewrite], keys: &[&str]) -> Result<Vec<String>, String> {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let entries: Vec<_> = keys.iter().map(|key| (*key, *key)).collect();
        let mut transform = |_: &mut Context, template: &str, key: &str| match template {
            "fail" => Err("no template".to_owned()),
            template => Ok(format!("{template}{key}")),
        };
        apply(&mut context, &mut transform, operations, data(&entries))
            .map(|data| data.into_keys().collect())
            .map_err(|error| error.to_string())
    }

    /// Recorded from Go 1.26.
    #[test]
    fn regular_expressions_are_those_of_go() {
        for (source, target, key, expected) in [
            ("foo/(.*)", "$1", "foo/bar/baz", "bar/baz"),
            ("(.*)", "my_$1", "db", "my_db"),
            ("(?P<a>[a-z]+)-(?P<b>[a-z]+)", "${b}_$a", "x-y", "y_x"),
            ("a", "$1x", "banana", "bnn"),
            ("a", "${1}x", "banana", "bxnxnx"),
            ("a", "$$", "banana", "b$n$n$"),
            (r"\d+", "N", "a1b٣", "aNb٣"),
            (r"\Qa.b\E", "-", "a.b axb", "- axb"),
            ("x*", "-", "abc", "-a-b-c-"),
        ] {
            assert_eq!(rewritten(&[regexp(source, target)], &[key]).unwrap(), [expected], "{source} {target}");
        }
    }

    #[test]
    fn operations_follow_each_other() {
        let transform =
            Rewrite { transform: Some(RewriteTransform { template: "p_".to_owned() }), ..Rewrite::default() };
        assert_eq!(rewritten(&[regexp("^a/", ""), transform], &["a/x", "b/y"]).unwrap(), ["p_b/y", "p_x"]);
        assert_eq!(rewritten(&[Rewrite::default()], &["a"]).unwrap(), ["a"]);
        assert_eq!(rewritten(&[regexp(".*/", "")], &["a/x", "b/x"]).unwrap(), ["x"], "the last one counts");
    }

    #[test]
    fn what_fails_is_named() {
        let error = rewritten(&[regexp("a", "b"), regexp("(", "b")], &["a"]).unwrap_err();
        assert_eq!(
            error,
            "failed rewrite operation[1]: regexp failed with failed to compile: error parsing regexp: missing closing ): `(`"
        );
        let transform =
            Rewrite { transform: Some(RewriteTransform { template: "fail".to_owned() }), ..Rewrite::default() };
        let error = rewritten(&[transform], &["a"]).unwrap_err();
        assert_eq!(error, "failed rewrite operation[0]: transform failed with failed to transform key: no template");
        let merge = Rewrite { merge: Some(RewriteMerge::default()), ..Rewrite::default() };
        let error = rewritten(&[merge], &["a"]).unwrap_err();
        assert_eq!(error, "failed rewrite operation[0]: merge failed: the value of key \"a\" is not JSON");
    }

    #[test]
    fn hostile_operations_end() {
        let keys: Vec<String> = (0..2000).map(|i| "a".repeat(1000) + &i.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert!(rewritten(&[regexp("(a|a|b)*(a{1,500}){1,2}c", "$1")], &keys).is_err());
        assert!(rewritten(&vec![Rewrite::default(); 65], &["a"]).is_err());
        // Twenty times as long each time.
        let growing = vec![regexp("a", &"a".repeat(20)); 10];
        assert!(rewritten(&growing, &["a"]).is_err());
    }
}
