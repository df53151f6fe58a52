//! Go's dynamic values as templates see them.
//!
//! Strings are bytes: `{{ b64dec .Secrets.keystore }}` of a binary file is a common template, and Go's strings hold
//! any byte. Lists and maps are shared the way Go shares them: a copy of the [`Value`] shares the list or map, so the
//! rest of the template sees what `set` or `unset` change.
//!
//! A template can nest values as deep as it likes (`{{ $l = list $l }}` in a loop) and can put a map into itself. Code
//! that walks values recursively must stop at [`MAX_NESTING`] (see [`Value::check_nesting`]) and must charge what it
//! writes to the [`Context`](context::Context), because a list that holds itself twice over forty levels has
//! 2^40 leaves. No lock is ever held while another value is looked at: the accessors give snapshots.

mod account;
mod call_error;
pub mod collections;
mod context;
pub mod functions;
mod string;

use std::fmt;
use std::sync::Arc;

use super::types::{IntKind, Kind, Type, UintKind};
pub use call_error::CallError;
use collections::{List, Map};
pub use context::{Context, Environment, Limits};
use functions::Method;
pub use string::Str;

/// How deep lists and maps may be nested before a function that walks them gives up.
pub const MAX_NESTING: usize = 256;

/// A value of a type that has methods or fields: a struct, a pointer to one, or a named type such as `time.Time`.
pub trait Object: Send + Sync {
    /// What `%T` prints: `*semver.Version`.
    fn type_name(&self) -> &'static str;

    /// What `kindOf` prints; a pointer unless told otherwise.
    fn kind(&self) -> Kind {
        Kind::Ptr
    }

    /// What the `String` or `Error` method gives, for a type that has one: this is what gets printed then.
    fn string(&self) -> Option<Vec<u8>> {
        None
    }

    /// What the `MarshalText` method gives, for a type that has one: JSON holds this text then.
    fn marshal_text(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whether this is a nil pointer.
    fn is_nil(&self) -> bool {
        false
    }

    /// The fields in the order in which Go declares them. `true` says that a template may name the field; the others
    /// are only printed.
    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        Vec::new()
    }

    /// The method of this name.
    fn method(&self, _name: &str) -> Option<&'static Method> {
        None
    }

    /// For the functions that know the concrete type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A value.
#[derive(Clone)]
pub enum Value {
    /// nil without a type, and a nil `interface {}`.
    Nil,
    /// `bool`
    Bool(bool),
    /// A signed integer and its type.
    Int(i64, IntKind),
    /// An unsigned integer and its type.
    Uint(u64, UintKind),
    /// `float64`
    Float(f64),
    /// `complex128`, which only a constant such as `1i` can make.
    Complex(f64, f64),
    /// `string`
    Str(Str),
    /// `json.Number`: kind string, printed as written.
    JsonNumber(Str),
    /// `[]byte`
    Bytes(Str),
    /// A slice of anything else.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// `time.Duration` in nanoseconds.
    Duration(i64),
    /// Anything that has fields or methods.
    Object(Arc<dyn Object>),
}

impl Value {
    /// An `int`.
    pub fn int(value: i64) -> Value {
        Value::Int(value, IntKind::Int)
    }

    /// An `int64`, what most of sprig's arithmetic gives.
    pub fn int64(value: i64) -> Value {
        Value::Int(value, IntKind::Int64)
    }

    /// A `string`.
    pub fn str(value: impl Into<Str>) -> Value {
        Value::Str(value.into())
    }

