//! x

pub mod api;
