//! Commands, flags and environment variables.
//!
//! Flags are read as Go's `flag` package reads them, with one dash or two, because that is what existing manifests
//! hold. Of flag and variable the variable wins.

mod flag;
mod flags;
mod go_flags;
mod sources;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgMatches, FromArgMatches, Subcommand};

use crate::settings::{Pod, Settings};
use crate::version::Version;
use flag::{Flag, Variable};
use flags::FLAGS;
use sources::{Origin, Source};

const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const UPGRADE_CRDS: &str = "upgrade-crds";
const UPGRADE_TIMEOUT_VARIABLE: &str = "VSO_UPGRADE_CRDS_TIMEOUT";
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(30);
const OUTPUT_VARIABLE: &str = "VSO_OUTPUT_FORMAT";

/// What the program was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// Serve the custom resources.
    Run(Box<Settings>),
    /// Print the definitions of the custom resources, or write them to a directory.
    Crds {
        /// The directory.
        dir: Option<PathBuf>,
        /// Those of `external-secrets.io` instead of VSO's.
        external_secrets: bool,
    },
    /// Bring the definitions of the custom resources up to date.
    UpgradeCrds {
        /// How to reach the API server.
        settings: Box<Settings>,
        /// How long to wait until they are served.
        timeout: Duration,
    },
    /// Take the finalizers off all objects.
    Uninstall {
        /// How to reach the API server, and which namespaces are concerned.
        settings: Box<Settings>,
        /// When to give up.
        timeout: Duration,
    },
    /// Say which build this is.
    Version(Output),
    /// Print this text: help, or what the settings are.
    Print(String),
}

/// How to print what a command has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// One line for people.
    #[default]
    Text,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl Output {
    /// A build, in this form.
    #[must_use]
    pub fn render(self, version: &Version) -> String {
        match self {
            Self::Text => format!("{} {}", version.git_version, version.platform),
            // Neither can fail for a struct of texts.
            Self::Yaml => serde_saphyr::to_string(version).unwrap_or_default().trim_end().to_owned(),
            Self::Json => serde_json::to_string_pretty(version).unwrap_or_default(),
        }
    }
}

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// A variable is wrong.
    #[error("Failed to process environment variable options: {variable}: invalid value {value:?}: {reason}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// An output format that does not exist.
    #[error("--output should be either 'yaml' or 'json'")]
    Output,
}

impl CliError {
    /// The exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Variable { .. } | Self::Output => 1,
        }
    }
}

/// What is read besides the arguments. Passed in, so that [`parse`] depends on nothing else.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// The environment variables.
    pub variables: HashMap<String, String>,
    /// The namespace that Kubernetes mounts into each pod.
    pub mounted_namespace: Option<String>,
}

impl Env {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self {
            variables: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
            mounted_namespace: std::fs::read_to_string(NAMESPACE_FILE).ok(),
        }
    }

    /// The value of a variable. One that is empty is not set: that is what a chart value left blank ends up as.
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The arguments of this process.
#[must_use]
pub fn args() -> Vec<String> {
    std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the custom resources. This is also what happens without a command.
    Run,
    /// Print the definitions of the custom resources.
    Crds {
        /// Write them to this directory, one file each, instead.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Those of external-secrets.io instead, for clusters without ESO.
        #[arg(long)]
        external_secrets: bool,
    },
    /// Apply the definitions of the custom resources that this build has, and wait until they are served. The chart's
    /// pre-upgrade hook. Also what happens if the program is called upgrade-crds.
    UpgradeCrds,
    /// Take the finalizers off all objects in all namespaces. The chart's pre-delete hook; also --uninstall.
    Uninstall,
    /// Print the settings in effect, and where each of them comes from.
    Config,
    /// Say which build this is.
    Version {
        /// yaml or json [env: VSO_OUTPUT_FORMAT]
        #[arg(long, value_name = "FORMAT")]
        output: Option<String>,
    },
}

/// Reads the command line, `args[0]` being the name of the program, and the environment.
///
/// # Errors
/// If something in there is unknown or malformed; the error says what would be right.
pub fn parse(args: &[String], env: &Env) -> Result<Invocation, CliError> {
    let mut args = go_flags::normalize(args);
    // A link in the image, which VSO's pre-upgrade hook runs.
    if args.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == UPGRADE_CRDS)) {
        args.insert(1, UPGRADE_CRDS.to_owned());
    }
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Invocation::Print(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    if matches.get_one::<bool>("version") == Some(&true) {
        return Ok(Invocation::Version(output(matches.get_one::<String>("output"), env)?));
    }
    let command = match matches.subcommand_name() {
        Some(_) => Command::from_arg_matches(&matches)?,
        None if matches.get_one::<bool>("uninstall") == Some(&true) => Command::Uninstall,
        None => Command::Run,
    };
    Ok(match command {
        Command::Run => Invocation::Run(Box::new(settings(&matches, env)?.0)),
        Command::Config => Invocation::Print(sources::table(&settings(&matches, env)?)),
        Command::UpgradeCrds => {
            Invocation::UpgradeCrds { settings: Box::new(settings(&matches, env)?.0), timeout: upgrade_timeout(env)? }
        }
        Command::Uninstall => {
            let settings = settings(&matches, env)?.0;
            Invocation::Uninstall { timeout: settings.uninstall_timeout, settings: Box::new(settings) }
        }
        Command::Crds { dir, external_secrets } => Invocation::Crds { dir, external_secrets },
        Command::Version { output: format } => Invocation::Version(output(format.as_ref(), env)?),
    })
}

