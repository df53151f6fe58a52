//! One template.

use std::collections::BTreeMap;

use super::TemplateError;
use crate::gocompat::template::{Context, Functions, Set, Value};
use crate::gocompat::yaml;

/// A parsed template.
pub(super) struct Program {
    key: String,
    set: Set,
    volatile: bool,
    /// Errors must not quote the template.
    is_secret: bool,
}

impl Program {
    /// Parses the text that fills, or stands at, a key.
    pub fn parse(
        key: &str,
        text: &[u8],
        is_secret: bool,
        functions: &Functions,
        tokens_left: &mut usize,
    ) -> Result<Program, TemplateError> {
        let failed = |why: String| TemplateError::Parse { key: key.to_owned(), why };
        let text = std::str::from_utf8(text).map_err(|_| failed("the template is not UTF-8".to_owned()))?;
        let set = Set::parse_within(&[(key, text)], functions, tokens_left)
            .map_err(|error| failed(shown(key, is_secret, error.to_string())))?
            .with_missing_keys_as_errors();
        let volatile = set.is_volatile(key);
        Ok(Program { key: key.to_owned(), set, volatile, is_secret })
    }

    /// Whether the template calls a function that is volatile.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// What the template prints.
    pub fn run(&self, context: &mut Context, root: &Value) -> Result<Vec<u8>, TemplateError> {
        self.set.execute_in(&self.key, root, context).map_err(|error| {
            let why = shown(&self.key, self.is_secret, error.to_string());
            TemplateError::Execute { key: self.key.clone(), why }
        })
    }

    /// The keys and values that the template has printed.
    pub fn read_map(&self, context: &mut Context, printed: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, TemplateError> {
        let counted = context.step_bytes(printed.len());
        let read = counted.map_err(yaml::DecodeError::Limit).and_then(|()| yaml::decode_strings(context, printed));
        // What reading took is free again.
        context.end_call();
        read.map_err(|error| {
            let why = match error {
                yaml::DecodeError::Invalid(why) => why,
                yaml::DecodeError::Limit(error) => error.shown().to_owned(),
            };
            TemplateError::Map { key: self.key.clone(), why }
        })
    }
}

/// The error of a template, without what it quotes of a template that is secret: only the place remains.
fn shown(key: &str, is_secret: bool, text: String) -> String {
    if !is_secret {
        return text;
    }
    let after = text.strip_prefix("template: ").and_then(|rest| rest.strip_prefix(key)).unwrap_or_default();
    let place: String = after.chars().take_while(|c| matches!(c, ':' | '0'..='9')).collect();
    format!("template: {key}{place} the error is not shown, since the template stands in a Secret")
}
