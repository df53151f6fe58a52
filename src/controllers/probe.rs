//! Probes of Vault servers: one at a time for each, shared by all connections that lead to the server.

use std::time::{Duration, Instant};

use crate::backoff::{Backoff, Policy, horizon};
use crate::vault::{Probe, Server, ServerVersion};

/// A Vault that answers is asked this often whether it still does, and the authority that its certificate has to be
/// from is read again. Requests of objects show trouble before that.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// One that does not is asked more often: this is how recovery is noticed. As patient as requests of objects get.
const FAILED_PROBE_PAUSES: Policy = Policy {
    initial: Duration::from_secs(2),
    max: Duration::from_secs(5),
    multiplier: 1.5,
    randomization: 0.1,
    max_elapsed: Duration::ZERO,
};

/// What there is to know of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Unsealed and answering.
    Up(ServerVersion),
    /// The server answers, and has no seal status to tell.
    NoSealStatus,
    /// The connection is right, but this Vault serves nothing now.
    Sealed(String),
    /// Unsealed, but requests are not served.
    Unavailable(String),
    /// The client cannot be built from the object.
    NoClient(String),
    /// It does not answer as a Vault does.
    NoAnswer(String),
}

impl Finding {
    /// Whether requests can be expected to work.
    pub fn is_up(&self) -> bool {
        matches!(self, Finding::Up(_) | Finding::NoSealStatus)
    }
}

/// What the last probe of a server has found.
#[derive(Default)]
pub(crate) struct SharedProbe {
    /// Held during a probe: all that ask meanwhile get its result.
    last: tokio::sync::Mutex<Option<Last>>,
    failures: parking_lot::Mutex<Backoff>,
}

struct Last {
    finding: Finding,
    next: Instant,
    /// Whether requests were failed at once after it.
    down: bool,
}

impl SharedProbe {
    /// What is known of the server, and when there is more to know: from a probe now, if the last one is old, or if
    /// requests have shown since that the server has come or gone.
    pub async fn look(&self, server: &Server) -> (Finding, Instant) {
        let mut last = self.last.lock().await;
        let down = || server.last_error().is_some();
        if let Some(known) = last.as_ref().filter(|known| Instant::now() < known.next && known.down == down()) {
            return (known.finding.clone(), known.next);
        }
        let finding = probe(server).await;
        let next = Instant::now() + self.pause(&finding);
        *last = Some(Last { finding: finding.clone(), next, down: down() });
        (finding, next)
    }

    fn pause(&self, finding: &Finding) -> Duration {
        let mut failures = self.failures.lock();
        if finding.is_up() {
            failures.reset();
            return horizon(PROBE_INTERVAL, &mut rand::rng());
        }
        failures.next(&FAILED_PROBE_PAUSES, Instant::now(), &mut rand::rng()).unwrap_or(FAILED_PROBE_PAUSES.max)
    }
}

async fn probe(server: &Server) -> Finding {
    match server.probe().await {
        Ok(Probe::SealStatus(status)) if !status.initialized => Finding::Sealed("Vault is not initialized".into()),
        Ok(Probe::SealStatus(status)) if status.sealed => Finding::Sealed("Vault is sealed".into()),
        Ok(found) => match (server.last_error(), found) {
            (Some(error), _) => Finding::Unavailable(error.message),
            (None, Probe::SealStatus(status)) => Finding::Up(ServerVersion::of(&status)),
            (None, Probe::NoSealStatus) => Finding::NoSealStatus,
        },
        Err(error) => Finding::NoAnswer(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::settings::Settings;
    use crate::telemetry::Metrics;
    use crate::vault::{ServerConfig, SharedResources, Trust};

    /// A server that counts requests and answers each after a while.
    async fn vault(answer: &'static str) -> (Server, Arc<AtomicUsize>) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        let (trust, timeout) = (Trust::System, Some(Duration::from_secs(10)));
        let config =
            ServerConfig { address, trust, tls_server_name: None, client_certificate: None, headers: vec![], timeout };
        let metrics = Metrics::new(&Settings::default()).unwrap();
        let (changed, _) = tokio::sync::mpsc::unbounded_channel();
        (
            Server::new(&config, &SharedResources::default(), changed, metrics.client.of_connection("ns/c")).unwrap(),
            requests,
        )
    }

    const UNSEALED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 35\r\nConnection: close\r\n\r\n\
                            {\"initialized\":true,\"sealed\":false}";
    const NO_VAULT: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn connections_to_one_server_share_its_probe() {
        for (answer, up) in [(UNSEALED, true), (NO_VAULT, false)] {
            let (server, requests) = vault(answer).await;
            let probe = SharedProbe::default();
            let looks = futures_util::future::join_all((0..150).map(|_| probe.look(&server))).await;
            assert!(looks.iter().all(|look| *look == looks[0] && look.0.is_up() == up), "{:?}", looks[0]);
            assert_eq!(requests.load(Ordering::Relaxed), 1);
            let pause = looks[0].1.saturating_duration_since(Instant::now());
            assert_eq!(pause > FAILED_PROBE_PAUSES.max, up, "a server that is down is asked more often");
        }
    }
}
