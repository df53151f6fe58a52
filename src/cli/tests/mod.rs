#![allow(clippy::expect_used)]

mod accepted;
mod rejected;

use super::{CliError, Env, Invocation, parse};
use crate::settings::Settings;

fn invoke(args: &[&str], variables: &[(&str, &str)]) -> Result<Invocation, CliError> {
    let mut all = vec!["vault-secrets-operator".to_owned()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(&all, &Env { variables: variables.collect(), mounted_namespace: None })
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> Settings {
    match invoke(args, variables) {
        Ok(Invocation::Run(settings)) => *settings,
        other => panic!("{args:?} {variables:?}: {other:?}"),
    }
}
