//! What there is to say about a flag.

use crate::settings::Settings;

/// One flag: everything there is to say about it.
pub(super) struct Flag {
    pub name: &'static str,
    /// What to call the value in the help; empty for a switch.
    pub value: &'static str,
    /// The default that the help shows. A test proves that it is what [`Settings::default`] has.
    pub default: &'static str,
    pub variable: Variable,
    pub help: &'static str,
    pub apply: fn(&mut Settings, &str) -> Result<(), String>,
}

impl Flag {
    /// Whether it works without a value.
    pub fn is_switch(&self) -> bool {
        self.value.is_empty()
    }
}

/// The environment variable of a flag.
#[derive(Clone, Copy)]
pub(super) enum Variable {
    None,
    /// Its value counts, not that of the flag.
    Wins(&'static str),
    /// Its value counts, not that of the flag, unless it is zero.
    WinsUnlessZero(&'static str),
    /// Anything in it is a `true` that the flag can take back.
    Switch(&'static str),
}

impl Variable {
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Wins(name) | Self::WinsUnlessZero(name) | Self::Switch(name) => Some(name),
        }
    }
}
