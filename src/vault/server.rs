//! One Vault server: its transport, and what the last requests have shown of its health.
//!
//! [`Circuit`] is a circuit breaker. While it is closed, requests are sent. While it is open, they fail at once with
//! the error that opened it: a thousand objects do not hammer a Vault that is sealed, and each of them can still say
//! why it waits. When the pause is over it is half-open: one request is sent, which closes it or opens it for a longer
//! pause.

use std::time::{Duration, Instant};

use http::Response;
use parking_lot::Mutex;
use rustify::endpoint::Endpoint;
use rustify::enums::RequestMethod;
use tokio::sync::mpsc;

use super::json;
use super::request::{Envelope, RawRequest, classify};
use super::seal_status::{SealStatus, ServerVersion};
use super::transport::{Connection, Opened, RequestOptions, ServerConfig, SharedResources, Socket, Transport};
use super::{ErrorKind, VaultError};
use crate::telemetry::{ConnectionMetrics, Operation};

/// Identifies a server by the content of its configuration.
pub type ServerId = u64;

/// So many failures in a row open the circuit; a sealed Vault says so itself.
const FAILURES_TO_OPEN: u32 = 3;
/// The circuit is open for this long at first, and for twice as long after each failure of a request that was let
/// through. No longer than objects may wait once another node is active.
const MIN_OPEN_TIME: Duration = Duration::from_secs(1);
const MAX_OPEN_TIME: Duration = Duration::from_secs(5);

/// One Vault server.
pub struct Server {
    /// Hash of the configuration.
    pub id: ServerId,
    transport: Transport,
    circuit: Mutex<Circuit>,
    /// What the last probe has shown.
    version: Mutex<Option<ServerVersion>>,
    /// Told the id each time the server goes down or comes back.
    changed: mpsc::UnboundedSender<ServerId>,
    metrics: ConnectionMetrics,
}

/// Whether requests are sent.
#[derive(Debug)]
enum Circuit {
    /// They are. `failures` of the last ones showed a server that is down; the last one that did not ended at
    /// `answered`.
    Closed { failures: u32, answered: Option<Instant> },
    /// They are not, because of `error`. From `half_open_at` on one is.
    Open { error: VaultError, half_open_at: Instant, open_time: Duration },
}

/// What a probe has found.
#[derive(Debug)]
pub enum Probe {
    /// Vault or OpenBao.
    SealStatus(SealStatus),
    /// The server answers and knows no seal status: it serves a part of Vault's API, and reads show its health.
    NoSealStatus,
}

impl Server {
    /// Builds the connection pool; nothing is sent.
    pub fn new(
        config: &ServerConfig,
        shared: &SharedResources,
        changed: mpsc::UnboundedSender<ServerId>,
        metrics: ConnectionMetrics,
    ) -> Result<Self, VaultError> {
        let digest = config.digest();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Ok(Self {
            id: u64::from_be_bytes(id),
            transport: Transport::new(config, shared)?,
            circuit: Mutex::new(Circuit::Closed { failures: 0, answered: None }),
            version: Mutex::default(),
            changed,
            metrics,
        })
    }

    /// Sends a request unless the server is known to be down, and learns from the answer.
    pub(super) async fn send<E: Endpoint>(
        &self,
        endpoint: E,
        call: &RequestOptions<'_>,
    ) -> Result<Envelope, VaultError> {
        Ok(self.send_for_body(endpoint, call).await?.0)
    }

