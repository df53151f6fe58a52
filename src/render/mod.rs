//! From what Vault answered to what the Secret holds. Pure: the same input gives the same bytes, here as upstream, for
//! an object that changes operators must not see its Secret rewritten.

pub mod data;
pub mod gojson;
pub mod mac;
pub mod sprig;
pub mod template;

pub use data::{RenderError, SecretData, build};
pub use mac::{MacKey, MacKeyError};
