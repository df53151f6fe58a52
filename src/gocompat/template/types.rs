//! Go's types, as far as a template can see them: in `%T`, in error texts, and in which function takes which argument.

use std::fmt;

/// What Go's `reflect.Kind` says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No value at all: an untyped nil.
    Invalid,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `uint8`
    Uint8,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `float64`
    Float64,
    /// `complex128`
    Complex128,
    /// An interface type.
    Interface,
    /// Any map.
    Map,
    /// A pointer.
    Ptr,
    /// Any slice.
    Slice,
    /// `string`, and types made of it such as `json.Number`.
    String,
    /// A struct.
    Struct,
}

impl Kind {
    /// The name that Go's `reflect.Kind.String` gives.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Int64 => "int64",
            Kind::Uint8 => "uint8",
            Kind::Uint32 => "uint32",
            Kind::Uint64 => "uint64",
            Kind::Float64 => "float64",
            Kind::Complex128 => "complex128",
            Kind::Interface => "interface",
            Kind::Map => "map",
            Kind::Ptr => "ptr",
            Kind::Slice => "slice",
            Kind::String => "string",
            Kind::Struct => "struct",
        }
    }

    /// Whether this is one of the signed integer kinds.
    pub fn is_int(self) -> bool {
        matches!(self, Kind::Int | Kind::Int64)
    }
}

/// Which signed integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntKind {
    /// `int`, what an integer constant of a template is.
    Int,
    /// `int64`
    Int64,
}

/// Which unsigned integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UintKind {
    /// `uint8`, what indexing a string gives.
    Uint8,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
}

/// A Go type: of a parameter, or of the elements of a list or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `interface {}`
    Any,
    /// `reflect.Value`: any value, as the language's own functions take it.
    Reflect,
    /// `bool`
    Bool,
    /// A signed integer.
    Int(IntKind),
    /// An unsigned integer.
    Uint(UintKind),
    /// `float64`
    Float64,
    /// `complex128`
    Complex,
    /// `string`
    String,
    /// `json.Number`
    JsonNumber,
    /// `time.Duration`
    Duration,
    /// A slice of this type.
    List(&'static Type),
    /// A map from strings to this type.
    Map(&'static Type),
    /// Any other type, by the name that `%T` prints and its kind.
    Named(&'static str, Kind),
}

impl Type {
    /// `int`
    pub const INT: Type = Type::Int(IntKind::Int);
    /// `[]interface {}`
    pub const ANY_LIST: Type = Type::List(&Type::Any);
    /// `[]string`
    pub const STRINGS: Type = Type::List(&Type::String);
    /// `[]uint8`, that is `[]byte`
    pub const BYTES: Type = Type::List(&Type::Uint(UintKind::Uint8));
    /// `map[string]interface {}`
    pub const ANY_MAP: Type = Type::Map(&Type::Any);
    /// `map[string]string`
    pub const STRING_MAP: Type = Type::Map(&Type::String);

    /// The kind that values of this type have.
    pub fn kind(self) -> Kind {
        match self {
            Type::Any => Kind::Interface,
            Type::Reflect => Kind::Struct,
            Type::Bool => Kind::Bool,
            Type::Int(kind) => kind.kind(),
            Type::Uint(kind) => kind.kind(),
            Type::Float64 => Kind::Float64,
            Type::Complex => Kind::Complex128,
            Type::String | Type::JsonNumber => Kind::String,
            Type::Duration => Kind::Int64,
            Type::List(_) => Kind::Slice,
            Type::Map(_) => Kind::Map,
            Type::Named(_, kind) => kind,
        }
    }

    /// Whether nil can be given where this type is wanted (text/template `canBeNil`).
    pub fn can_be_nil(self) -> bool {
        self == Type::Reflect || matches!(self.kind(), Kind::Interface | Kind::Map | Kind::Ptr | Kind::Slice)
    }
}

impl IntKind {
    /// The [`Kind`] of this type.
    pub fn kind(self) -> Kind {
        match self {
            IntKind::Int => Kind::Int,
            IntKind::Int64 => Kind::Int64,
        }
    }
}

impl UintKind {
    /// The [`Kind`] of this type.
    pub fn kind(self) -> Kind {
        match self {
            UintKind::Uint8 => Kind::Uint8,
            UintKind::Uint32 => Kind::Uint32,
            UintKind::Uint64 => Kind::Uint64,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("interface {}"),
            Type::Reflect => f.write_str("reflect.Value"),
            Type::JsonNumber => f.write_str("json.Number"),
            Type::Duration => f.write_str("time.Duration"),
            Type::List(elem) => write!(f, "[]{elem}"),
            Type::Map(elem) => write!(f, "map[string]{elem}"),
            Type::Named(name, _) => f.write_str(name),
            Type::Bool | Type::Int(_) | Type::Uint(_) | Type::Float64 | Type::Complex | Type::String => {
                f.write_str(self.kind().name())
            }
        }
    }
}
