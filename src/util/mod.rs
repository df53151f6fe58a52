//! Small containers that several modules need.

mod weak_table;

pub use weak_table::WeakTable;