    /// Sends like [`Server::send`], and gives the body as well, as it was sent.
    pub(super) async fn send_for_body<E: Endpoint>(
        &self,
        endpoint: E,
        call: &RequestOptions<'_>,
    ) -> Result<(Envelope, Vec<u8>), VaultError> {
        let path = endpoint.path().trim_matches(['\t', '/']).to_owned();
        self.check_circuit(&path)?;
        let (operation, eso_name) = (operation(endpoint.method(), &path), eso_name(&endpoint.method(), &path));
        let started = Instant::now();
        let result = match self.transport.ask(&endpoint, &path, call).await {
            Ok(response) => classify_and_judge(&path, &response)
                .map(|envelope| (envelope, response.into_body()))
                .map_err(|error| error.in_namespace(call.namespace)),
            Err(error) => Err(error),
        };
        self.metrics.sent(operation, eso_name, result.is_ok(), started.elapsed());
        self.record(started, result.as_ref().err());
        result
    }

    /// Opens a websocket unless the server is known to be down, and learns from the answer.
    pub(super) async fn open(&self, path: &str, query: &str, call: &RequestOptions<'_>) -> Result<Socket, VaultError> {
        self.check_circuit(path)?;
        let started = Instant::now();
        let result = match self.transport.open(path, query, call).await {
            Ok(Opened::Socket(socket)) => Ok(*socket),
            Ok(Opened::Answer(answer)) => Err(match classify_and_judge(path, &answer) {
                Ok(_) => VaultError::new(ErrorKind::Protocol, path, "the answer is no websocket"),
                Err(error) => error.in_namespace(call.namespace),
            }),
            Err(error) => Err(error),
        };
        self.record(started, result.as_ref().err());
        result
    }

    /// Asks for the seal status, whatever is known of the server's health, and learns from the answer.
    pub async fn probe(&self) -> Result<Probe, VaultError> {
        const PATH: &str = "sys/seal-status";
        let started = Instant::now();
        let result = match self.transport.ask(&RawRequest::get(PATH), PATH, &RequestOptions::default()).await {
            Err(error) => Err(error),
            Ok(response) if response.status() == http::StatusCode::NOT_FOUND => Ok(Probe::NoSealStatus),
            Ok(response) if !response.status().is_success() => Err(classify_and_judge(PATH, &response)
                .err()
                .unwrap_or_else(|| VaultError::new(ErrorKind::Protocol, PATH, "no seal status"))),
            Ok(response) => json::parse_as(response.body())
                .inspect(|status: &SealStatus| {
                    if status.sealed {
                        give_up_connection(&response);
                    }
                })
                .map(Probe::SealStatus)
                .map_err(|_| {
                    VaultError::new(ErrorKind::Protocol, PATH, "the answer is not a seal status; is this a Vault?")
                }),
        };
        if let Ok(Probe::SealStatus(status)) = &result {
            *self.version.lock() = Some(ServerVersion::of(status));
        }
        match &result {
            Ok(Probe::SealStatus(status)) if status.sealed => {
                self.record(started, Some(&VaultError::new(ErrorKind::Sealed, PATH, "")));
            }
            // It shows a server that is up, not one that serves: a standby without a leader and a secondary answer as
            // well.
            Ok(_) if self.last_error().is_some_and(|e| e.kind == ErrorKind::Unavailable) => {}
            other => self.record(started, other.as_ref().err()),
        }
        result
    }

    /// Learns that a run was ended after so long, and with it the request that it waited for. It says something of the
    /// server only if no other request was answered since the run began. True if one was.
    pub fn timed_out(&self, after: Duration) -> bool {
        let now = Instant::now();
        let began = now.checked_sub(after).unwrap_or(now);
        let has_answered = self.circuit.lock().has_answered_since(began);
        let error = VaultError::new(ErrorKind::TimedOut, "", format!("no answer within {after:?}: timed out"));
        self.record(began, Some(&error));
        has_answered
    }

    /// Which server it is, if a probe has shown it.
    pub fn version(&self) -> Option<ServerVersion> {
        self.version.lock().clone()
    }

    /// The error that shows the server to be down, if it is.
    pub fn last_error(&self) -> Option<VaultError> {
        match &*self.circuit.lock() {
            Circuit::Closed { .. } => None,
            Circuit::Open { error, .. } => Some(error.clone()),
        }
    }

