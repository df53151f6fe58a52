use futures_util::StreamExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use crate::vault::session::{CredentialError, CredentialProvider, Proof, ProvidedToken, TokenSource};
use crate::vault::{Server, ServerConfig, SharedResources, Trust};

struct Provider;

#[async_trait::async_trait]
impl CredentialProvider for Provider {
    fn login_path(&self) -> Option<String> {
        None
    }

    async fn proof(&self) -> Result<Proof, CredentialError> {
        Ok(Proof::Token(ProvidedToken { secret: "t".into(), credential_uid: "u".into(), location: "a file".into() }))
    }
}

fn session(port: u16) -> Arc<Session> {
    let config = ServerConfig {
        address: format!("http://127.0.0.1:{port}"),
        trust: Trust::System,
        tls_server_name: None,
        client_certificate: None,
        headers: vec![],
        timeout: None,
    };
    let metrics = Metrics::new(&Settings::default()).unwrap().client.of_connection("ns/c");
    let server =
        Arc::new(Server::new(&config, &SharedResources::default(), mpsc::unbounded_channel().0, metrics).unwrap());
    let source = TokenSource { provider: Box::new(Provider), store: None };
    Arc::new(Session::new(Identity([0; 32]), server, source, HOUR))
}

/// A pause that no test waits for.
const HOUR: Policy = Policy {
    initial: Duration::from_secs(3600),
    max: Duration::from_secs(3600),
    multiplier: 1.0,
    randomization: 0.0,
    max_elapsed: Duration::ZERO,
};

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_at_once_and_then_with_back_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (signals, mut told) = mpsc::channel(16);
    let streams = EventStreams::new(signals, HOUR);
    streams.start();
    let stream = streams.stream(&session(port), "", Topic::Kv).unwrap();
    for _ in 0..2 {
        let (socket, _) = listener.accept().await.unwrap();
        let socket = tokio_tungstenite::accept_async(socket).await.unwrap();
        assert!(matches!(told.recv().await, Some(Signal::Started(_))), "all that was missed is read");
        drop(socket);
    }
    // It is no good connection: the next attempt has to wait.
    tokio::time::timeout(Duration::from_secs(2), listener.accept()).await.expect_err("it waits");
    assert!(matches!(stream.state(), StreamState::Connecting));
    // Until there is a reason.
    stream.retry();
    let (socket, _) = listener.accept().await.unwrap();
    let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
    drop(stream);
    assert!(socket.next().await.is_none_or(|message| message.is_err()), "no object holds the stream");
}
