//! The functions that templates of ExternalSecrets may call: those of sprig, and ESO's own.

mod htpasswd;
mod keys;
mod pem;
mod yaml;

use super::sprig;
use super::template::{Function, Functions};

/// ESO's own functions, in families.
static FAMILIES: &[&[Function]] = &[htpasswd::FUNCTIONS, keys::FUNCTIONS, pem::FUNCTIONS, yaml::FUNCTIONS];

/// All of them, beside which templates have the functions of the language itself.
pub fn functions() -> Functions {
    FAMILIES.iter().fold(sprig::all_functions(), |functions, family| functions.with(family))
}