    /// Fails as a request now would fail without having been sent. Where the circuit is half-open, the caller is the
    /// one whose request is sent.
    pub(super) fn check_circuit(&self, path: &str) -> Result<(), VaultError> {
        let mut circuit = self.circuit.lock();
        let Circuit::Open { error, half_open_at, open_time } = &mut *circuit else { return Ok(()) };
        let now = Instant::now();
        if now < *half_open_at {
            return Err(VaultError { path: path.to_owned(), ..error.clone() });
        }
        *half_open_at = now + *open_time;
        Ok(())
    }

    /// Learns from the outcome of a request that was sent at `started`.
    fn record(&self, started: Instant, error: Option<&VaultError>) {
        let mut circuit = self.circuit.lock();
        let was_open = matches!(*circuit, Circuit::Open { .. });
        let now = Instant::now();
        let answered_since = circuit.has_answered_since(started);
        match error {
            // Another request was answered meanwhile: this one alone takes so long.
            Some(error) if error.kind == ErrorKind::TimedOut && answered_since => {}
            Some(error) if error.kind == ErrorKind::TimedOut || error.kind.concerns_server() => {
                circuit.fail(error, now);
            }
            _ => *circuit = Circuit::Closed { failures: 0, answered: Some(now) },
        }
        if was_open != matches!(*circuit, Circuit::Open { .. }) {
            // The receiver lives as long as the process; a closed channel means that it is ending.
            let _ = self.changed.send(self.id);
        }
    }
}

impl Circuit {
    fn has_answered_since(&self, began: Instant) -> bool {
        matches!(self, Self::Closed { answered: Some(at), .. } if *at >= began)
    }

    fn fail(&mut self, error: &VaultError, now: Instant) {
        // No request is answered in time, so it is the server that does not answer.
        let kind = if error.kind == ErrorKind::TimedOut { ErrorKind::Unreachable } else { error.kind };
        let shown = VaultError { kind, ..error.clone() };
        match self {
            Self::Closed { failures, .. } if kind != ErrorKind::Sealed && *failures + 1 < FAILURES_TO_OPEN => {
                *failures += 1
            }
            Self::Closed { .. } => {
                let open_time = error.retry_after.unwrap_or(MIN_OPEN_TIME);
                *self = Self::Open { error: shown, half_open_at: now + open_time, open_time };
            }
            Self::Open { error: known, half_open_at, open_time } => {
                *open_time = error.retry_after.unwrap_or((*open_time * 2).min(MAX_OPEN_TIME));
                *half_open_at = now + *open_time;
                *known = shown;
            }
        }
    }
}

/// Classifies an answer, and gives up the connection to a node that cannot serve: the next request may reach another
/// one.
fn classify_and_judge(path: &str, response: &Response<Vec<u8>>) -> Result<Envelope, VaultError> {
    let result = classify(path, response);
    if result.as_ref().is_err_and(|error| error.kind.concerns_node()) {
        give_up_connection(response);
    }
    result
}

fn give_up_connection(response: &Response<Vec<u8>>) {
    if let Some(connection) = response.extensions().get::<Connection>() {
        connection.give_up();
    }
}

fn operation(method: RequestMethod, path: &str) -> Operation {
    match path {
        "auth/token/renew-self" => Operation::Renew,
        _ if path.starts_with("auth/") && path.ends_with("/login") => Operation::Login,
        _ if matches!(method, RequestMethod::GET) => Operation::Read,
        _ => Operation::Write,
    }
}

