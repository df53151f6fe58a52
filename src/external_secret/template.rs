//! `spec.target.template`: what the Secret holds and carries, made of the data of the stores.
//!
//! Each text is a template of its own, as in ESO: none can call another.

mod cache;
mod error;
mod keys;
mod program;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

pub use cache::TemplateCache;
pub use error::TemplateError;
pub use keys::KeyTemplates;
use program::Program;

use crate::api::external_secrets::DecodingStrategy;
use crate::api::external_secrets::target::{Template, TemplateAs, TemplateFrom, TemplateMergePolicy};
use crate::gocompat::eso;
use crate::gocompat::template::strconv::to_text;
use crate::gocompat::template::{Context, Environment, Functions, Limits, MAX_TOKENS, Map, Value};

/// Bytes by key.
type Data = BTreeMap<String, Vec<u8>>;

/// What all templates of an object may be long together, in bytes.
const MAX_TEXT_BYTES: usize = 2 << 20;

/// Which kind of object templates come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret. No error quotes a template that stands in one.
    Secret,
}

/// What the objects hold that `templateFrom` names, by kind and name.
pub type Fetched = BTreeMap<(SourceKind, String), Data>;

/// Decodes a value, or says why it cannot.
pub type Decode = fn(Option<&DecodingStrategy>, Vec<u8>) -> Result<Vec<u8>, String>;

/// What templates make for a Secret. What others have put into the Secret is not in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Keys and values.
    pub data: Data,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Type, if the template says one.
    pub type_: Option<String>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Rendered { data, labels, annotations, type_ } = self;
        f.debug_struct("Rendered")
            .field("data", &data.keys())
            .field("labels", &labels.keys())
            .field("annotations", &annotations.keys())
            .field("type", type_)
            .finish()
    }
}

/// What a template fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Data,
    Labels,
    Annotations,
}

/// What becomes of what a template prints.
enum Output {
    /// It is the value of this key.
    Value(String),
    /// It is a YAML map of keys and values, which are encoded so.
    Map(Option<DecodingStrategy>),
}

/// A template and what it is for.
struct Step {
    program: Program,
    target: Target,
    output: Output,
}

/// A digest over all that a template says.
pub type TemplateId = [u8; 32];

/// The templates of an object, parsed.
pub struct CompiledTemplate {
    id: TemplateId,
    steps: Vec<Step>,
    keeps_source: bool,
    type_: Option<String>,
    volatile: bool,
}

/// The objects that hold templates, each once.
pub fn sources(template: &Template) -> Vec<(SourceKind, String)> {
    let mut found = vec![];
    for from in &template.template_from {
        for (kind, source) in items_of(from) {
            let reference = (kind, source.name.clone());
            if !found.contains(&reference) {
                found.push(reference);
            }
        }
    }
    found
}

fn items_of(
    from: &TemplateFrom,
) -> impl Iterator<Item = (SourceKind, &crate::api::external_secrets::target::TemplateSource)> {
    let config_map = from.config_map.iter().map(|source| (SourceKind::ConfigMap, source));
    config_map.chain(from.secret.iter().map(|source| (SourceKind::Secret, source)))
}

impl CompiledTemplate {
    /// Parses all templates. `fetched` has what [`sources`] names.
    ///
    /// # Errors
    /// See [`TemplateError`]: the first text that is missing or does not parse.
    pub fn new(template: &Template, fetched: &Fetched) -> Result<CompiledTemplate, TemplateError> {
        let mut compiler = Compiler {
            functions: eso::functions(),
            tokens_left: MAX_TOKENS,
            bytes_left: MAX_TEXT_BYTES,
            steps: vec![],
        };
        for (index, from) in template.template_from.iter().enumerate() {
            compiler.from(index, from, fetched)?;
        }
        let maps = [
            (Target::Data, &template.data),
            (Target::Labels, &template.metadata.labels),
            (Target::Annotations, &template.metadata.annotations),
        ];
        for (target, texts) in maps {
            for (key, text) in texts {
                compiler.add(key, text.as_bytes(), false, target, Output::Value(key.clone()))?;
            }
        }
        let steps = compiler.steps;
        let keeps_source = match template.merge_policy {
            Some(TemplateMergePolicy::Merge) => true,
            _ => template.data.is_empty() && template.template_from.is_empty(),
        };
        Ok(CompiledTemplate {
            id: id_of(template, fetched),
            volatile: steps.iter().any(|step| step.program.is_volatile()),
            steps,
            keeps_source,
            type_: template.type_.clone(),
        })
    }

    /// A digest over the templates.
    pub fn id(&self) -> &TemplateId {
        &self.id
    }

