//! The program: reads its command line and environment, does what they say, and tells by its exit code how it went.

#![warn(clippy::expect_used, clippy::unwrap_used)]

use std::process::ExitCode;

use vso::api::crd;
use vso::cli::{self, Invocation};
use vso::version::VERSION;
use vso::{commands, operator, telemetry};

fn main() -> ExitCode {
    // First of all: every TLS connection takes the one provider that is installed here.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("vault-secrets-operator: the TLS provider could not be installed");
        return ExitCode::FAILURE;
    }
    match cli::parse(&cli::args(), &cli::Env::of_process()) {
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
        Ok(invocation) => match start(invocation) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("vault-secrets-operator: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

fn start(invocation: Invocation) -> Result<(), Error> {
    match invocation {
        Invocation::Print(text) => print!("{text}"),
        Invocation::Version(output) => println!("{}", output.render(&VERSION)),
        Invocation::Crds { dir, external_secrets } => {
            let definitions = if external_secrets { crd::external_secrets() } else { crd::all() };
            match dir {
                Some(dir) => crd::write_dir(&definitions, &dir)?,
                None => crd::print(&definitions, &mut std::io::stdout())?,
            }
        }
        Invocation::UpgradeCrds { settings, timeout } => once(commands::upgrade_crds(&settings, timeout))?,
        Invocation::Uninstall { settings, timeout } => once(commands::uninstall(&settings, timeout))?,
        Invocation::Run(settings) => {
            telemetry::init_log(settings.log)?;
            let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
            // On a worker: woken from there, it does not cost a switch of threads.
            let result = runtime.block_on(runtime.spawn(operator::run(*settings)));
            // Nobody waits for a name that is still being resolved.
            runtime.shutdown_background();
            result??;
        }
    }
    Ok(())
}

/// Runs what needs no threads.
fn once(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
