//! YAML as `sigs.k8s.io/yaml` reads and writes it: by way of JSON, with the scalars of YAML 1.1 (`yes` is true, `010`
//! is eight).

mod decode;
mod emit;

mod node;
mod number;
mod resolve;
mod scalar;
mod sort;

pub(crate) use decode::{decode, decode_strings};
pub(crate) use emit::encode;

use crate::gocompat::template::CallError;

/// Why nothing was read. None of the texts quotes a value.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// It is not YAML, or not what is wanted.
    Invalid(String),
    /// The template's limits are reached.
    Limit(CallError),
}

impl From<CallError> for DecodeError {
    fn from(error: CallError) -> Self {
        DecodeError::Limit(error)
    }
}
