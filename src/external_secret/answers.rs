//! What the stores have answered to all that an ExternalSecret names.

use super::Data;
use super::pipeline::{Assembly, Missing, PipelineError};
use super::template::KeyTemplates;
use crate::api::external_secrets::ExternalSecretSpec;
use crate::gocompat::template::{Context, Environment, Limits};

/// Of each entry of `dataFrom` and each row of `data`, in their order. `None`: the store has no such secret.
#[derive(Default)]
pub struct Answers {
    /// Of `dataFrom`.
    pub entries: Vec<Option<Data>>,
    /// Of `data`.
    pub rows: Vec<Option<Vec<u8>>>,
}

impl Answers {
    /// The data of the Secret, and which secrets are not in the stores.
    ///
    /// # Errors
    /// The first entry or row that gives no data.
    pub fn assemble(self, spec: &ExternalSecretSpec) -> Result<(Data, Vec<Missing>), PipelineError> {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let mut templates = KeyTemplates::default();
        let mut transform = |context: &mut Context, text: &str, key: &str| templates.transform(context, text, key);
        let mut assembly = Assembly::new(spec);
        for (index, entry) in self.entries.into_iter().enumerate() {
            assembly.add_entry(&mut context, &mut transform, index, Ok(entry))?;
        }
        for (index, row) in self.rows.into_iter().enumerate() {
            assembly.add_row(index, Ok(row))?;
        }
        Ok(assembly.finish())
    }
}

/// What is told of an entry of `dataFrom` that a store gives no data for.
pub fn entry_failed(spec: &ExternalSecretSpec, index: usize, why: String) -> String {
    let mut context = Context::new(&Limits::default(), &Environment::default());
    let mut transform = |_: &mut Context, _: &str, key: &str| Ok(key.to_owned());
    let failed = Assembly::new(spec).add_entry(&mut context, &mut transform, index, Err(why.clone()));
    failed.err().map_or(why, |error| error.to_string())
}

/// What is told of a row of `data` that a store gives no value for.
pub fn row_failed(spec: &ExternalSecretSpec, index: usize, why: String) -> String {
    Assembly::new(spec).add_row(index, Err(why.clone())).err().map_or(why, |error| error.to_string())
}
