//! From the tree to values, as `yaml.Unmarshal` does it by way of JSON.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::DecodeError;
use super::node::{Node, parse};
use super::number::format_float32;
use super::resolve::Scalar;
use crate::gocompat::template::strconv::to_text;
use crate::gocompat::template::{Context, List, Map, Str, Value};

/// What one entry of a map costs.
const ENTRY_STEPS: u64 = 4;

/// Text as goyaml takes it: UTF-8.
fn text_of(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes)
        .map_err(|_| DecodeError::Invalid("error converting YAML to JSON: yaml: the text is not UTF-8".to_owned()))
}

fn wrong_type(what: &str, wanted: &str) -> DecodeError {
    let text = format!(
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {what} into Go value of type {wanted}"
    );
    DecodeError::Invalid(text)
}

/// `yaml.Unmarshal` into a `map[string]interface {}`: of equal keys the last one wins, numbers are floats.
pub(crate) fn decode(ctx: &mut Context, text: &[u8]) -> Result<Map, DecodeError> {
    let root = parse(ctx, text_of(text)?)?;
    match root.as_deref() {
        None | Some(Node::Scalar(Scalar::Null)) => Ok(Map::any()),
        Some(root @ Node::Map(_)) => match value(ctx, root)? {
            Value::Map(map) => Ok(map),
            _ => Ok(Map::any()),
        },
        Some(other) => Err(wrong_type(json_type(other), "map[string]interface {}")),
    }
}

/// `yaml.Unmarshal` into a `map[string]string`, where scalars of every type become texts.
///
/// # Errors
/// Also for a key that is there twice, where Go loses one of the values: `y` and `on` are both `true`.
pub(crate) fn decode_strings(ctx: &mut Context, text: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, DecodeError> {
    let root = parse(ctx, text_of(text)?)?;
    let entries = match root.as_deref() {
        None | Some(Node::Scalar(Scalar::Null)) => return Ok(BTreeMap::new()),
        Some(Node::Map(_)) => entries(ctx, root.as_deref(), Repeated::Refused)?,
        Some(other) => return Err(wrong_type(json_type(other), "map[string]string")),
    };
    let mut strings = BTreeMap::new();
    for (key, node) in entries {
        let Node::Scalar(scalar) = &*node else { return Err(wrong_type(json_type(&node), "string")) };
        let value = match scalar {
            Scalar::Null => vec![],
            Scalar::Bool(b) => b.to_string().into_bytes(),
            Scalar::Int(i) => i.to_string().into_bytes(),
            Scalar::Uint(u) => u.to_string().into_bytes(),
            Scalar::Float(f) => format_float32(*f).into_bytes(),
            // JSON holds no other bytes than UTF-8.
            Scalar::Text(text) => to_text(text).into_bytes(),
        };
        ctx.reserve(value.len() + key.len())?;
        strings.insert(key, value);
    }
    Ok(strings)
}

/// What becomes of a key that a map has twice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeated {
    LastWins,
    Refused,
}

/// The entries of a map under the names that they have in JSON, with those that `<<` brings.
fn entries(
    ctx: &mut Context,
    map: Option<&Node>,
    repeated: Repeated,
) -> Result<BTreeMap<String, Rc<Node>>, DecodeError> {
    let mut own = BTreeMap::new();
    let mut merged = BTreeMap::new();
    let Some(Node::Map(entries_here)) = map else { return Ok(own) };
    for entry in entries_here {
        ctx.step(ENTRY_STEPS)?;
        if entry.is_merge {
            merge(ctx, &entry.value, repeated, &mut merged)?;
            continue;
        }
        let key = key(&entry.key)?;
        ctx.reserve(key.len() + 64)?;
        if own.insert(key.clone(), entry.value.clone()).is_some() && repeated == Repeated::Refused {
            // The text may be made of secrets. Of `y` and `on` it has to be told what they are.
            let which = if ["true", "false"].contains(&&*key) { format!("key {key:?}") } else { "a key".to_owned() };
            return Err(DecodeError::Invalid(format!("{which} is there more than once")));
        }
    }
    for (key, value) in merged {
        own.entry(key).or_insert(value);
    }
    Ok(own)
}

fn merge(
    ctx: &mut Context,
    value: &Node,
    repeated: Repeated,
    merged: &mut BTreeMap<String, Rc<Node>>,
) -> Result<(), DecodeError> {
    let refused = || DecodeError::Invalid("yaml: map merge requires map or sequence of maps as the value".to_owned());
    match value {
        Node::Map(_) => merged.extend(entries(ctx, Some(value), repeated)?),
        // Of several maps the first has precedence.
        Node::List(maps) => {
            for map in maps.iter().rev() {
                let Node::Map(_) = &**map else { return Err(refused()) };
                merged.extend(entries(ctx, Some(map), repeated)?);
            }
        }
        Node::Scalar(_) => return Err(refused()),
    }
    Ok(())
}

/// The name of a key in JSON.
fn key(node: &Node) -> Result<String, DecodeError> {
    let refused = || {
        DecodeError::Invalid("error converting YAML to JSON: a key of a map is not of a type that JSON has".to_owned())
    };
    match node {
        Node::Scalar(Scalar::Text(text)) => Ok(to_text(text)),
        Node::Scalar(Scalar::Bool(b)) => Ok(b.to_string()),
        Node::Scalar(Scalar::Int(i)) => Ok(i.to_string()),
        Node::Scalar(Scalar::Float(f)) => Ok(match format_float32(*f).as_str() {
            "+Inf" => ".inf".to_owned(),
            "-Inf" => "-.inf".to_owned(),
            "NaN" => ".nan".to_owned(),
            number => number.to_owned(),
        }),
        _ => Err(refused()),
    }
}

