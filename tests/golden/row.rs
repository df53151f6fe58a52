//! Rows of golden vectors, and rendering one as Go did.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use vso::external_secret::template::{CompiledTemplate, Fetched};
use vso::gocompat::json::to_string;
use vso::gocompat::template::{Context, Environment, Limits, List, Map, Record, Set, Value};
use vso::gocompat::{eso, sprig};

/// One row.
#[derive(serde::Deserialize, serde::Serialize, Clone, Debug)]
pub struct Row {
    #[serde(default, rename = "fn", skip_serializing_if = "String::is_empty")]
    pub function: String,
    pub template: String,
    #[serde(default)]
    pub input: Option<Box<RawValue>>,
    #[serde(default)]
    pub output: String,
    #[serde(default)]
    pub output64: String,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub unstable: bool,
    /// `eso` for templates of ExternalSecrets.
    #[serde(default)]
    pub api: String,
    /// The text of the error is that of a library of Go's.
    #[serde(default, rename = "anyError")]
    pub any_error: bool,
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
        if self.function == "literal" {
            return self.literal();
        }
        let (functions, is_eso) =
            if self.api == "eso" { (eso::functions(), true) } else { (sprig::functions(), false) };
        let set = Set::parse(&[("t", &self.template)], &functions).map_err(|e| e.go_text().to_owned())?;
        let set = if is_eso { set.with_missing_keys_as_errors() } else { set };
        // Not optimised, what is slow here takes long.
        let limits = Limits { time: std::time::Duration::from_secs(30), ..Limits::default() };
        set.execute_in("t", &self.root(), &mut Context::new(&limits, environment)).map_err(|e| e.go_text().to_owned())
    }

    /// What the template makes as a literal of `templateFrom`, as JSON.
    fn literal(&self) -> Result<Vec<u8>, String> {
        let template = serde_json::json!({ "templateFrom": [{ "literal": self.template }] });
        let template = serde_json::from_value(template).expect("a template");
        let compiled = CompiledTemplate::new(&template, &Fetched::new()).map_err(|error| error.to_string())?;
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let rendered = compiled.render(&mut context, &BTreeMap::new(), |_, value| Ok(value));
        let data = rendered.map_err(|error| error.to_string())?.data;
        let data: BTreeMap<_, _> =
            data.into_iter().map(|(key, value)| (key, String::from_utf8(value).expect("UTF-8"))).collect();
        Ok(to_string(&serde_json::to_value(data).expect("strings")).into_bytes())
    }

    /// The dot of the template.
    pub fn root(&self) -> Value {
        let text = self.input.as_ref().map_or("{}", |input| input.get());
        let Value::Map(input) = from_json(text) else { panic!("the input is an object") };
        if self.api == "eso" {
            let entries = input.entries();
            return Value::Map(Map::strings(
                entries.iter().map(|(k, v)| (k.clone(), v.as_string().expect("a string").clone())),
            ));
        }
        let any = |name: &str| input.get(name).unwrap_or_else(|| Value::Map(Map::any()));
        let strings = |name: &str| {
            let Value::Map(entries) = any(name) else { panic!("{name} is an object") };
            let entries = entries.entries();
            let entries = entries.iter().map(|(k, v)| (k.clone(), v.as_string().expect("a string").clone()));
            Value::Map(Map::strings(entries))
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

/// Numbers as they are written, which `serde_json::Value` does not keep (`1e3` becomes `1e+3`), and `{"$b64": "..."}`
/// as the string of those bytes.
fn from_json(text: &str) -> Value {
    const OK: &str = "the input is JSON";
    match text.as_bytes()[0] {
        b'{' => {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).expect(OK);
            if let (1, Some(text)) = (members.len(), members.get("$b64")) {
                let text: String = serde_json::from_str(text.get()).expect(OK);
                return Value::str(STANDARD.decode(text).expect("$b64 is base64"));
            }
            let map = Map::any();
            for (name, member) in members {
                map.insert(name, from_json(member.get()));
            }
            Value::Map(map)
        }
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).expect(OK);
            Value::List(List::any(items.iter().map(|item| from_json(item.get())).collect()))
        }
        b'-' | b'0'..=b'9' => Value::JsonNumber(text.into()),
        _ => Value::from_json(&serde_json::from_str(text).expect(OK)),
    }
}

/// Whether two results are equal. Vectors hold errors as text, so bytes that are not UTF-8 count as one U+FFFD.
pub fn same(expected: &Result<Vec<u8>, String>, got: &Result<Vec<u8>, String>) -> bool {
    match (expected, got) {
        (Ok(expected), Ok(got)) => expected == got,
        (Err(expected), Err(got)) => expected == got || one_replacement(expected) == one_replacement(got),
        _ => false,
    }
}

fn one_replacement(text: &str) -> String {
    let mut text: Vec<char> = text.chars().collect();
    text.dedup_by(|a, b| *a == '\u{FFFD}' && *b == '\u{FFFD}');
    text.into_iter().collect()
}

/// A result for people.
pub fn shown(result: &Result<Vec<u8>, String>) -> String {
    match result {
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Err(text) => format!("error {text}"),
    }
}
