//! Which keys of the source become keys of the Secret: the regular expressions of `includes` and `excludes`.
//!
//! RE2 as Go has it, unanchored.

use std::collections::HashMap;

use regex::Regex;

use super::RenderError;
use crate::gocompat::regexp::{self, Translated};

/// Compiled patterns. Objects with equal patterns share them.
#[derive(Default)]
pub struct Patterns {
    known: HashMap<String, Regex>,
}

/// As many patterns as VSO keeps. A filter holds its own patterns, whatever is forgotten here.
const MAX_PATTERNS: usize = 250;
/// A pattern that compiles to more than this is refused: it would cost every object that much memory.
const MAX_COMPILED: usize = 1 << 20;

impl Patterns {
    /// The compiled form of a pattern.
    ///
    /// # Errors
    /// If it is not RE2; the error has the pattern and what is wrong with it.
    pub fn get(&mut self, pattern: &str) -> Result<Regex, RenderError> {
        if let Some(regex) = self.known.get(pattern) {
            return Ok(regex.clone());
        }
        let refused = |why: String| RenderError::Pattern { pattern: pattern.to_owned(), why };
        let Translated { pattern: translated, .. } = regexp::translate(pattern.as_bytes()).map_err(refused)?;
        // The translation is valid, so that it can only be too large.
        let regex = regex::RegexBuilder::new(&translated)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|_| refused("it is too large".to_owned()))?;
        if self.known.len() >= MAX_PATTERNS {
            self.known.clear();
        }
        self.known.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// The patterns of one object.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    includes: Vec<Regex>,
    excludes: Vec<Regex>,
}

impl Filter {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first that is not RE2.
    pub fn new(patterns: &mut Patterns, includes: &[String], excludes: &[String]) -> Result<Self, RenderError> {
        let mut compile = |list: &[String]| list.iter().map(|p| patterns.get(p)).collect::<Result<Vec<_>, _>>();
        Ok(Self { includes: compile(includes)?, excludes: compile(excludes)? })
    }

    /// Whether a key stays. Excludes come first; includes are only looked at if there are any.
    pub fn keeps(&self, key: &str) -> bool {
        !self.excludes.iter().any(|r| r.is_match(key))
            && (self.includes.is_empty() || self.includes.iter().any(|r| r.is_match(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<'a>(includes: &[&str], excludes: &[&str], keys: &[&'a str]) -> Vec<&'a str> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(&mut Patterns::default(), &owned(includes), &owned(excludes)).unwrap();
        keys.iter().copied().filter(|k| filter.keeps(k)).collect()
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
        let mut patterns = Patterns::default();
        for (pattern, why) in [
            ("a(b", "missing closing ): `a(b`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("\\", "trailing backslash at end of expression"),
        ] {
            let error = Filter::new(&mut patterns, &[], &[pattern.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(&format!("{pattern:?}")) && error.contains(why), "{error}");
        }
        assert!(patterns.get(&"(a{1000}){1000}".repeat(9)).is_err(), "too much");
    }

    #[test]
    fn patterns_are_kept_and_not_for_ever() {
        let mut patterns = Patterns::default();
        for i in 0..3 * MAX_PATTERNS {
            patterns.get(&format!("k{i}")).unwrap();
            assert!(patterns.known.len() <= MAX_PATTERNS);
        }
    }
}
