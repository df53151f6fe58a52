//! What has to give the bytes that Go gives: templates and their functions, regular expressions, JSON, YAML, durations.
//!
//! No module here knows the operator, Kubernetes or Vault. Names and error texts come from Go's packages, and vectors
//! that Go has written (`tests/golden`) hold them.

pub mod base64;
pub mod duration;
pub mod eso;
pub mod json;
mod pki;
pub mod regexp;
pub mod sprig;
pub mod template;
pub mod yaml;

pub use duration::GoDuration;
