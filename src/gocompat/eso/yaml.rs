//! `toYaml` and `fromYaml`.

use crate::gocompat::sprig::args::{any, bytes, function, string};
use crate::gocompat::template::{Function, Map, Type, Value};
use crate::gocompat::yaml;

pub(super) static FUNCTIONS: &[Function] = &[
    // What is not YAML gives a map with the error.
    function!("fromYaml", [Type::String], |ctx, a| match yaml::decode(ctx, bytes(a, 0)) {
        Ok(map) => Ok(Value::Map(map)),
        Err(yaml::DecodeError::Limit(error)) => Err(error),
        Err(yaml::DecodeError::Invalid(text)) => {
            let map = Map::any();
            map.insert("Error", Value::str(text));
            Ok(Value::Map(map))
        }
    }),
    // What YAML cannot hold gives an empty text.
    function!("toYaml", [Type::Any], |ctx, a| {
        let text = yaml::encode(ctx, any(a, 0))?.unwrap_or_default();
        Ok(string(text.strip_suffix(b"\n").unwrap_or(&text)))
    }),
];
