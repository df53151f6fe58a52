//! Keys and certificates that are made.

use core::net::IpAddr;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use super::key::{Curve, PrivateKey};
use super::pem;
use crate::gocompat::template::{CallError, Context};

/// What making a key costs: one of 2048 bits takes a tenth of a second, one of 4096 bits a second or several. An object
/// may have two of the latter.
const STEPS_OF_2048_BITS: u64 = 300_000;
const STEPS_OF_4096_BITS: u64 = 2_000_000;
const STEPS_OF_A_SIGNATURE: u64 = 10_000;

fn failed<E>(what: &'static str) -> impl FnOnce(E) -> CallError {
    move |_| CallError::new(what)
}

/// A new key of RSA.
pub(crate) fn rsa(ctx: &mut Context, bits: usize) -> Result<PrivateKey, CallError> {
    let (size, steps) =
        if bits > 2048 { (KeySize::Rsa4096, STEPS_OF_4096_BITS) } else { (KeySize::Rsa2048, STEPS_OF_2048_BITS) };
    ctx.step(steps)?;
    ctx.check_time()?;
    let error = "error generating rsa key";
    let pair = ctx.untimed(|| RsaKeyPair::generate(size)).map_err(failed(error))?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(failed(error))?;
    PrivateKey::pkcs8(pkcs8.as_ref()).ok_or_else(|| CallError::new(error))
}

/// A new key of the curve P-256.
pub(crate) fn ecdsa(ctx: &mut Context) -> Result<PrivateKey, CallError> {
    ctx.step(STEPS_OF_A_SIGNATURE)?;
    // All but about one of 2^32 numbers of 32 bytes are a scalar of the curve.
    for _ in 0..4 {
        let mut scalar = [0; 32];
        ctx.random(&mut scalar);
        if let Some(key) = PrivateKey::from_scalar(Curve::P256, &scalar) {
            return Ok(key);
        }
    }
    Err(CallError::new("failed to generate private key"))
}

/// A new key of Ed25519.
pub(crate) fn ed25519(ctx: &mut Context) -> PrivateKey {
    let mut seed = vec![0; 32];
    ctx.random(&mut seed);
    PrivateKey::Ed25519(seed)
}

/// What a certificate says.
pub(crate) struct Request<'r> {
    pub common_name: &'r str,
    pub addresses: Vec<IpAddr>,
    pub names: Vec<String>,
    pub days: i64,
    /// Whether it may sign others.
    pub is_authority: bool,
}

/// Who signs.
pub(crate) struct Authority {
    /// Its certificate.
    pub certificate: Vec<u8>,
    pub key: PrivateKey,
}

/// Signs a certificate for a key, with the key itself if there is no authority. As PEM.
pub(crate) fn certificate(
    ctx: &mut Context,
    request: &Request<'_>,
    key: &PrivateKey,
    authority: Option<&Authority>,
) -> Result<Vec<u8>, CallError> {
    ctx.step(STEPS_OF_A_SIGNATURE)?;
    ctx.check_time()?;
    let error = "error creating certificate";
    let params = params(ctx, request)?;
    let pair = pair(key)?;
    let certificate = match authority {
        None => params.self_signed(&pair),
        Some(authority) => {
            let der = CertificateDer::from(authority.certificate.as_slice());
            let signer = pair_of_authority(authority)?;
            let issuer = Issuer::from_ca_cert_der(&der, signer).map_err(failed("error parsing certificate"))?;
            params.signed_by(&pair, &issuer)
        }
    };
    Ok(pem::encode("CERTIFICATE", certificate.map_err(failed(error))?.der().to_vec()))
}

fn pair_of_authority(authority: &Authority) -> Result<KeyPair, CallError> {
    pair(&authority.key)
}

fn pair(key: &PrivateKey) -> Result<KeyPair, CallError> {
    let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8()));
    KeyPair::try_from(&pkcs8).map_err(failed("error creating certificate: the key cannot sign"))
}

fn params(ctx: &mut Context, request: &Request<'_>) -> Result<CertificateParams, CallError> {
    let mut serial = vec![0; 16];
    ctx.random(&mut serial);
    let now = ctx.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let range = "error creating certificate: its end is out of range";
    let now = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
    let now = now.ok_or_else(|| CallError::new(range))?;
    let end = request.days.checked_mul(86_400).and_then(|seconds| now.checked_add(Duration::seconds(seconds)));
    let end = end.filter(|end| (1950..=9999).contains(&end.year())).ok_or_else(|| CallError::new(range))?;
    let mut name = DistinguishedName::new();
    let printable = PrintableString::try_from(request.common_name);
    name.push(
        DnType::CommonName,
        printable.map_or_else(|_| DnValue::Utf8String(request.common_name.to_owned()), DnValue::PrintableString),
    );
    let mut params = CertificateParams::default();
    for host in &request.names {
        let host = host.as_str().try_into().map_err(failed("error creating certificate: a DNS name is not ASCII"))?;
        params.subject_alt_names.push(SanType::DnsName(host));
    }
    params.subject_alt_names.extend(request.addresses.iter().copied().map(SanType::IpAddress));
    params.serial_number = Some(SerialNumber::from(serial));
    params.distinguished_name = name;
    (params.not_before, params.not_after) = (now, end);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params.is_ca = IsCa::ExplicitNoCa;
    if request.is_authority {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    } else {
        params.use_authority_key_identifier_extension = true;
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gocompat::template::{Environment, Limits};

    #[test]
    fn a_key_may_take_longer_than_templates_and_is_counted_all_the_same() {
        let limits = Limits { time: std::time::Duration::from_millis(50), ..Limits::default() };
        let mut ctx = Context::new(&limits, &Environment::default());
        assert!(rsa(&mut ctx, 2048).is_ok());
        assert!(ctx.check_time().is_ok(), "the time of the key does not count");
        let mut ctx = Context::new(&Limits { steps: 5_000_000, ..Limits::default() }, &Environment::default());
        ctx.step(1_500_000).unwrap();
        assert!(rsa(&mut ctx, 4096).is_ok());
        assert!(rsa(&mut ctx, 4096).is_err_and(|error| error.is_limit()), "there are no steps left");
    }
}
