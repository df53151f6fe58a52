//! The functions of sprig that templates may call besides the language's own, with the behaviour of sprig v3.3.0 (MIT)
//! down to its error texts: the 179 of its hermetic text functions that VSO allows, and 30 more that ESO allows.
//!
//! None of them reads the environment, the network or files. What could grow without bound asks the
//! [`Context`](super::template::Context) first.

use super::template::{Function, Functions};

pub(super) mod args;
mod crypto;
mod dates;
mod decimal;
mod defaults;
mod dicts;
mod encoding;
mod equal;
pub(super) mod htpasswd;
mod keys;
mod lists;
mod lists_slice;
mod math;
mod merge;
mod numbers;
mod paths;
mod random;
mod reflection;
mod regex;
mod runes;
mod secrets;
mod semver;
mod strings;
mod strings_case;
mod strings_layout;
mod time;
mod url;
mod urls;
mod words;
mod wrap;

pub(crate) use encoding::base32_encode;
pub(crate) use regex::replaced;

/// The functions that VSO allows, in families.
static FAMILIES: &[&[Function]] = &[
    strings::FUNCTIONS,
    strings_case::FUNCTIONS,
    strings_layout::FUNCTIONS,
    encoding::FUNCTIONS,
    dicts::FUNCTIONS,
    lists::FUNCTIONS,
    lists_slice::FUNCTIONS,
    defaults::FUNCTIONS,
    math::FUNCTIONS,
    reflection::FUNCTIONS,
    regex::FUNCTIONS,
    dates::FUNCTIONS,
    crypto::FUNCTIONS,
    paths::FUNCTIONS,
    semver::FUNCTIONS,
    urls::FUNCTIONS,
];

/// What ESO allows besides: it reads the clock, draws random numbers, makes keys and certificates.
static MORE_FAMILIES: &[&[Function]] = &[dates::MORE_FUNCTIONS, random::FUNCTIONS, secrets::FUNCTIONS];

/// The functions that VSO allows, beside which templates have those of the language itself.
pub fn functions() -> Functions {
    FAMILIES.iter().fold(Functions::new(), |functions, family| functions.with(family))
}

/// The functions that ESO allows: all but those that look at the environment or the network.
pub fn all_functions() -> Functions {
    MORE_FAMILIES.iter().fold(functions(), |functions, family| functions.with(family))
}
