//! Private keys in the forms PKCS#1, PKCS#8 and SEC 1.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};

use super::der::{self, INTEGER, NULL, OBJECT, OCTETS, Reader, context};
use super::pem;

/// `rsaEncryption`
pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// `id-ecPublicKey`
pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// `id-Ed25519`
pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A curve of NIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub fn object(self) -> &'static [u8] {
        match self {
            Curve::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Curve::P384 => &[0x2b, 0x81, 0x04, 0x00, 0x22],
            Curve::P521 => &[0x2b, 0x81, 0x04, 0x00, 0x23],
        }
    }

    fn from_object(object: &[u8]) -> Option<Curve> {
        [Curve::P256, Curve::P384, Curve::P521].into_iter().find(|curve| curve.object() == object)
    }

    /// Bytes of a coordinate.
    pub fn size(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    fn algorithm(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Curve::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
        }
    }
}

/// A private key.
pub(crate) enum PrivateKey {
    /// Its PKCS#1.
    Rsa(Vec<u8>),
    /// Scalar and point, both as long as the curve has them.
    Ec { curve: Curve, scalar: Vec<u8>, point: Vec<u8> },
    /// The seed.
    Ed25519(Vec<u8>),
}

impl PrivateKey {
    /// In whichever form it is.
    pub fn parse(der: &[u8]) -> Option<PrivateKey> {
        PrivateKey::pkcs1(der).or_else(|| PrivateKey::pkcs8(der)).or_else(|| PrivateKey::sec1(der, None))
    }

    /// A block of PEM, by the kind that it says, or why it has no key.
    pub fn from_pem(text: &[u8]) -> Result<PrivateKey, &'static str> {
        let (block, _) = pem::decode(text).ok_or("no PEM data in input")?;
        match block.kind.as_slice() {
            b"PRIVATE KEY" => PrivateKey::pkcs8(&block.bytes).ok_or("decoding PEM as PKCS#8: the key is not usable"),
            b"RSA PRIVATE KEY" => {
                PrivateKey::pkcs1(&block.bytes).ok_or("parsing RSA private key from PEM: the key is not usable")
            }
            b"EC PRIVATE KEY" => {
                PrivateKey::sec1(&block.bytes, None).ok_or("parsing EC private key from PEM: the key is not usable")
            }
            kind if kind.ends_with(b" PRIVATE KEY") => Err("the type of private key is not supported"),
            _ => Err("no private key data in PEM block"),
        }
    }

    fn pkcs1(der: &[u8]) -> Option<PrivateKey> {
        let mut outer = Reader::new(der);
        let mut key = outer.sequence()?;
        if !outer.is_empty() || key.number()? != 0 {
            return None;
        }
        for _ in 0..8 {
            key.take(INTEGER)?;
        }
        key.is_empty().then(|| PrivateKey::Rsa(der.to_vec()))
    }

    /// PKCS#8.
    pub fn pkcs8(der: &[u8]) -> Option<PrivateKey> {
        let mut key = Reader::new(der).sequence()?;
        key.number()?;
        let mut algorithm = key.sequence()?;
        let content = key.take(OCTETS)?;
        match algorithm.take(OBJECT)? {
            RSA => PrivateKey::pkcs1(content),
            EC => PrivateKey::sec1(content, Some(Curve::from_object(algorithm.take(OBJECT)?)?)),
            ED25519 => {
                let seed = Reader::new(content).take(OCTETS)?;
                (seed.len() == 32).then(|| PrivateKey::Ed25519(seed.to_vec()))
            }
            _ => None,
        }
    }

    fn sec1(der: &[u8], curve: Option<Curve>) -> Option<PrivateKey> {
        let mut outer = Reader::new(der);
        let mut key = outer.sequence()?;
        if !outer.is_empty() || key.number()? != 1 {
            return None;
        }
        let scalar = key.take(OCTETS)?;
        let named = key.take(context(0)).and_then(|named| Curve::from_object(Reader::new(named).take(OBJECT)?));
        PrivateKey::from_scalar(curve.or(named)?, scalar)
    }

    /// The key with this scalar.
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Option<PrivateKey> {
        let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
        let digits = &scalar[zeros..];
        let mut scalar = vec![0; curve.size().checked_sub(digits.len())?];
        scalar.extend_from_slice(digits);
        let named = der::element(context(0), &[&der::element(OBJECT, &[curve.object()])]);
        let sec1 = der::sequence(&[&der::integer(&[1]), &der::element(OCTETS, &[&scalar]), &named]);
        let pair = EcdsaKeyPair::from_private_key_der(curve.algorithm(), &sec1).ok()?;
        Some(PrivateKey::Ec { curve, scalar, point: pair.public_key().as_ref().to_vec() })
    }

    /// As `x509.MarshalPKCS8PrivateKey` writes it.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        let (algorithm, key) = match self {
            PrivateKey::Rsa(pkcs1) => (algorithm(RSA, &der::element(NULL, &[])), pkcs1.clone()),
            PrivateKey::Ec { curve, scalar, point } => {
                let curve = der::element(OBJECT, &[curve.object()]);
                (algorithm(EC, &curve), sec1(scalar, point, &[]))
            }
            PrivateKey::Ed25519(seed) => (algorithm(ED25519, &[]), der::element(OCTETS, &[seed])),
        };
        der::sequence(&[&der::integer(&[0]), &algorithm, &der::element(OCTETS, &[&key])])
    }

    /// As sprig writes it: each kind of key in a form of its own.
    pub fn to_pem(&self) -> Vec<u8> {
        match self {
            PrivateKey::Rsa(pkcs1) => pem::encode("RSA PRIVATE KEY", pkcs1.clone()),
            PrivateKey::Ec { curve, scalar, point } => {
                let named = der::element(context(0), &[&der::element(OBJECT, &[curve.object()])]);
                pem::encode("EC PRIVATE KEY", sec1(scalar, point, &named))
            }
            PrivateKey::Ed25519(_) => pem::encode("PRIVATE KEY", self.to_pkcs8()),
        }
    }
}

/// An `AlgorithmIdentifier`.
pub(crate) fn algorithm(object: &[u8], parameters: &[u8]) -> Vec<u8> {
    der::sequence(&[&der::element(OBJECT, &[object]), parameters])
}

fn sec1(scalar: &[u8], point: &[u8], named: &[u8]) -> Vec<u8> {
    let point = der::element(context(1), &[&der::bits(point)]);
    der::sequence(&[&der::integer(&[1]), &der::element(OCTETS, &[scalar]), named, &point])
}
