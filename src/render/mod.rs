//! From what Vault answered to what the Secret holds.
//!
//! Pure: equal inputs give equal bytes, and they are the bytes that VSO writes. A Secret that VSO has filled is not
//! rewritten.

pub mod data;
pub mod filter;
pub mod input;
pub mod source;
pub mod transformation;

pub use data::{Built, RenderError, SecretData, build};
pub use filter::Filter;
pub use input::Input;
pub use source::SourceData;
pub use transformation::{CompiledTransformation, TemplateText, TransformationCache};

#[cfg(test)]
mod tests;
