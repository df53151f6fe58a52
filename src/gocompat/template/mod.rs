//! Go's `text/template`, so that every template gives the bytes that it gives upstream.
//!
//! [`value`] has Go's dynamic values and [`functions`] what the function library is built on.

mod builtins;
pub mod collections;
mod error;
mod exec;
pub mod format;
pub mod functions;
mod lexer;
mod node;
mod operand;
mod parser;
mod record;
mod set;
pub mod strconv;
mod token;
pub mod types;
mod unicode_tables;
pub mod value;
mod volatile;

pub use collections::{List, Map};
pub use error::TemplateError;
pub use functions::{CallError, Context, Environment, Function, Functions, Limits, Method};
pub use record::Record;
pub use set::Set;
pub use types::{IntKind, Kind, Type, UintKind};
pub use value::{MAX_NESTING, Object, Str, Value};

#[cfg(test)]
mod tests;
