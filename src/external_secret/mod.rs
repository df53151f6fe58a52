//! What an ExternalSecret makes of what its stores hold, without I/O.
//!
//! - [`document`], [`value`], [`property`]: what is read of a secret in a store.
//! - [`decode`], [`keys`], [`rewrite`], [`merge`]: what becomes of values and keys.
//! - [`pipeline`]: all of them, in their order. [`answers`]: for all that is named.
//! - [`template`]: what templates make of the data.
//! - [`password`]: what generators make at random.
//! - [`check`]: what an ExternalSecret must not say.
//! - [`hash`], [`managed_fields`], [`target`]: the Secret. [`restart`]: the workloads that use it.
//! - [`push`]: what a PushSecret writes to stores.
//! - [`sync_window`], [`cron`]: when the stores may be read.

use std::collections::BTreeMap;

pub mod answers;
pub mod check;
pub mod cron;
pub mod decode;
pub mod document;
pub mod hash;
pub mod keys;
pub mod managed_fields;
pub mod merge;
pub mod password;
mod per_object;
pub mod pipeline;
pub mod property;
pub mod push;
pub mod restart;
pub mod rewrite;
pub mod sync_window;
pub mod target;
pub mod template;
pub mod value;

/// The data of a Secret.
pub type Data = BTreeMap<String, Vec<u8>>;