fn command() -> clap::Command {
    let command = clap::Command::new("vault-secrets-operator")
        .about(
            "Keeps Kubernetes Secrets equal to what Vault or OpenBao holds, and restarts the workloads that use them",
        )
        .args_override_self(true)
        .arg(switch(
            Arg::new("version").long("version").value_parser(values::boolean).help("Say which build this is, and exit"),
        ))
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FORMAT")
                .help(format!("With --version: yaml or json [env: {OUTPUT_VARIABLE}]")),
        )
        .arg(switch(
            Arg::new("uninstall")
                .long("uninstall")
                .value_parser(values::boolean)
                .help("The same as the command uninstall"),
        ))
        .args(FLAGS.iter().map(arg));
    Command::augment_subcommands(command)
        .mut_subcommand("run", with_flags)
        .mut_subcommand("config", with_flags)
        .mut_subcommand("uninstall", with_flags)
        .mut_subcommand(UPGRADE_CRDS, with_flags)
        .disable_help_subcommand(true)
}

fn with_flags(command: clap::Command) -> clap::Command {
    command.args_override_self(true).args(FLAGS.iter().map(arg))
}

fn upgrade_timeout(env: &Env) -> Result<Duration, CliError> {
    let Some(text) = env.get(UPGRADE_TIMEOUT_VARIABLE) else { return Ok(UPGRADE_TIMEOUT) };
    values::positive(text).map_err(|reason| CliError::Variable {
        variable: UPGRADE_TIMEOUT_VARIABLE,
        value: text.to_owned(),
        reason,
    })
}

fn arg(flag: &'static Flag) -> Arg {
    let mut help = flag.help.to_owned();
    if let Some(variable) = flag.variable.name() {
        help += &format!(" [env: {variable}]");
    }
    if !flag.default.is_empty() {
        help += &format!(" [default: {}]", flag.default);
    }
    let check = move |text: &str| (flag.apply)(&mut Settings::default(), text).map(|()| text.to_owned());
    let arg = Arg::new(flag.name).long(flag.name).help(help).value_parser(check);
    if flag.is_switch() { switch(arg) } else { arg.value_name(flag.value) }
}

/// A switch can be turned off only with `=`, since what follows it is not its value.
fn switch(arg: Arg) -> Arg {
    arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL")
}

fn output(flag: Option<&String>, env: &Env) -> Result<Output, CliError> {
    match env.get(OUTPUT_VARIABLE).or(flag.map(String::as_str)).unwrap_or_default() {
        "" => Ok(Output::Text),
        "yaml" => Ok(Output::Yaml),
        "json" => Ok(Output::Json),
        _ => Err(CliError::Output),
    }
}

/// The settings, and where those that have a flag come from.
fn settings(matches: &ArgMatches, env: &Env) -> Result<(Settings, Vec<Source>), CliError> {
    let owned = |name| env.get(name).map(str::to_owned);
    let mut settings = Settings {
        operator_namespace: Settings::operator_namespace(
            env.mounted_namespace.as_deref(),
            env.get("OPERATOR_NAMESPACE"),
        ),
        pod: Pod { name: owned("OPERATOR_POD_NAME"), uid: owned("OPERATOR_POD_UID") },
        ..Settings::default()
    };
    let mut sources = Vec::new();
    let given = [Some(matches), matches.subcommand().map(|(_, run)| run)];
    // In the order of the table, not of the command line: some rows set the defaults of those below them.
    for flag in FLAGS {
        let mut source = Source { flag, value: flag.default.to_owned(), from: Origin::Default };
        let from_env = |variable, text: &str, settings: &mut Settings| {
            (flag.apply)(settings, text).map_err(|reason| CliError::Variable {
                variable,
                value: text.to_owned(),
                reason,
            })
        };
        if let Variable::Switch(name) = flag.variable
            && env.get(name).is_some()
        {
            from_env(name, "true", &mut settings)?;
            source.is("true", Origin::Variable(name));
        }
        for text in given.iter().flatten().filter_map(|m| m.get_one::<String>(flag.name)) {
            // Clap has called the same function already, so this does not fail.
            (flag.apply)(&mut settings, text)
                .map_err(|reason| command().error(clap::error::ErrorKind::InvalidValue, reason))?;
            source.is(text, Origin::Flag);
        }
        match (flag.variable, flag.variable.name().and_then(|name| env.get(name))) {
            (Variable::Wins(name), Some(text)) => {
                from_env(name, text, &mut settings)?;
                source.is(text, Origin::Variable(name));
            }
            (Variable::WinsUnlessZero(name), Some(text)) if !values::is_zero(text) => {
                from_env(name, text, &mut settings)?;
                source.is(text, Origin::Variable(name));
            }
            _ => {}
        }
        sources.push(source);
    }
    Ok((settings, sources))
}
