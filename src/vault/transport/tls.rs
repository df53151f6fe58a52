//! How the certificate of a Vault server is judged.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret as _;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::{ClientCertificate, Trust};

/// TLS of one server.
#[derive(Clone)]
pub(super) struct Tls {
    authorities: SystemAuthorities,
    own: Option<Arc<Identity>>,
    /// Made by the first connection that needs the authorities of the system: plain HTTP needs none.
    connector: Arc<OnceCell<TlsConnector>>,
}

impl Tls {
    /// For a trust, and what is shown to the server. The error is for the condition of an object.
    pub fn new(trust: &Trust, own: Option<&ClientCertificate>, authorities: SystemAuthorities) -> Result<Self, String> {
        let own = own.map(Identity::of).transpose()?.map(Arc::new);
        let connector = match trust {
            Trust::System => None,
            Trust::InsecureSkipVerify => Some(Verifier::new(Judge::Skip)),
            Trust::Pem(pem) => Some(Verifier::of_pem(pem)?),
        };
        let connector = connector.map(|verifier| tls_connector(Arc::new(verifier), own.as_deref())).transpose()?;
        Ok(Self { authorities, own, connector: Arc::new(OnceCell::new_with(connector)) })
    }

    /// What makes a connection a secure one.
    pub async fn connector(&self) -> Result<&TlsConnector, String> {
        let connector = || async { tls_connector(self.authorities.verifier().await?, self.own.as_deref()) };
        self.connector.get_or_try_init(connector).await
    }
}

/// The certificate authorities of the operating system. They are read once, and not on a thread that others wait for.
#[derive(Clone, Default)]
pub(super) struct SystemAuthorities(Arc<OnceCell<Arc<Verifier>>>);

impl SystemAuthorities {
    #[cfg(test)]
    pub fn are_read(&self) -> bool {
        self.0.initialized()
    }

    pub async fn verifier(&self) -> Result<Arc<Verifier>, String> {
        let load = || async {
            let loaded = tokio::task::spawn_blocking(|| {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Verifier::of_roots(roots, vec![])
            });
            loaded.await.map_err(|error| error.to_string())?.map(Arc::new)
        };
        self.0.get_or_try_init(load).await.cloned()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A client certificate, parsed.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn of(certificate: &ClientCertificate) -> Result<Self, String> {
        let ClientCertificate { chain, key } = certificate;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().unwrap_or_default();
        if chain.is_empty() {
            return Err("the client certificate is not one in PEM".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret());
        let key = key.map_err(|_| "the key of the client certificate is not one in PEM".to_owned())?;
        Ok(Self { chain, key })
    }
}

fn tls_connector(verifier: Arc<Verifier>, own: Option<&Identity>) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    // The builder calls every verifier of one's own dangerous.
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(Identity { chain, key }) => config
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| format!("the client certificate and its key do not fit: {error}"))?,
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    judge: Judge,
}

#[derive(Debug)]
enum Judge {
    /// `skipTLSVerify`.
    Skip,
    /// No certificate is trusted, since the system has no authorities.
    Nothing,
    /// The chain is verified; `given` are certificates that are trusted as they are.
    Chain { chain: Arc<WebPkiServerVerifier>, given: Vec<CertificateDer<'static>> },
}

impl Verifier {
    fn new(judge: Judge) -> Self {
        Self { provider: provider(), judge }
    }

    fn of_pem(pem: &[u8]) -> Result<Self, String> {
        let unusable = || "no valid certificates found in CA cert data".to_owned();
        let given: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unusable())?;
        let mut roots = RootCertStore::empty();
        for certificate in &given {
            roots.add(certificate.clone()).map_err(|_| unusable())?;
        }
        if given.is_empty() { Err(unusable()) } else { Self::of_roots(roots, given) }
    }

    fn of_roots(roots: RootCertStore, given: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        if roots.is_empty() {
            return Ok(Self::new(Judge::Nothing));
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let chain = builder.build().map_err(|error| error.to_string())?;
        Ok(Self::new(Judge::Chain { chain, given }))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (chain, given) = match &self.judge {
            Judge::Skip => return Ok(ServerCertVerified::assertion()),
            Judge::Nothing => return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            Judge::Chain { chain, given } => (chain, given),
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // As Go does, a certificate is trusted that is itself among those that were given: a self-signed one, which
            // calls itself an authority, or the leaf without its authority. Dates and use of the certificate were
            // looked at before these errors; the name comes last.
            Err(error) if no_authority(&error) && given.iter().any(|given| given == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate itself is in order, and only nothing vouches for it.
fn no_authority(error: &Error) -> bool {
    match error {
        // Another authority can have the name of the one that signed it.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    }
}
