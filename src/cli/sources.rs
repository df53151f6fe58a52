//! Where the settings come from, for `config`.

use super::flag::Flag;
use crate::settings::Settings;

/// The value of a flag, and what it was taken from.
pub(super) struct Source {
    pub flag: &'static Flag,
    /// The value as it was written.
    pub value: String,
    pub from: Origin,
}

/// What a value was taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    Flag,
    Variable(&'static str),
}

impl Source {
    /// It is this value after all.
    pub fn is(&mut self, value: &str, from: Origin) {
        value.clone_into(&mut self.value);
        self.from = from;
    }
}

/// A line for each setting: its name, its value, and where that comes from.
pub(super) fn table((settings, sources): &(Settings, Vec<Source>)) -> String {
    let mut rows =
        vec![("operator namespace".to_owned(), settings.operator_namespace.clone(), "pod or variable".to_owned())];
    rows.extend(sources.iter().map(|source| {
        let from = match source.from {
            Origin::Default => "default".to_owned(),
            Origin::Flag => "flag".to_owned(),
            Origin::Variable(name) => format!("variable {name}"),
        };
        let value = if source.value.is_empty() { "(none)".to_owned() } else { source.value.clone() };
        (format!("--{}", source.flag.name), value, from)
    }));
    let width =
        |column: fn(&(String, String, String)) -> &String| rows.iter().map(|r| column(r).len()).max().unwrap_or(0);
    let (names, values) = (width(|r| &r.0), width(|r| &r.1));
    rows.iter().map(|(name, value, from)| format!("{name:names$}  {value:values$}  {from}\n")).collect()
}
