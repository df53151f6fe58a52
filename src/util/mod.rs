//! Small containers that several modules need.

mod bounded_cache;
mod shrink;
mod weak_table;

pub use bounded_cache::BoundedCache;
pub use shrink::{shrink, shrink_queue};
pub use weak_table::WeakTable;
