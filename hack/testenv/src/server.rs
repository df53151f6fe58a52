//! Which server holds the secrets of an environment.

use anyhow::Result;
use clap::ValueEnum;

use crate::tools::{Tool, Tools};

/// The server that holds the secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// HashiCorp Vault, which is built from its Go module.
    #[default]
    Vault,
    /// OpenBao, which comes as a program.
    #[value(name = "openbao")]
    OpenBao,
}

impl Server {
    /// The server to use where none is named: Vault where it is there already, else OpenBao, which needs no build.
    pub fn at_hand(tools: &Tools) -> Self {
        if tools.has(Tool::Vault) {
            return Self::Vault;
        }
        match tools.ensure(&[Tool::OpenBao]) {
            Ok(()) => Self::OpenBao,
            Err(error) => {
                eprintln!("testenv: no OpenBao, so Vault is built: {error:#}");
                Self::Vault
            }
        }
    }

    /// The server with this name, as an environment variable has it.
    pub fn named(name: &str) -> Result<Self> {
        Self::from_str(name, true).map_err(|_| anyhow::anyhow!("{name:?} is no server: `vault` or `openbao`"))
    }

    /// Its name in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vault => "Vault",
            Self::OpenBao => "OpenBao",
        }
    }

    /// Its command line, which is the same program.
    pub fn command(self) -> &'static str {
        self.tool().spec().binary
    }

    /// The program.
    pub fn tool(self) -> Tool {
        match self {
            Self::Vault => Tool::Vault,
            Self::OpenBao => Tool::OpenBao,
        }
    }

    /// Name of its process, and so of its log.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::OpenBao => "openbao",
        }
    }

    /// The variables from which its command line takes the address and the token.
    pub(crate) fn variables(self) -> [&'static str; 2] {
        match self {
            Self::Vault => ["VAULT_ADDR", "VAULT_TOKEN"],
            Self::OpenBao => ["BAO_ADDR", "BAO_TOKEN"],
        }
    }
}
