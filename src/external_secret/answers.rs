//! What the stores have answered to all that an ExternalSecret names.

use super::Data;
use super::pipeline::{Assembly, Missing, PipelineError};
use super::template::KeyTemplates;
use crate::api::external_secrets::ExternalSecretSpec;
use crate::api::external_secrets::remote::RemoteRef;
use crate::gocompat::template::{Context, Environment, Limits};

/// What these look for may be anywhere in a document.
const SEARCHES: [char; 4] = ['#', '*', '?', '|'];
/// So many values are made without a turn.
const QUICK_ANSWERS: usize = 100;

/// What is still to be made of the secret that a store has answered. It may take as long as its limits let it.
pub struct Answer<T>(Make<T>);

type Make<T> = Box<dyn FnOnce(&mut Context) -> Result<T, String> + Send>;

impl<T: Send + 'static> Answer<T> {
    /// It is made by this, or the text says why it cannot be made.
    pub fn new(make: impl FnOnce(&mut Context) -> Result<T, String> + Send + 'static) -> Self {
        Self(Box::new(make))
    }

    /// It is made.
    pub fn ready(value: T) -> Self {
        Self::new(|_| Ok(value))
    }
}

/// Of each entry of `dataFrom` and each row of `data`, in their order. `None`: the store has no such secret.
#[derive(Default)]
pub struct Answers {
    /// Of `dataFrom`.
    pub entries: Vec<Option<Answer<Data>>>,
    /// Of `data`.
    pub rows: Vec<Option<Answer<Vec<u8>>>>,
}

impl Answers {
    /// Whether it takes no time worth mentioning to make the data of answers that are small.
    pub fn is_quick(&self, spec: &ExternalSecretSpec) -> bool {
        let is_plain = |remote: &RemoteRef| !remote.property.as_deref().is_some_and(|p| p.contains(SEARCHES));
        self.rows.len() + self.entries.len() <= QUICK_ANSWERS
            && spec.data.iter().all(|row| is_plain(&row.remote_ref))
            && spec.data_from.iter().all(|e| e.rewrite.is_empty() && e.extract.as_ref().is_none_or(is_plain))
    }

    /// The data of the Secret, and which secrets are not in the stores. Values are made one after the other, so that no
    /// more than one is there beside those that the Secret gets.
    ///
    /// # Errors
    /// The first entry or row that gives no data.
    pub fn assemble(self, spec: &ExternalSecretSpec) -> Result<(Data, Vec<Missing>), PipelineError> {
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let mut templates = KeyTemplates::default();
        let mut transform = |context: &mut Context, text: &str, key: &str| templates.transform(context, text, key);
        let mut assembly = Assembly::new(spec);
        for (index, entry) in self.entries.into_iter().enumerate() {
            let made = entry.map(|answer| (answer.0)(&mut context)).transpose();
            assembly.add_entry(&mut context, &mut transform, index, made)?;
        }
        for (index, row) in self.rows.into_iter().enumerate() {
            let made = row.map(|answer| (answer.0)(&mut context)).transpose();
            let made = made.and_then(|value| counted(&mut context, value));
            assembly.add_row(index, made)?;
        }
        Ok(assembly.finish())
    }
}

/// A value is copied, decoded and looked at.
fn counted(context: &mut Context, value: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, String> {
    let counted = context.step_bytes(value.as_ref().map_or(0, Vec::len));
    counted.map_err(|error| error.shown().to_owned())?;
    Ok(value)
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
