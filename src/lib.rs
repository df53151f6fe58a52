//! x

pub mod api;
pub mod schedule;
