//! The certificate of the metrics endpoint: one from files, read again when they change, or one that signs itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// `tls.crt` and `tls.key` of a directory, where a Secret of type `kubernetes.io/tls` is mounted.
#[derive(Debug)]
pub(super) struct Certificate {
    dir: Option<PathBuf>,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    pem: [Vec<u8>; 2],
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads the certificate of a directory, or makes one that signs itself.
    pub fn load(dir: Option<PathBuf>) -> Result<Self, String> {
        let pem = match &dir {
            Some(dir) => read(dir)?,
            None => self_signed().map_err(|e| format!("a certificate for metrics could not be made: {e}"))?,
        };
        let key = parse(&pem)?;
        Ok(Self { dir, current: RwLock::new(Current { pem, key }) })
    }

    /// Looks whether the files have changed. One that cannot be used is not: the old one stays.
    pub fn refresh(&self) -> Result<(), String> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let pem = read(dir)?;
        if self.current.read().pem == pem {
            return Ok(());
        }
        let key = parse(&pem)?;
        *self.current.write() = Current { pem, key };
        tracing::info!(dir = %dir.display(), "the certificate for metrics has changed");
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().key.clone())
    }
}

fn read(dir: &Path) -> Result<[Vec<u8>; 2], String> {
    let file = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(|e| format!("--metrics-cert-path: {} cannot be read: {e}", path.display()))
    };
    Ok([file("tls.crt")?, file("tls.key")?])
}

fn parse([chain, key]: &[Vec<u8>; 2]) -> Result<Arc<CertifiedKey>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("--metrics-cert-path: tls.crt holds no certificates: {e}"))?;
    // The parser's own message is left out: it might quote the key.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "--metrics-cert-path: tls.key holds no private key in PEM form".to_owned())?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|e| format!("--metrics-cert-path: tls.crt and tls.key cannot be used: {e}"))
}

fn self_signed() -> Result<[Vec<u8>; 2], rcgen::Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    Ok([made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_certificate_is_used_and_a_broken_one_is_not() {
        let dir = std::env::temp_dir().join(format!("vso-certificate-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |[chain, key]: &[Vec<u8>; 2]| {
            std::fs::write(dir.join("tls.crt"), chain).unwrap();
            std::fs::write(dir.join("tls.key"), key).unwrap();
        };
        let (first, second) = (self_signed().unwrap(), self_signed().unwrap());
        write(&first);
        let certificate = Certificate::load(Some(dir.clone())).unwrap();
        let shown = || certificate.current.read().key.cert[0].clone();
        let before = shown();
        write(&second);
        certificate.refresh().unwrap();
        let after = shown();
        assert_ne!(before, after);
        write(&[first[0].clone(), b"nothing".to_vec()]);
        assert!(certificate.refresh().is_err());
        assert_eq!(shown(), after);
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(Certificate::load(Some(dir)).unwrap_err().contains("tls.crt"));
    }
}
