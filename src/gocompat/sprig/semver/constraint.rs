//! The constraints of `semverCompare`: `>=1.2 <2 || ~3.1`, `1.2 - 1.9`, `^0.3`, `1.x`.

use std::sync::LazyLock;

use regex::Regex;

use super::{Version, compare_pre};
use crate::gocompat::template::CallError;

/// A version in a constraint. The class holds a `|`, as the class of the library does.
macro_rules! version {
    () => {
        r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?"
    };
}
macro_rules! operator {
    () => {
        r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^"
    };
}
macro_rules! space {
    () => {
        r"[\t\n\f\r ]"
    };
}

struct Patterns {
    one: Regex,
    range: Regex,
    find: Regex,
    valid: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let compile = |pattern: &str| Regex::new(pattern).ok();
    Some(Patterns {
        one: compile(concat!("^", space!(), "*(", operator!(), ")", space!(), "*(", version!(), ")", space!(), "*$"))?,
        range: compile(concat!(
            space!(),
            "*(",
            version!(),
            ")",
            space!(),
            "+-",
            space!(),
            "+(",
            version!(),
            ")",
            space!(),
            "*"
        ))?,
        find: compile(concat!("(", operator!(), ")", space!(), "*(", version!(), ")"))?,
        valid: compile(concat!(
            "^(",
            space!(),
            "*(",
            operator!(),
            ")",
            space!(),
            "*(",
            version!(),
            ")",
            space!(),
            "*)((?:",
            space!(),
            "+|,",
            space!(),
            "*)(",
            operator!(),
            ")",
            space!(),
            "*(",
            version!(),
            ")",
            space!(),
            "*)*$"
        ))?,
    })
});

/// Any of several lists of constraints that must all hold.
pub(super) struct Constraints(Vec<Vec<Constraint>>);

struct Constraint {
    operator: String,
    version: Version,
    dirty: bool,
    minor_dirty: bool,
    patch_dirty: bool,
}

fn improper(text: &str) -> CallError {
    CallError::secret(format!("improper constraint: {text}"), "improper constraint")
}

impl Constraints {
    pub(super) fn parse(text: &str) -> Result<Constraints, CallError> {
        let patterns = PATTERNS.as_ref().ok_or_else(|| improper(text))?;
        let mut rewritten = text.to_owned();
        for range in patterns.range.captures_iter(text) {
            let part = |i: usize| range.get(i).map_or("", |found| found.as_str());
            rewritten = rewritten.replacen(part(0), &format!(">= {}, <= {} ", part(1), part(11)), 1);
        }
        let mut any = Vec::new();
        for part in rewritten.split("||") {
            if !patterns.valid.is_match(part) {
                return Err(improper(part));
            }
            let found: Vec<&str> = patterns.find.find_iter(part).map(|found| found.as_str()).collect();
            let found = if found.is_empty() { vec![part] } else { found };
            any.push(found.into_iter().map(|one| Constraint::parse(&patterns.one, one)).collect::<Result<_, _>>()?);
        }
        Ok(Constraints(any))
    }

    pub(super) fn check(&self, version: &Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|constraint| constraint.check(version)))
    }
}

impl Constraint {
    fn parse(pattern: &Regex, text: &str) -> Result<Constraint, CallError> {
        let found = pattern.captures(text).ok_or_else(|| improper(text))?;
        let part = |i: usize| found.get(i).map_or("", |found| found.as_str());
        let open = |part: &str| matches!(part.strip_prefix('.').unwrap_or(part), "" | "x" | "*" | "X");
        let (major, minor, patch, pre) = (part(3), part(4), part(5), part(6));
        let (mut dirty, mut minor_dirty, mut patch_dirty) = (true, false, false);
        let version = if open(major) {
            format!("0.0.0{pre}")
        } else if open(minor) {
            minor_dirty = true;
            format!("{major}.0.0{pre}")
        } else if open(patch) {
            patch_dirty = true;
            format!("{major}{minor}.0{pre}")
        } else {
            dirty = false;
            part(2).to_owned()
        };
        let version = Version::parse(&version).map_err(|_| CallError::new("constraint Parser Error"))?;
        Ok(Constraint { operator: part(1).to_owned(), version, dirty, minor_dirty, patch_dirty })
    }

    fn check(&self, v: &Version) -> bool {
        let c = &self.version;
        // A constraint that names no pre-release wants none.
        let unwanted_pre = !v.pre.is_empty() && c.pre.is_empty();
        if unwanted_pre && (self.operator != "!=" || self.dirty) {
            return false;
        }
        match self.operator.as_str() {
            "!=" => self.differs(v),
            ">" => self.greater(v),
            "<" => v.compare(c).is_lt(),
            ">=" | "=>" => v.compare(c).is_ge(),
            "<=" | "=<" if self.dirty => {
                v.major < c.major || v.major == c.major && (v.minor <= c.minor || self.minor_dirty)
            }
            "<=" | "=<" => v.compare(c).is_le(),
            "~" | "~>" => self.tilde(v),
            "^" => self.caret(v),
            _ if self.dirty => self.tilde(v),
            _ => v.compare(c).is_eq(),
        }
    }

    fn differs(&self, v: &Version) -> bool {
        let c = &self.version;
        if !self.dirty {
            return v.compare(c).is_ne();
        }
        if c.major != v.major || c.minor != v.minor && !self.minor_dirty {
            return true;
        }
        if self.minor_dirty {
            return false;
        }
        if c.patch != v.patch && !self.patch_dirty {
            return true;
        }
        if self.patch_dirty {
            return (!v.pre.is_empty() || !c.pre.is_empty()) && compare_pre(&v.pre, &c.pre).is_ne();
        }
        v.compare(c).is_ne()
    }

    fn greater(&self, v: &Version) -> bool {
        let c = &self.version;
        if !self.dirty || v.major == c.major && !self.minor_dirty && !self.patch_dirty {
            return v.compare(c).is_gt();
        }
        // 11.1.0 is not greater than "11".
        v.major > c.major || v.major == c.major && !self.minor_dirty && v.minor > c.minor
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c).is_lt() {
            return false;
        }
        if (c.major, c.minor, c.patch) == (0, 0, 0) && !self.minor_dirty && !self.patch_dirty {
            return true;
        }
        v.major == c.major && (v.minor == c.minor || self.minor_dirty)
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c).is_lt() {
            return false;
        }
        if c.major > 0 || self.minor_dirty || v.major > 0 {
            return v.major == c.major;
        }
        if c.minor > 0 || self.patch_dirty || v.minor > 0 {
            return v.minor == c.minor;
        }
        c.patch == v.patch
    }
}
