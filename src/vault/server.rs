//! One Vault server: its transport, and what the last requests have shown of its health.
//!
//! While a server is known to be down, requests fail at once with the error that showed it, but for one probe at a time:
//! a thousand objects do not hammer a Vault that is sealed, and each of them can still say why it waits.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustify::endpoint::Endpoint;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::request::{Any, Envelope, classify};
use super::transport::{Call, ServerConfig, Transport};
use super::{Fault, VaultError};

/// Identifies a server by the content of its configuration.
pub type ServerId = u64;

/// So many failures in a row show that a server is down; a sealed Vault says so itself.
const FAILURES_TO_OPEN: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// One Vault server.
pub struct Server {
    /// Hash of the configuration.
    pub id: ServerId,
    transport: Transport,
    health: Mutex<Health>,
    /// Told the id each time the server goes down or comes back.
    changed: mpsc::UnboundedSender<ServerId>,
}

#[derive(Debug)]
enum Health {
    Up { failures: u32 },
    Down { error: VaultError, probe_at: Instant, pause: Duration },
}

/// The answer of `sys/seal-status`, which needs no token.
#[derive(Debug, Deserialize)]
pub struct SealStatus {
    /// False before `vault operator init`.
    #[serde(default)]
    pub initialized: bool,
    /// True while the root key is not in memory.
    #[serde(default)]
    pub sealed: bool,
    /// Version of Vault or OpenBao.
    #[serde(default)]
    pub version: String,
}

impl Server {
    /// Builds the connection pool; nothing is sent.
    pub fn new(config: &ServerConfig, changed: mpsc::UnboundedSender<ServerId>) -> Result<Self, VaultError> {
        let digest = config.digest();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Ok(Self {
            id: u64::from_be_bytes(id),
            transport: Transport::new(config)?,
            health: Mutex::new(Health::Up { failures: 0 }),
            changed,
        })
    }

    /// Sends a request unless the server is known to be down, and learns from the answer.
    pub(super) async fn send<E: Endpoint>(&self, endpoint: E, call: &Call<'_>) -> Result<Envelope, VaultError> {
        let path = endpoint.path().trim_matches(['\t', '/']).to_owned();
        self.admit(&path)?;
        let result = match self.transport.ask(endpoint, call).await {
            Ok(response) => classify(&path, &response),
            Err(error) => Err(error),
        };
        self.learn(result.as_ref().err());
        result
    }

    /// Asks for the seal status, whatever is known of the server's health, and learns from the answer.
    pub async fn probe(&self) -> Result<SealStatus, VaultError> {
        const PATH: &str = "sys/seal-status";
        let result = match self.transport.ask(Any::get(PATH), &Call::default()).await {
            Err(error) => Err(error),
            Ok(response) if !response.status().is_success() => Err(classify(PATH, &response)
                .err()
                .unwrap_or_else(|| VaultError::new(Fault::Protocol, PATH, "no seal status"))),
            Ok(response) => serde_json::from_slice::<SealStatus>(response.body()).map_err(|_| {
                VaultError::new(Fault::Protocol, PATH, "the answer is not a seal status; is this a Vault?")
            }),
        };
        match &result {
            Ok(status) if status.sealed => self.learn(Some(&VaultError::new(Fault::Sealed, PATH, ""))),
            other => self.learn(other.as_ref().err()),
        }
        result
    }

    /// The error that shows the server to be down, if it is.
    pub fn down(&self) -> Option<VaultError> {
        match &*self.lock() {
            Health::Up { .. } => None,
            Health::Down { error, .. } => Some(error.clone()),
        }
    }

    /// Whether a request would be sent now; the error that shows the server to be down if not.
    pub(super) fn admits(&self, path: &str) -> Result<(), VaultError> {
        match &*self.lock() {
            Health::Down { error, probe_at, .. } if Instant::now() < *probe_at => {
                Err(VaultError { path: path.to_owned(), ..error.clone() })
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Like [`Server::admits`], and takes the turn of the probe if the server is down and one is due.
    fn admit(&self, path: &str) -> Result<(), VaultError> {
        self.admits(path)?;
        if let Health::Down { probe_at, pause, .. } = &mut *self.lock() {
            *probe_at = Instant::now() + *pause;
        }
        Ok(())
    }

    fn learn(&self, error: Option<&VaultError>) {
        let mut health = self.lock();
        let was_down = matches!(*health, Health::Down { .. });
        match error.filter(|e| e.fault.concerns_server()) {
            None => *health = Health::Up { failures: 0 },
            Some(error) => {
                let now = Instant::now();
                match &mut *health {
                    Health::Up { failures } if error.fault != Fault::Sealed && *failures + 1 < FAILURES_TO_OPEN => {
                        *failures += 1
                    }
                    Health::Up { .. } => {
                        let pause = error.retry_after.unwrap_or(FIRST_PAUSE);
                        *health = Health::Down { error: error.clone(), probe_at: now + pause, pause };
                    }
                    Health::Down { error: known, probe_at, pause } => {
                        *pause = error.retry_after.unwrap_or((*pause * 2).min(LONGEST_PAUSE));
                        *probe_at = now + *pause;
                        *known = error.clone();
                    }
                }
            }
        }
        if was_down != matches!(*health, Health::Down { .. }) {
            // The receiver lives as long as the process; a closed channel means that it is ending.
            let _ = self.changed.send(self.id);
        }
    }
}
