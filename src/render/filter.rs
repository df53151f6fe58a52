//! Which keys of the source become keys of the Secret: the regular expressions of `includes` and `excludes`.
//!
//! RE2 as Go has it, unanchored.

use super::RenderError;
use crate::gocompat::regexp::{Groups, Pattern, PatternError};
use crate::gocompat::template::Context;

/// Patterns of an object.
const MAX_PATTERNS: usize = 256;
/// What all of them may compile to: the object keeps them.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// The patterns of one object.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    includes: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

impl Filter {
    /// Compiles the patterns, within what is left of the limits of the object.
    ///
    /// # Errors
    /// The first that is not RE2, or the limit that is reached.
    pub fn new(context: &mut Context, includes: &[String], excludes: &[String]) -> Result<Self, RenderError> {
        let count = includes.len() + excludes.len();
        if count > MAX_PATTERNS {
            return Err(RenderError::TooManyPatterns(format!("they are {count}, an object may have {MAX_PATTERNS}")));
        }
        let mut left = MAX_COMPILED_BYTES;
        let mut compile = |text: &String| {
            let refused = |why: String| RenderError::Pattern { pattern: text.clone(), why };
            let compiled = Pattern::compile(context, text.as_bytes(), Groups::Ignored);
            // What compiling took is free again.
            context.end_call();
            let pattern = compiled.map_err(|error| match error {
                PatternError::Syntax(why) => refused(why),
                PatternError::Limit(error) => refused(error.shown().to_owned()),
            })?;
            let Some(rest) = left.checked_sub(pattern.compiled_bytes()) else {
                let why = format!("compiled, they need more than {MAX_COMPILED_BYTES} bytes together");
                return Err(RenderError::TooManyPatterns(why));
            };
            left = rest;
            Ok(pattern)
        };
        let includes = includes.iter().map(&mut compile).collect::<Result<_, _>>()?;
        Ok(Self { includes, excludes: excludes.iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Which of the keys stay, in their order. Excludes come first; includes are only looked at if there are any.
    ///
    /// # Errors
    /// The limit of the object that is reached.
    pub fn kept(&self, context: &mut Context, keys: &[&str]) -> Result<Vec<bool>, RenderError> {
        let mut kept = vec![true; keys.len()];
        search(context, &self.excludes, keys, &mut kept, false)?;
        if !self.includes.is_empty() {
            let mut included: Vec<bool> = kept.iter().map(|kept| !kept).collect();
            search(context, &self.includes, keys, &mut included, true)?;
            kept.iter_mut().zip(included).for_each(|(kept, included)| *kept &= included);
        }
        Ok(kept)
    }
}

/// Gives each key that matches one of the patterns this value; those that have it are not searched.
fn search(
    context: &mut Context,
    patterns: &[Pattern],
    keys: &[&str],
    values: &mut [bool],
    found: bool,
) -> Result<(), RenderError> {
    for pattern in patterns {
        // What a search keeps goes with the copy. The patterns stay as long as the object, and have kept nothing then.
        let regex = pattern.regex().clone();
        for (key, value) in keys.iter().zip(&mut *values).filter(|(_, value)| **value != found) {
            let counted = pattern.count_search(context, key.len());
            counted.map_err(|error| RenderError::Template(error.shown().into()))?;
            if regex.is_match(key.as_bytes()) {
                *value = found;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gocompat::template::{Environment, Limits};

    fn context() -> Context {
        Context::new(&Limits::default(), &Environment::default())
    }

    fn kept<'a>(includes: &[&str], excludes: &[&str], keys: &[&'a str]) -> Vec<&'a str> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(&mut context(), &owned(includes), &owned(excludes)).unwrap();
        let kept = filter.kept(&mut context(), keys).unwrap();
        keys.iter().zip(kept).filter_map(|(key, kept)| kept.then_some(*key)).collect()
    }

    #[test]
    fn excludes_then_includes() {
        let keys = ["user", "password", "password2", "internal-id", "URL"];
        assert_eq!(kept(&[], &[], &keys), keys);
        assert_eq!(kept(&["pass"], &[], &keys), ["password", "password2"], "unanchored");
        assert_eq!(kept(&["^password$"], &[], &keys), ["password"]);
        assert_eq!(kept(&[], &["^internal-", "U"], &keys), ["user", "password", "password2"]);
        assert_eq!(kept(&["pass", "user"], &["2$"], &keys), ["user", "password"]);
        assert_eq!(kept(&["user"], &["user"], &keys), Vec::<&str>::new(), "excludes win");
        assert_eq!(kept(&["(?i)url"], &[], &keys), ["URL"]);
        assert_eq!(kept(&[], &[".*"], &keys), Vec::<&str>::new());
        assert_eq!(kept(&[""], &[], &keys), keys, "an empty pattern matches everything");
    }

    #[test]
    fn classes_are_those_of_go() {
        let keys = ["a1", "a\u{663}", "a b", "a\u{a0}b", "ä", "a.b", "axb"];
        assert_eq!(kept(&[r"\d"], &[], &keys), ["a1"]);
        assert_eq!(kept(&[r"[\d]"], &[], &keys), ["a1"]);
        assert_eq!(kept(&[r"^\w+$"], &[], &keys), ["a1", "axb"]);
        assert_eq!(kept(&[r"\s"], &[], &keys), ["a b"]);
        assert_eq!(kept(&[r"^a\D$"], &[], &keys), ["a\u{663}"]);
        assert_eq!(kept(&[r"^[^\w]"], &[], &keys), ["ä"]);
        assert_eq!(kept(&[r"\Qa.b\E$"], &[], &keys), ["a.b"]);
        assert_eq!(kept(&[r"a\.b"], &[], &keys), ["a.b"]);
        assert_eq!(kept(&[r"\\d"], &[], &["\\d", "1"]), ["\\d"]);
        assert_eq!(kept(&[r"b\b"], &[], &keys), ["a b", "a\u{a0}b", "a.b", "axb"]);
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        for (pattern, why) in [
            ("a(b", "missing closing ): `a(b`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("\\", "trailing backslash at end of expression"),
        ] {
            let error = Filter::new(&mut context(), &[], &[pattern.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(&format!("{pattern:?}")) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn patterns_are_limited_in_number_and_in_size() {
        let refused = |patterns: &[String]| Filter::new(&mut context(), patterns, &[]).unwrap_err().to_string();
        let many: Vec<String> = (0..=MAX_PATTERNS).map(|i| format!("^key-{i}$")).collect();
        assert!(Filter::new(&mut context(), &many[1..], &[]).is_ok());
        assert!(refused(&many).contains("257"), "{}", refused(&many));
        let large: Vec<String> = (0..100).map(|i| format!(r"\pL{{12}}_{i}")).collect();
        assert!(refused(&large).contains("together"), "{}", refused(&large));
        assert!(refused(&["(a{1000}){1000}".to_owned()]).contains("too large"));
    }

    #[test]
    fn keys_and_patterns_have_a_budget() {
        let filter = Filter::new(&mut context(), &["(a|b)*c".to_owned()], &[]).unwrap();
        let (mut context, key) = (context(), "a".repeat(1 << 20));
        let ended = (0..1000).any(|_| filter.kept(&mut context, &[&key]).is_err());
        assert!(ended, "1000 MiB are searched");
    }
}
