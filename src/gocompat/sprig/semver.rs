//! `semver` and `semverCompare`: Masterminds/semver v3.3.0, which is laxer than the standard.

mod constraint;

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use super::args::{Answer, bytes, function, lossy};
use crate::gocompat::template::{CallError, Context, Function, Kind, Method, Object, Type, UintKind, Value};
use constraint::Constraints;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("semver", [Type::String], |ctx, a| {
        ctx.reserve(bytes(a, 0).len().saturating_mul(8))?;
        Ok(Value::Object(Arc::new(Version::parse(&lossy(bytes(a, 0)))?)))
    }),
    function!("semverCompare", [Type::String, Type::String], compare),
];

fn compare(ctx: &mut Context, args: &[Value]) -> Answer {
    let text = lossy(bytes(args, 0));
    // Ranges are rewritten one after the other, and a constraint takes much more than its text.
    ctx.step_square(text.len())?;
    ctx.reserve(text.len().saturating_mul(160).saturating_add(bytes(args, 1).len().saturating_mul(8)))?;
    let constraints = Constraints::parse(&text)?;
    let version = Version::parse(&lossy(bytes(args, 1)))?;
    Ok(constraints.check(&version).into())
}

/// A version.
#[derive(Clone, Default)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pub(super) pre: String,
    pub(super) metadata: String,
    pub(super) original: String,
}

fn invalid(text: &str) -> CallError {
    CallError::new(text)
}

/// Dot-separated identifiers from the start of the text, and the rest.
pub(super) fn identifiers(text: &str) -> Option<(&str, &str)> {
    let word = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
    let mut end = word(text);
    if end == 0 {
        return None;
    }
    while let Some(more) = text[end..].strip_prefix('.') {
        match word(more) {
            0 => break,
            length => end += 1 + length,
        }
    }
    Some(text.split_at(end))
}

impl Version {
    pub(super) fn parse(text: &str) -> Result<Version, CallError> {
        let no_version = || invalid("Invalid Semantic Version");
        let mut rest = text.strip_prefix('v').unwrap_or(text);
        let mut numbers = [None; 3];
        for (i, number) in numbers.iter_mut().enumerate() {
            let body = if i == 0 { Some(rest) } else { rest.strip_prefix('.') };
            let Some(body) = body else { break };
            match body.bytes().take_while(u8::is_ascii_digit).count() {
                0 if i == 0 => return Err(no_version()),
                0 => break,
                digits => (*number, rest) = (Some(&body[..digits]), &body[digits..]),
            }
        }
        let mut tail = |mark: char| -> Result<String, CallError> {
            let Some(body) = rest.strip_prefix(mark) else { return Ok(String::new()) };
            let (found, after) = identifiers(body).ok_or_else(no_version)?;
            rest = after;
            Ok(found.to_owned())
        };
        let pre = tail('-')?;
        let metadata = tail('+')?;
        if !rest.is_empty() {
            return Err(no_version());
        }
        let parse = |digits: Option<&str>| {
            digits.map_or(Ok(0), |digits| {
                digits.parse::<u64>().map_err(|_| {
                    let text = format!(
                        "Error parsing version segment: strconv.ParseUint: parsing \"{digits}\": value out of range"
                    );
                    CallError::secret(text, "Error parsing version segment: value out of range")
                })
            })
        };
        let (major, minor, patch) = (parse(numbers[0])?, parse(numbers[1])?, parse(numbers[2])?);
        let zero_led = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if pre.split('.').any(zero_led) {
            return Err(invalid("Version segment starts with 0"));
        }
        Ok(Version { major, minor, patch, pre, metadata, original: text.to_owned() })
    }

    fn text(&self) -> String {
        let mut out = format!("{}.{}.{}", self.major, self.minor, self.patch);
        for (mark, part) in [('-', &self.pre), ('+', &self.metadata)] {
            if !part.is_empty() {
                out.push(mark);
                out.push_str(part);
            }
        }
        out
    }

    /// By precedence: metadata does not count.
    pub(super) fn compare(&self, other: &Version) -> Ordering {
        let numbers = (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch));
        numbers.then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }

    fn next(&self, bump: fn(&mut Version)) -> Version {
        let mut next = Version { pre: String::new(), metadata: String::new(), ..self.clone() };
        bump(&mut next);
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{}", next.text());
        next
    }
}

pub(super) fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (mine, theirs) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (mine, theirs) => (mine.unwrap_or(""), theirs.unwrap_or("")),
        };
        let order = match (mine.parse::<u64>(), theirs.parse::<u64>()) {
            _ if mine == theirs => Ordering::Equal,
            _ if mine.is_empty() => Ordering::Less,
            _ if theirs.is_empty() => Ordering::Greater,
            (Err(_), Err(_)) => mine.cmp(theirs),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Ok(mine), Ok(theirs)) if mine > theirs => Ordering::Greater,
            _ => Ordering::Less,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A version as a value: a pointer, or the struct itself as the `Inc` methods give it.
