//! Go's `text/template`, so that every template gives the bytes that it gives in Go.
//!
//! [`value`] has Go's dynamic values and [`value::functions`] what the function library is built on.

mod builtins;
mod error;
mod exec;
pub mod format;
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

pub use error::TemplateError;
pub use record::Record;
pub use set::{MAX_TOKENS, Set};
pub use types::{IntKind, Kind, Type, UintKind};
pub use value::collections::{List, Map};
pub use value::functions::{Function, Functions, Method};
pub use value::{CallError, Context, Environment, Limits, MAX_NESTING, Object, Str, Value};

#[cfg(test)]
mod tests;
