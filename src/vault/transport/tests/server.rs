//! A small server with or without TLS: it answers every request with what the test says, and remembers what it got.

use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A certificate with its key.
pub struct Identity {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
    params: CertificateParams,
}

impl Identity {
    /// For the names, changed by `change`, signed by itself or by an authority.
    pub fn new(names: &[&str], issuer: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, if issuer.is_some() { "leaf" } else { "root" });
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            None => params.self_signed(&key),
            Some(issuer) => params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)),
        };
        Self { certificate: certificate.unwrap(), key, params }
    }

    pub fn authority(names: &[&str]) -> Self {
        Self::new(names, None, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    pub fn pem(&self) -> Vec<u8> {
        self.certificate.pem().into_bytes()
    }

    fn tls(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![self.certificate.der().clone()];
        Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

/// What a server got.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Names of SNI, one for each connection that has one.
    pub names: Vec<String>,
    /// Heads of requests.
    pub requests: Vec<String>,
}

pub struct Server {
    pub port: u16,
    pub seen: Arc<Mutex<Seen>>,
}

/// Starts a server; it ends with the runtime. Each request is answered with `answer`, or not at all if that is empty.
pub async fn serve(identity: Option<&Identity>, answer: &str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let (tls, answer) = (identity.map(Identity::tls), answer.to_owned());
    let notes = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, answer, seen) = (tls.clone(), answer.clone(), notes.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else { return converse(stream, &answer, &seen).await };
                let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else { return };
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                seen.lock().names.extend(name);
                converse(stream, &answer, &seen).await;
            });
        }
    });
    Server { port, seen }
}

/// A proxy that leads every tunnel to one port of this machine.
pub async fn serve_tunnels(to: u16) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let notes = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let head = head(&mut client).await.unwrap_or_default();
            notes.lock().requests.push(head);
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    Server { port, seen }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, seen: &Mutex<Seen>) {
    while let Some(head) = head(&mut stream).await {
        seen.lock().requests.push(head);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        let _ = stream.flush().await;
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.ok()?));
    }
    Some(head)
}