    /// Whether equal data may give an unequal Secret: a template calls a function that is volatile.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// The same as [`Self::render`], with the limits that an object has.
    ///
    /// # Errors
    /// See [`TemplateError`]: the first template that fails.
    pub fn render_within_limits(&self, data: &Data, decode: Decode) -> Result<Rendered, TemplateError> {
        self.render(&mut Context::new(&Limits::default(), &Environment::default()), data, decode)
    }

    /// Makes what the Secret holds of the data of the stores. What comes later wins: the data (if it stays),
    /// `templateFrom` in its order, `data`, and for labels and annotations `metadata`.
    ///
    /// `context` has the limits of the object, for all that is rendered of it.
    ///
    /// # Errors
    /// See [`TemplateError`]: the first template that fails.
    pub fn render(&self, context: &mut Context, data: &Data, decode: Decode) -> Result<Rendered, TemplateError> {
        let mut root = Value::Map(Map::strings(data.iter().map(|(key, value)| (key.as_str(), value.as_slice()))));
        context.account(&mut root).map_err(|error| TemplateError::Limit(error.shown().to_owned()))?;
        let mut rendered = Rendered { type_: self.type_.clone(), ..Rendered::default() };
        if self.keeps_source {
            rendered.data.clone_from(data);
        }
        for step in &self.steps {
            let printed = step.program.run(context, &root)?;
            match &step.output {
                Output::Value(key) => rendered.put(step.target, key.clone(), printed),
                Output::Map(strategy) => {
                    for (key, value) in step.program.read_map(context, &printed)? {
                        let value = decode(strategy.as_ref(), value)
                            .map_err(|why| TemplateError::Decode { key: key.clone(), why })?;
                        rendered.put(step.target, key, value);
                    }
                }
            }
        }
        Ok(rendered)
    }
}

impl Rendered {
    fn put(&mut self, target: Target, key: String, value: Vec<u8>) {
        match target {
            Target::Data => {
                self.data.insert(key, value);
            }
            Target::Labels => {
                self.labels.insert(key, to_text(&value));
            }
            Target::Annotations => {
                self.annotations.insert(key, to_text(&value));
            }
        }
    }
}

struct Compiler {
    functions: Functions,
    tokens_left: usize,
    bytes_left: usize,
    steps: Vec<Step>,
}

impl Compiler {
    fn from(&mut self, index: usize, from: &TemplateFrom, fetched: &Fetched) -> Result<(), TemplateError> {
        let target = target(from.target.as_deref())?;
        let strategy = &from.values_decoding_strategy;
        for (kind, source) in items_of(from) {
            let held = fetched.get(&(kind, source.name.clone()));
            for item in &source.items {
                let text = held.and_then(|held| held.get(&item.key)).ok_or_else(|| TemplateError::MissingKey {
                    kind,
                    name: source.name.clone(),
                    key: item.key.clone(),
                })?;
                let output = match &item.template_as {
                    None | Some(TemplateAs::Values) => Output::Value(item.key.clone()),
                    Some(TemplateAs::KeysAndValues) => Output::Map(strategy.clone()),
                    Some(TemplateAs::Unknown(scope)) => return Err(TemplateError::Scope(scope.clone())),
                };
                self.add(&item.key, text, kind == SourceKind::Secret, target, output)?;
            }
        }
        if let Some(literal) = &from.literal {
            let key = format!("templateFrom[{index}].literal");
            self.add(&key, literal.as_bytes(), false, target, Output::Map(strategy.clone()))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        key: &str,
        text: &[u8],
        is_secret: bool,
        target: Target,
        output: Output,
    ) -> Result<(), TemplateError> {
        let left = self.bytes_left.checked_sub(text.len());
        self.bytes_left = left.ok_or_else(|| {
            let limit = format!("the templates of the object are longer than {MAX_TEXT_BYTES} bytes together");
            TemplateError::Limit(limit)
        })?;
        let program = Program::parse(key, text, is_secret, &self.functions, &mut self.tokens_left)?;
        self.steps.push(Step { program, target, output });
        Ok(())
    }
}

/// What `templateFrom[].target` names, in any case.
fn target(name: Option<&str>) -> Result<Target, TemplateError> {
    let name = name.unwrap_or("Data");
    match name.to_lowercase().as_str() {
        "data" => Ok(Target::Data),
        "labels" => Ok(Target::Labels),
        "annotations" => Ok(Target::Annotations),
        _ => Err(TemplateError::Target(name.to_owned())),
    }
}

/// The digest of a template and of the texts that it takes from other objects.
fn id_of(template: &Template, fetched: &Fetched) -> TemplateId {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    add(&serde_json::to_vec(template).unwrap_or_default());
    for from in &template.template_from {
        for (kind, source) in items_of(from) {
            let held = fetched.get(&(kind, source.name.clone()));
            for item in &source.items {
                add(held.and_then(|held| held.get(&item.key)).map(Vec::as_slice).unwrap_or_default());
            }
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