/// ESO's name of a request.
fn eso_name(method: &RequestMethod, path: &str) -> &'static str {
    match (method, path) {
        (_, "auth/token/lookup-self") => "LookupSelf",
        (_, "auth/token/renew-self") => "RenewSelf",
        (_, path) if path.starts_with("auth/") && path.contains("/login") => "Login",
        (RequestMethod::LIST, _) => "ListSecrets",
        (RequestMethod::GET | RequestMethod::HEAD, _) => "ReadSecretData",
        (RequestMethod::DELETE, _) => "DeleteSecret",
        _ => "WriteSecretData",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::telemetry::Metrics;
    use crate::vault::Trust;

    fn server() -> (Server, mpsc::UnboundedReceiver<ServerId>) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = ServerConfig {
            address: "http://127.0.0.1:1".into(),
            trust: Trust::System,
            tls_server_name: None,
            client_certificate: None,
            headers: vec![],
            timeout: None,
        };
        let (changed, changes) = mpsc::unbounded_channel();
        let metrics = Metrics::new(&Settings::default()).unwrap();
        (
            Server::new(&config, &SharedResources::default(), changed, metrics.client.of_connection("ns/c")).unwrap(),
            changes,
        )
    }

    fn fail(server: &Server, kind: ErrorKind) {
        server.record(Instant::now(), Some(&VaultError::new(kind, "p", "")));
    }

    #[test]
    fn three_failures_of_the_server_in_a_row_show_it_to_be_down() {
        let (server, mut changes) = server();
        for _ in 0..2 {
            fail(&server, ErrorKind::Unreachable);
            fail(&server, ErrorKind::Unreachable);
            assert!(server.check_circuit("p").is_ok());
            server.record(Instant::now(), None);
        }
        (0..3).for_each(|_| fail(&server, ErrorKind::Unreachable));
        assert!(server.check_circuit("q").is_err());
        assert_eq!(changes.try_recv().ok(), Some(server.id));
        server.record(Instant::now(), None);
        assert!(server.check_circuit("p").is_ok());
        assert_eq!(changes.try_recv().ok(), Some(server.id));
    }

    #[test]
    fn what_fails_for_one_path_says_nothing_of_the_server() {
        let (server, mut changes) = server();
        for kind in [
            ErrorKind::InternalError,
            ErrorKind::StaleReplica,
            ErrorKind::NamespaceNotServed,
            ErrorKind::Throttled,
            ErrorKind::PermissionDenied,
            ErrorKind::NotFound,
            ErrorKind::Invalid,
        ] {
            (0..5).for_each(|_| fail(&server, kind));
        }
        assert!(server.last_error().is_none() && changes.try_recv().is_err());
    }

    #[test]
    fn a_sealed_vault_is_down_at_once() {
        let (server, _changes) = server();
        fail(&server, ErrorKind::Sealed);
        assert!(server.check_circuit("p").is_err());
    }

    #[test]
    fn runs_that_took_too_long_show_a_server_that_answers_nothing() {
        let (server, mut changes) = server();
        let after = Duration::from_millis(50);
        server.record(Instant::now(), None);
        (0..5).for_each(|_| assert!(server.timed_out(after)));
        assert!(server.check_circuit("p").is_ok() && changes.try_recv().is_err(), "it has answered meanwhile");
        std::thread::sleep(2 * after);
        (0..3).for_each(|_| assert!(!server.timed_out(after)));
        assert_eq!(server.check_circuit("p").unwrap_err().kind, ErrorKind::Unreachable);
        assert_eq!(changes.try_recv().ok(), Some(server.id));
    }

    #[test]
    fn a_request_that_alone_takes_too_long_says_nothing_of_the_server() {
        let (server, mut changes) = server();
        let started = Instant::now();
        let late = VaultError::new(ErrorKind::TimedOut, "database/creds/x", "");
        server.record(Instant::now(), None);
        (0..32).for_each(|_| server.record(started, Some(&late)));
        assert!(server.check_circuit("p").is_ok() && changes.try_recv().is_err());
        // Since the last answer nothing was answered in time.
        let started = Instant::now() + Duration::from_millis(1);
        (0..3).for_each(|_| server.record(started, Some(&late)));
        assert_eq!(server.check_circuit("p").unwrap_err().kind, ErrorKind::Unreachable);
    }
}
