//! How the certificate of a Vault server is judged.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::Trust;

/// The settings of TLS for a trust. The error is for the condition of an object.
pub(super) fn client_config(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier { provider: provider.clone(), judge: Judge::new(trust, &provider)? };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    // The builder calls every verifier of one's own dangerous.
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    judge: Judge,
}

#[derive(Debug)]
enum Judge {
    /// `skipTLSVerify`.
    Skip,
    /// No certificate is trusted, since the system has no authorities.
    Nothing,
    /// By the chain; `given` are certificates that are trusted as they are.
    Chain { chain: Arc<WebPkiServerVerifier>, given: Vec<CertificateDer<'static>> },
}

impl Judge {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let given = match trust {
            Trust::InsecureSkipVerify => return Ok(Self::Skip),
            Trust::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                vec![]
            }
            Trust::Pem(pem) => {
                let unusable = || "no valid certificates found in CA cert data".to_owned();
                let given: Vec<_> =
                    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unusable())?;
                for certificate in &given {
                    roots.add(certificate.clone()).map_err(|_| unusable())?;
                }
                if given.is_empty() {
                    return Err(unusable());
                }
                given
            }
        };
        if roots.is_empty() {
            return Ok(Self::Nothing);
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let chain = builder.build().map_err(|error| error.to_string())?;
        Ok(Self::Chain { chain, given })
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
            // calls itself an authority, or the leaf without its authority. Dates and use of the certificate were looked
            // at before these errors; the name comes last.
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