    /// What Go's `encoding/json` with `UseNumber` makes of a document.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => Value::JsonNumber(n.to_string().into()),
            serde_json::Value::String(s) => Value::str(s.as_str()),
            serde_json::Value::Array(items) => Value::List(List::any(items.iter().map(Value::from_json).collect())),
            serde_json::Value::Object(members) => {
                let map = Map::any();
                for (name, member) in members {
                    map.insert(name.as_str(), Value::from_json(member));
                }
                Value::Map(map)
            }
        }
    }

    /// The type of the value; `None` of nil. An object has a [`Type::Named`].
    pub fn go_type(&self) -> Option<Type> {
        Some(match self {
            Value::Nil => return None,
            Value::Bool(_) => Type::Bool,
            Value::Int(_, kind) => Type::Int(*kind),
            Value::Uint(_, kind) => Type::Uint(*kind),
            Value::Float(_) => Type::Float64,
            Value::Complex(..) => Type::Complex,
            Value::Str(_) => Type::String,
            Value::JsonNumber(_) => Type::JsonNumber,
            Value::Bytes(_) => Type::BYTES,
            Value::List(list) => list.go_type(),
            Value::Map(map) => map.go_type(),
            Value::Duration(_) => Type::Duration,
            Value::Object(object) => Type::Named(object.type_name(), object.kind()),
        })
    }

    /// What `%T` prints: `map[string]interface {}`, and `<nil>` of nil.
    pub fn type_name(&self) -> String {
        self.go_type().map_or_else(|| "<nil>".to_owned(), |t| t.to_string())
    }

    /// What `reflect.ValueOf(v).Kind()` says.
    pub fn kind(&self) -> Kind {
        self.go_type().map_or(Kind::Invalid, Type::kind)
    }

    /// Whether `if` takes the value for true (text/template `IsTrue`): not the zero of its type, and not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(i, _) | Value::Duration(i) => *i != 0,
            Value::Uint(u, _) => *u != 0,
            Value::Float(f) => *f != 0.0,
            Value::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Value::Str(s) | Value::JsonNumber(s) | Value::Bytes(s) => !s.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Object(object) => !object.is_nil(),
        }
    }

    /// Whether Go's `IsNil` holds: nil, or a nil slice or map.
    pub fn is_nil(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::List(list) => list.is_nil(),
            Value::Map(map) => map.is_nil(),
            Value::Object(object) => object.is_nil(),
            _ => false,
        }
    }

    /// The bytes of a value whose kind is string.
    pub fn as_string(&self) -> Option<&Str> {
        match self {
            Value::Str(s) | Value::JsonNumber(s) => Some(s),
            _ => None,
        }
    }

    /// The bytes of a string or of a `[]byte`.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(s) | Value::JsonNumber(s) | Value::Bytes(s) => Some(s),
            _ => None,
        }
    }

    /// How many elements or bytes, of the kinds that have a length.
    // `None` is no length at all: empty is not its opposite.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> Option<usize> {
        match self {
            Value::Str(s) | Value::JsonNumber(s) | Value::Bytes(s) => Some(s.len()),
            Value::List(list) => Some(list.len()),
            Value::Map(map) => Some(map.len()),
            _ => None,
        }
    }

    /// The elements of a slice of any type, `[]byte` too; `None` of anything else. A snapshot.
    pub fn elements(&self) -> Option<Vec<Value>> {
        match self {
            Value::List(list) => Some(list.items()),
            Value::Bytes(bytes) => Some(bytes.iter().map(|b| Value::Uint(u64::from(*b), UintKind::Uint8)).collect()),
            _ => None,
        }
    }

    /// An error if lists and maps are nested deeper than [`MAX_NESTING`]. Costs as much as there are distinct lists
    /// and maps, and no stack.
    pub fn check_nesting(&self, context: &mut Context) -> Result<(), CallError> {
        // Levels, each without what the level already holds: a list that is in there twice is looked at once.
        let mut level = vec![self.clone()];
        for _ in 0..=MAX_NESTING {
            let mut seen = std::collections::HashSet::new();
            let mut next = Vec::new();
            for value in level {
                let (address, children) = match &value {
                    Value::List(list) => (list.address(), list.containers()),
                    Value::Map(map) => (map.address(), map.containers()),
                    _ => continue,
                };
                if seen.insert(address) {
                    context.step(1 + value.len().unwrap_or(0) as u64 / 8 + children.len() as u64)?;
                    next.extend(children);
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            level = next;
        }
        Err(CallError::limit("value is nested too deep"))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.type_name())
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Value::Float(f)
    }
}

impl From<Str> for Value {
    fn from(s: Str) -> Self {
        Value::Str(s)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Self {
        Value::List(list)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Value::Map(map)
    }
}
