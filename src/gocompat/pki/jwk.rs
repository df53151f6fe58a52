//! JSON Web Keys (RFC 7517) as PEM.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use num_bigint::BigUint;
use serde_json::{Map, Value};

use super::der;
use super::key::{Curve, EC, ED25519, PrivateKey, RSA, algorithm};
use super::pem;

/// Most bytes of a number of an RSA key: what is computed with them grows with the cube.
const MAX_NUMBER_BYTES: usize = 1024;

/// Longest text of a key: what its JSON takes in memory is many times as much.
const MAX_JWK_BYTES: usize = 32 << 10;

const UNSUPPORTED: &str = "the JWK has a type of key that is not supported";
const INCOMPLETE: &str = "the JWK lacks a member, or one has a value that is not allowed";

/// With and without padding.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    general_purpose::GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A JWK.
struct Jwk(Map<String, Value>);

impl Jwk {
    fn parse(json: &[u8]) -> Result<Jwk, &'static str> {
        if json.len() > MAX_JWK_BYTES {
            return Err("the JWK is too long");
        }
        match serde_json::from_slice(json) {
            Ok(Value::Object(members)) => Ok(Jwk(members)),
            _ => Err("failed to unmarshal JWK: it is not a JSON object"),
        }
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn is_private(&self) -> bool {
        self.0.contains_key("d")
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, &'static str> {
        let text = self.0.get(name).and_then(Value::as_str).ok_or(INCOMPLETE)?;
        let bytes = BASE64URL.decode(text).or_else(|_| BASE64.decode(text)).map_err(|_| INCOMPLETE)?;
        if bytes.is_empty() || bytes.len() > MAX_NUMBER_BYTES {
            return Err(INCOMPLETE);
        }
        Ok(bytes)
    }

    fn curve(&self) -> Result<Curve, &'static str> {
        match self.text("crv") {
            "P-256" => Ok(Curve::P256),
            "P-384" => Ok(Curve::P384),
            "P-521" => Ok(Curve::P521),
            _ => Err(UNSUPPORTED),
        }
    }

    /// The point, as long as the curve has it and on the curve.
    fn point(&self, curve: Curve) -> Result<Vec<u8>, &'static str> {
        let mut point = vec![4];
        for name in ["x", "y"] {
            let coordinate = self.bytes(name)?;
            let padding = curve.size().checked_sub(coordinate.len()).ok_or(INCOMPLETE)?;
            point.extend(std::iter::repeat_n(0, padding));
            point.extend(coordinate);
        }
        let checked = match curve {
            Curve::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &point),
            Curve::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &point),
            Curve::P521 => ParsedPublicKey::new(&ECDSA_P521_SHA512_ASN1, &point),
        };
        checked.map(|_| point).map_err(|_| "x509: invalid elliptic curve public key")
    }
}

/// A public key as PKIX.
pub(crate) fn public_pem(json: &[u8]) -> Result<Vec<u8>, &'static str> {
    let jwk = Jwk::parse(json)?;
    if jwk.is_private() {
        return Err("x509: unsupported public key type: the JWK is a private key");
    }
    let (algorithm, key) = match jwk.text("kty") {
        "RSA" => {
            let (n, e) = (der::integer(&jwk.bytes("n")?), der::integer(&jwk.bytes("e")?));
            (algorithm(RSA, &der::element(der::NULL, &[])), der::sequence(&[&n, &e]))
        }
        "EC" => {
            let curve = jwk.curve()?;
            (algorithm(EC, &der::element(der::OBJECT, &[curve.object()])), jwk.point(curve)?)
        }
        "OKP" if jwk.text("crv") == "Ed25519" => {
            let key = jwk.bytes("x")?;
            if key.len() != 32 {
                return Err(INCOMPLETE);
            }
            (algorithm(ED25519, &[]), key)
        }
        _ => return Err(UNSUPPORTED),
    };
    Ok(pem::encode("PUBLIC KEY", der::sequence(&[&algorithm, &der::bits(&key)])))
}

/// A private key as PKCS#8.
pub(crate) fn private_pem(json: &[u8]) -> Result<Vec<u8>, &'static str> {
    let jwk = Jwk::parse(json)?;
    if !jwk.is_private() {
        return Err("x509: unknown key type while marshaling PKCS#8: the JWK is no private key");
    }
    let key = match jwk.text("kty") {
        "RSA" => PrivateKey::Rsa(rsa(&jwk)?),
        "EC" => {
            let curve = jwk.curve()?;
            let point = jwk.point(curve)?;
            let key = PrivateKey::from_scalar(curve, &jwk.bytes("d")?).ok_or(INCOMPLETE)?;
            match key {
                PrivateKey::Ec { curve, scalar, .. } => PrivateKey::Ec { curve, scalar, point },
                other => other,
            }
        }
        "OKP" if jwk.text("crv") == "Ed25519" => {
            let seed = jwk.bytes("d")?;
            let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_and_public_key(&seed, &jwk.bytes("x")?);
            pair.map_err(|_| "invalid x value given d value")?;
            PrivateKey::Ed25519(seed)
        }
        _ => return Err(UNSUPPORTED),
    };
    Ok(pem::encode("PRIVATE KEY", key.to_pkcs8()))
}

/// The PKCS#1 of a key with its two primes; what follows from them is computed.
fn rsa(jwk: &Jwk) -> Result<Vec<u8>, &'static str> {
    let number = |name| jwk.bytes(name).map(|bytes| BigUint::from_bytes_be(&bytes));
    let (n, e, d) = (number("n")?, number("e")?, number("d")?);
    let (p, q) = (number("p")?, number("q")?);
    let one = BigUint::from(1u8);
    if &p * &q != n || p <= one || q <= one || d.bits() > n.bits() || e.bits() > 64 {
        return Err(INCOMPLETE);
    }
    let coefficient = q.modinv(&p).ok_or(INCOMPLETE)?;
    let (dp, dq) = (&d % (&p - &one), &d % (&q - &one));
    let numbers = [n, e, d, p, q, dp, dq, coefficient].map(|number| der::integer(&number.to_bytes_be()));
    let mut parts = vec![der::integer(&[0])];
    parts.extend(numbers);
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(der::sequence(&parts))
}