fn json_type(node: &Node) -> &'static str {
    match node {
        Node::Scalar(Scalar::Null) => "null",
        Node::Scalar(Scalar::Bool(_)) => "bool",
        Node::Scalar(Scalar::Int(_) | Scalar::Uint(_) | Scalar::Float(_)) => "number",
        Node::Scalar(Scalar::Text(_)) => "string",
        Node::List(_) => "array",
        Node::Map(_) => "object",
    }
}

/// The value as it comes out of JSON. The tree is not higher than
/// [`MAX_NESTING`](crate::gocompat::template::MAX_NESTING).
fn value(ctx: &mut Context, node: &Node) -> Result<Value, DecodeError> {
    ctx.step(1)?;
    // What aliases share is made as often as it is named.
    ctx.reserve(size_of::<Value>())?;
    Ok(match node {
        Node::Scalar(scalar) => match scalar {
            Scalar::Null => Value::Nil,
            Scalar::Bool(b) => Value::Bool(*b),
            Scalar::Int(i) => Value::Float(*i as f64),
            Scalar::Uint(u) => Value::Float(*u as f64),
            Scalar::Float(f) if f.is_finite() => Value::Float(*f),
            Scalar::Float(_) => {
                let text = "error converting YAML to JSON: json: unsupported value: a number that is not finite";
                return Err(DecodeError::Invalid(text.to_owned()));
            }
            Scalar::Text(text) => {
                ctx.reserve_texts(1)?;
                ctx.reserve(text.len())?;
                Value::str(to_text(text))
            }
        },
        Node::List(nodes) => {
            let mut items = Vec::with_capacity(nodes.len().min(1024));
            for node in nodes {
                items.push(value(ctx, node)?);
            }
            ctx.reserve(128)?;
            Value::List(List::any(items))
        }
        Node::Map(_) => {
            let map = Map::any();
            ctx.reserve(128)?;
            for (key, node) in entries(ctx, Some(node), Repeated::LastWins)? {
                let member = value(ctx, &node)?;
                ctx.reserve(128)?;
                map.insert(Str::from(key), member);
            }
            Value::Map(map)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gocompat::template::{Environment, Limits};

    fn strings(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut ctx = Context::new(&Limits::default(), &Environment::default());
        match decode_strings(&mut ctx, text.as_bytes()) {
            Ok(map) => Ok(map.into_iter().map(|(k, v)| (k, String::from_utf8(v).expect("UTF-8"))).collect()),
            Err(DecodeError::Invalid(text)) => Err(text),
            Err(DecodeError::Limit(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn keys_that_collide_are_refused() {
        for text in ["y: 1\non: 2", "a: 1\na: 2", "1: a\n\"1\": b", "true: a\n'true': b"] {
            let error = strings(text).expect_err(text);
            assert!(error.contains("more than once"), "{error}");
        }
        let merged = strings("x: &x {a: 1}\n<<: *x\na: 2").expect_err("x is no text");
        assert!(merged.contains("cannot unmarshal object"), "{merged}");
        assert_eq!(strings("<<: {a: 1, b: 1}\na: 2"), Ok(vec![("a".into(), "2".into()), ("b".into(), "1".into())]));
    }

    #[test]
    fn no_error_quotes_a_value() {
        for text in [
            "hunter2",
            "- hunter2",
            "a: [hunter2",
            "a: {b: hunter2}",
            "a: *hunter2",
            "a: !!int hunter2",
            "a: \"hunter2",
        ] {
            let error = strings(text).expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_hostile_comes_to_an_end() {
        let bomb: String = (1..40).map(|i| format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1)).collect();
        let chain: String = (1..5000).map(|i| format!("a{i}: &a{i} [*a{}]\n", i - 1)).collect();
        for text in [
            "[".repeat(1 << 20),
            "{".repeat(1 << 20),
            "- ".repeat(1 << 19),
            "? ".repeat(1 << 19),
            "a: ".repeat(1 << 18),
            "- \n".repeat(1 << 18),
            "&a ".repeat(1 << 18),
            "!a ".repeat(1 << 18),
            "\"".to_owned() + &"\\n".repeat(1 << 19),
            "[a,".repeat(1 << 18),
            "#\n".repeat(1 << 19) + "[",
            " ".repeat(1 << 20) + "[",
            "a: |\n".to_owned() + &" \n".repeat(1 << 19) + "x",
            "%".repeat(1 << 20),
            "a".repeat(1 << 20) + ": x",
            "---\n".repeat(1 << 18) + "[",
            format!("a0: &a0 [x]\n{bomb}"),
            format!("a0: &a0 [x]\n{chain}"),
        ] {
            let mut ctx = Context::new(&Limits::default(), &Environment::default());
            let begin = std::time::Instant::now();
            let refused = decode(&mut ctx, text.as_bytes()).is_err();
            assert!(refused || !text.starts_with(['[', 'a']) || text.starts_with("a: |"), "{}", &text[..8]);
            assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{}: {:?}", &text[..8], begin.elapsed());
        }
    }
}
