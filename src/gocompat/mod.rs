//! What has to give the bytes that Go gives: templates and their functions, regular expressions, JSON, durations.
//!
//! Nothing in here knows the operator, Kubernetes or Vault. Names and error texts are those of Go's packages, and
//! vectors that Go has written (`tests/golden`) hold each of them.

pub mod duration;
pub mod json;
pub mod regexp;
pub mod sprig;
pub mod template;

pub use duration::GoDuration;
