//! x
use super::template::Function;
/// x
pub static FAMILIES: &[&[Function]] = &[];
