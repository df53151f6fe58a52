//! The functions that templates of ExternalSecrets may call: those of sprig, and ESO's own.

use super::sprig;
use super::template::Functions;

/// All of them, beside which templates have the functions of the language itself.
pub fn functions() -> Functions {
    sprig::all_functions()
}
