//! `testenv`: environments for people. See the library for what they are made of.

#![warn(clippy::expect_used, clippy::unwrap_used)]

use std::io::{IsTerminal, stderr};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use testenv::demo::Demo;
use testenv::{Cluster, Environment, Options, Server, Skip, Tool, Tools, VaultStorage};

/// Name of an environment that is given none.
const DEFAULT: &str = "default";
/// The same, for the demonstration.
const DEMO: &str = "demo";

/// A real control plane, a real node and a real Vault or OpenBao on this machine.
#[derive(Parser)]
#[command(name = "testenv", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Name {
    /// Name of the environment.
    #[arg(long, default_value = DEFAULT)]
    name: String,
}

#[derive(Subcommand)]
enum Command {
    /// Start an environment and say how to use it.
    Up {
        #[command(flatten)]
        name: Name,
        /// With a real node (kubelet and containerd) in namespaces of their own. Needs root on Linux.
        #[arg(long)]
        node: bool,
        /// What holds the secrets. Without it: Vault where it is there already, else OpenBao, which needs no build.
        #[arg(long, value_enum)]
        server: Option<Server>,
        /// Where it keeps them.
        #[arg(long, value_enum, default_value_t = Storage::Memory)]
        vault: Storage,
        /// A version of Vault with an event stream.
        #[arg(long, conflicts_with = "server")]
        vault_events: bool,
    },
    /// End an environment and remove all it has left.
    Down {
        /// Name of the environment. Without it: those that `up` and `demo` start when no name is given.
        #[arg(long)]
        name: Option<String>,
    },
    /// Say what runs in an environment and how to use it.
    Status {
        #[command(flatten)]
        name: Name,
    },
    /// Name all environments.
    List,
    /// Run a command in an environment: `testenv exec -- kubectl get pods -A`.
    Exec {
        #[command(flatten)]
        name: Name,
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Give the node of an environment an image from an OCI archive.
    Import {
        #[command(flatten)]
        name: Name,
        /// Path of the archive.
        archive: std::path::PathBuf,
    },
    /// Show the operator at work: on a real node, or without one, or on the cluster of DEMO_KUBECONFIG.
    Demo {
        /// Name of the environment.
        #[arg(long, default_value = DEMO)]
        name: String,
        /// The control plane alone, with the operator as a process, even where a node could run.
        #[arg(long)]
        without_node: bool,
    },
    /// Unpack or build all programs that are missing.
    Build {
        /// Also those that only some tests need, and skip without: OpenBao, PostgreSQL, and two Vaults with an event
        /// stream.
        #[arg(long)]
        optional: bool,
    },
    /// Fail unless a server is there, and need not be unpacked or built.
    Has {
        /// The server.
        server: Server,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Storage {
    /// In memory, unsealed from the start; a restart forgets everything.
    Memory,
    /// Integrated storage; can be sealed and restarted.
    Raft,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) if error.downcast_ref::<Skip>().is_some() => {
            eprintln!("testenv: skipped: {error:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("testenv: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up { name, node, server, vault, vault_events } => {
            let tools = Tools::default();
            let server = match server {
                Some(server) => server,
                None if vault_events => Server::Vault,
                None => Server::at_hand(&tools),
            };
            let vault = match vault {
                Storage::Memory => VaultStorage::Memory,
                Storage::Raft => VaultStorage::Raft,
            };
            tools.ensure(&[Tool::Helm])?;
            let name = Some(name.name);
            let vault_events = vault_events.then_some(Tool::VaultEvents);
            up(Options { name, node, server, vault, vault_events, keep_failed: true, kube_audit_log: None })?;
        }
        Command::Down { name: Some(name) } => down(&name)?,
        Command::Down { name: None } => {
            down(DEFAULT)?;
            down(DEMO)?;
        }
        Command::Status { name } => return status(&name.name),
        Command::List => {
            for name in testenv::list()? {
                println!("{name:<20} {}", state(&name));
            }
        }
        Command::Exec { name, command } => {
            let environment = Environment::load(&name.name)?;
            let Some((program, arguments)) = command.split_first() else {
                bail!("no command");
            };
            // Replaces this process; only a failure returns.
            return Err(environment.command(program).args(arguments).exec().into());
        }
        Command::Import { name, archive } => Environment::load(&name.name)?.import_image(&archive)?,
        Command::Demo { name, without_node } => {
            let demo = Demo { name, without_node, binary: None, keep: true };
            demo.run()?;
        }
        Command::Build { optional } => {
            let tools = Tools::default();
            tools.ensure(&Tool::ALL)?;
            if optional {
                let (available, others): (Vec<_>, Vec<_>) =
                    Tool::OPTIONAL.into_iter().partition(|tool| tools.is_available(*tool));
                for tool in others {
                    eprintln!("testenv: no {tool:?}: this machine has no apt-get, and none is on PATH");
                }
                tools.ensure(&available)?;
            }
        }
        Command::Has { server } => {
            if !Tools::default().has(server.tool()) {
                bail!("no {}; `cargo testenv build --optional` gets all servers", server.name());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(options: Options) -> Result<()> {
    let started = Instant::now();
    let environment = Cluster::start(options)?.detach()?;
    let (name, server) = (environment.name(), environment.server().name());
    eprintln!("testenv: {name:?} is up, with {server}, after {:.1} s", started.elapsed().as_secs_f32());
    explain(&environment);
    Ok(())
}

/// What a person needs; on standard output only what a shell may `eval`.
fn explain(environment: &Environment) {
    let name = environment.name();
    if environment.has_node() {
        eprintln!(
            "It has a network of its own. To run something in it:\n  \
             cargo testenv exec --name {name} -- kubectl get pods --all-namespaces\n  \
             cargo testenv exec --name {name} -- sh"
        );
    } else {
        for (variable, value) in environment.variables() {
            let value = match variable {
                "PATH" => format!("{}:$PATH", environment.dir().join("bin").display()),
                _ => value,
            };
            println!("export {variable}=\"{value}\"");
        }
        if std::io::stdout().is_terminal() {
            eprintln!("To set these in your shell: eval \"$(cargo testenv status --name {name})\"");
        }
    }
    if stderr().is_terminal() || environment.has_node() {
        eprintln!("Logs: {}", environment.dir().join("logs").display());
        eprintln!("To end it: cargo testenv down --name {name}");
    }
}

fn down(name: &str) -> Result<()> {
    match testenv::down(name)? {
        true => eprintln!("testenv: {name:?} is gone"),
        false => eprintln!("testenv: there is no environment {name:?}"),
    }
    Ok(())
}

fn status(name: &str) -> Result<ExitCode> {
    let environment = Environment::load(name)?;
    for (service, pid) in environment.services() {
        match pid {
            Some(pid) => eprintln!("{service:<26} pid {pid}"),
            None => eprintln!("{service:<26} not running; see {}/logs/{service}.log", environment.dir().display()),
        }
    }
    explain(&environment);
    Ok(if environment.is_up() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn state(name: &str) -> &'static str {
    match Environment::load(name) {
        Ok(environment) if environment.is_up() && environment.has_node() => "up, with a node",
        Ok(environment) if environment.is_up() => "up",
        Ok(_) => "some of its processes have ended",
        Err(_) => "starting, or left over",
    }
}
