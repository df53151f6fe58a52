//! Why a template gives no Secret.

use super::SourceKind;
use crate::gocompat::template::strconv::quote_text;

/// Why a template gives no Secret. The texts name keys and places, and quote no value; what concerns single templates
/// is worded as in ESO.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A text is no template.
    #[error("unable to parse template at key {}: {why}", shortened(.key))]
    Parse {
        /// The key that it fills or stands at.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A template failed.
    #[error("unable to execute template at key {}: {why}", shortened(.key))]
    Execute {
        /// The key that it fills or stands at.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// What a template prints is no map of keys and values.
    #[error("could not unmarshal template to 'map[string][]byte' at key {}: {why}", shortened(.key))]
    Map {
        /// The key that it stands at.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A value is not encoded as `valuesDecodingStrategy` says.
    #[error("unable to decode the value of key {}: {why}", shortened(.key))]
    Decode {
        /// The key of the value.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A ConfigMap or Secret has no such key.
    #[error("error in {} {name}: missing key {}", kind_name(*.kind), shortened(.key))]
    MissingKey {
        /// Kind of the object.
        kind: SourceKind,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// `templateFrom[].target` names nothing that a template may fill.
    #[error("templateFrom target {} is none of Data, Annotations and Labels", quote_text(&shortened(.0)))]
    Target(String),
    /// `templateAs` is not known.
    #[error("unknown scope {}: expected 'Values' or 'KeysAndValues'", quote_text(&shortened(.0)))]
    Scope(String),
    /// The templates need more than an object may have.
    #[error("{0}")]
    Limit(String),
}

fn kind_name(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::ConfigMap => "configmap",
        SourceKind::Secret => "secret",
    }
}

/// A name, cut where it gets long: it ends up in a condition and an event.
fn shortened(name: &str) -> String {
    const SHOWN: usize = 253;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}