struct Plain(Version);

const UINT64: UintKind = UintKind::Uint64;

fn fields(v: &Version) -> Vec<(&'static str, bool, Value)> {
    vec![
        ("major", false, Value::Uint(v.major, UINT64)),
        ("minor", false, Value::Uint(v.minor, UINT64)),
        ("patch", false, Value::Uint(v.patch, UINT64)),
        ("pre", false, Value::str(v.pre.as_str())),
        ("metadata", false, Value::str(v.metadata.as_str())),
        ("original", false, Value::str(v.original.as_str())),
    ]
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        "*semver.Version"
    }

    fn string(&self) -> Option<Vec<u8>> {
        Some(self.text().into_bytes())
    }

    fn marshal_text(&self) -> Option<Vec<u8>> {
        self.string()
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        fields(self)
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Plain {
    fn type_name(&self) -> &'static str {
        "semver.Version"
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn string(&self) -> Option<Vec<u8>> {
        self.0.string()
    }

    fn marshal_text(&self) -> Option<Vec<u8>> {
        self.0.marshal_text()
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        fields(&self.0)
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        self.0.method(name)
    }

    fn as_any(&self) -> &dyn Any {
        &self.0
    }
}

fn this(object: &dyn Object) -> Version {
    object.as_any().downcast_ref::<Version>().cloned().unwrap_or_default()
}

fn other(args: &[Value]) -> Version {
    match args.first() {
        Some(Value::Object(object)) => this(&**object),
        _ => Version::default(),
    }
}

const VERSION: Type = Type::Named("*semver.Version", Kind::Ptr);

macro_rules! method {
    ($name:literal, |$v:ident| $result:expr) => {
        Method {
            name: $name,
            params: &[],
            variadic: None,
            call: |_, object, _| {
                let $v = this(object);
                Ok($result)
            },
        }
    };
    ($name:literal, |$v:ident, $o:ident| $result:expr) => {
        Method {
            name: $name,
            params: &[VERSION],
            variadic: None,
            call: |_, object, args| {
                let ($v, $o) = (this(object), other(args));
                Ok($result)
            },
        }
    };
}

static METHODS: &[Method] = &[
    method!("Compare", |v, o| Value::int(v.compare(&o) as i64)),
    method!("Equal", |v, o| v.compare(&o).is_eq().into()),
    method!("GreaterThan", |v, o| v.compare(&o).is_gt().into()),
    method!("GreaterThanEqual", |v, o| v.compare(&o).is_ge().into()),
    method!("IncMajor", |v| plain(v.next(|n| (n.major, n.minor, n.patch) = (n.major.wrapping_add(1), 0, 0)))),
    method!("IncMinor", |v| plain(v.next(|n| (n.minor, n.patch) = (n.minor.wrapping_add(1), 0)))),
    method!("IncPatch", |v| plain(if v.pre.is_empty() {
        v.next(|n| n.patch = n.patch.wrapping_add(1))
    } else {
        v.next(|_| {})
    })),
    method!("LessThan", |v, o| v.compare(&o).is_lt().into()),
    method!("LessThanEqual", |v, o| v.compare(&o).is_le().into()),
    method!("Major", |v| Value::Uint(v.major, UINT64)),
    method!("Metadata", |v| Value::str(v.metadata)),
    method!("Minor", |v| Value::Uint(v.minor, UINT64)),
    method!("Original", |v| Value::str(v.original)),
    method!("Patch", |v| Value::Uint(v.patch, UINT64)),
    method!("Prerelease", |v| Value::str(v.pre)),
    method!("String", |v| Value::str(v.text())),
];

fn plain(version: Version) -> Value {
    Value::Object(Arc::new(Plain(version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gocompat::sprig;
    use crate::gocompat::template::{Limits, Set};

    /// As Go writes them, whether the value is a pointer or what an `Inc` method gives.
    #[test]
    fn json_has_a_version_as_text() {
        for (template, expected) in [
            (r#"{{ semver "v1.2.3-a" | toJson }}"#, r#""1.2.3-a""#),
            (r#"{{ (semver "1.2.3").IncMajor | toJson }}"#, r#""2.0.0""#),
            (r#"{{ dict "v" (semver "1.2.3").IncPatch | toJson }}"#, r#"{"v":"1.2.4"}"#),
        ] {
            let set = Set::parse(&[("t", template)], &sprig::functions()).unwrap();
            let out = set.execute("t", &Value::Nil, &Limits::default()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{template}");
        }
    }
}
