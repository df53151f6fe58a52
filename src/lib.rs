//! x

pub mod api;
pub mod cli;
pub mod schedule;
pub mod settings;
pub mod version;
