//! Go's `text/template`, so that every template gives the bytes that it gives upstream.
//!
//! [`value`] has Go's dynamic values and [`functions`] what the function library is built on.

pub mod collections;
pub mod functions;
pub mod types;
pub mod value;

pub use collections::{List, Map};
pub use functions::{CallError, Context, Environment, Function, Functions, Limits, Method};
pub use types::{IntKind, Kind, Type, UintKind};
pub use value::{MAX_NESTING, Object, Str, Value};
