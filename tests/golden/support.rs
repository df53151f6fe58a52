//! Rows of golden vectors, and rendering one as Go did.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use vso::render::sprig;
use vso::render::template::{Environment, Functions, Limits, Map, Record, Set, Value};

/// One row.
#[derive(serde::Deserialize, serde::Serialize, Clone, Debug)]
pub struct Row {
    #[serde(default, rename = "fn", skip_serializing_if = "String::is_empty")]
    pub function: String,
    pub template: String,
    #[serde(default)]
    pub input: serde_json::Value,
    #[serde(default)]
    pub output: String,
    #[serde(default)]
    pub output64: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub unstable: bool,
}

impl Row {
    /// What Go gave.
    pub fn expected(&self) -> Result<Vec<u8>, String> {
        if !self.error.is_empty() {
            Err(self.error.clone())
        } else if !self.output64.is_empty() {
            Ok(STANDARD.decode(&self.output64).expect("output64 is base64"))
        } else {
            Ok(self.output.clone().into_bytes())
        }
    }

    /// What this crate gives; the error is the text that Go would print.
    pub fn render(&self) -> Result<Vec<u8>, String> {
        self.render_in(&Environment::default())
    }

    pub fn render_in(&self, environment: &Environment) -> Result<Vec<u8>, String> {
        let set = Set::parse(&[("t", &self.template)], &functions()).map_err(|e| e.go_text().to_owned())?;
        let limits = Limits { output: 1 << 20, ..Limits::default() };
        set.execute_in("t", &self.root(), &limits, environment).map_err(|e| e.go_text().to_owned())
    }

    fn root(&self) -> Value {
        let any = |name: &str| match &self.input[name] {
            serde_json::Value::Object(_) => binary(&self.input[name]),
            _ => Value::Map(Map::any()),
        };
        let strings = |name: &str| {
            let entries = self.input[name].as_object();
            let entries = entries.into_iter().flatten();
            Value::Map(Map::strings(entries.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))))
        };
        Value::Object(Arc::new(Record::new(
            "main.Root",
            vec![
                ("Secrets", any("Secrets")),
                ("Metadata", any("Metadata")),
                ("Annotations", strings("Annotations")),
                ("Labels", strings("Labels")),
            ],
        )))
    }
}

/// `{"$b64": "..."}` is the string of those bytes.
fn binary(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Object(members) => {
            if let (1, Some(text)) = (members.len(), members.get("$b64").and_then(|b| b.as_str())) {
                return Value::str(STANDARD.decode(text).expect("$b64 is base64"));
            }
            let map = Map::any();
            for (name, member) in members {
                map.insert(name.as_str(), binary(member));
            }
            Value::Map(map)
        }
        serde_json::Value::Array(items) => {
            Value::List(vso::render::template::List::any(items.iter().map(binary).collect()))
        }
        other => Value::from_json(other),
    }
}

pub fn functions() -> Functions {
    sprig::FAMILIES.iter().fold(Functions::new(), |functions, family| functions.with(family))
}

/// Whether two errors are the same. Go prints an address where a number could not be named.
pub fn same(expected: &Result<Vec<u8>, String>, got: &Result<Vec<u8>, String>) -> bool {
    match (expected, got) {
        (Ok(expected), Ok(got)) => expected == got,
        (Err(expected), Err(got)) => expected == got,
        _ => false,
    }
}

/// A result for people.
pub fn shown(result: &Result<Vec<u8>, String>) -> String {
    match result {
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Err(text) => format!("error {text}"),
    }
}
