//! From what Vault answered to what the Secret holds. Pure: the same input gives the same bytes, here as upstream, for
//! an object that changes operators must not see its Secret rewritten.

pub mod data;
pub mod filter;
pub mod input;
pub mod mac;
pub mod recipe;
pub mod source;

pub use data::{Built, RenderError, SecretData, build};
pub use filter::{Filter, Patterns};
pub use input::Input;
pub use mac::{MacKey, MacKeyError};
pub use recipe::{Recipe, Recipes, TemplateText};
pub use source::SourceData;

#[cfg(test)]
mod tests;
