//! `buildCustomCert`: gives back a certificate and a key after a look at them.
//!
//! The look is at their structure: enough to refuse what is not a certificate or not a key. The finer complaints of
//! Go's parser about certificates that are one, but violate the standard, are not made.

use std::any::Any;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::args::{Answer, bytes, find};
use crate::gocompat::template::{CallError, Context, Kind, Object, Value};

/// A certificate and its key, as PEM.
pub(super) struct Certificate {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
}

impl Object for Certificate {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        vec![("Cert", true, Value::str(self.cert.clone())), ("Key", true, Value::str(self.key.clone()))]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Go's decoder skips line ends.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|b| *b != b'\n' && *b != b'\r').collect();
    STANDARD.decode(text).ok()
}

pub(super) fn build_custom_cert(ctx: &mut Context, args: &[Value]) -> Answer {
    ctx.reserve(bytes(args, 0).len().saturating_add(bytes(args, 1).len()).saturating_mul(3))?;
    // Each block that begins is followed by a search for its end.
    ctx.step_square(bytes(args, 0).len().max(bytes(args, 1).len()) / 8)?;
    let fail = |text: &str| CallError::new(text);
    let cert = decode(bytes(args, 0)).ok_or_else(|| fail("unable to decode base64 certificate"))?;
    let key = decode(bytes(args, 1)).ok_or_else(|| fail("unable to decode base64 private key"))?;
    let (_, der) = pem(&cert).ok_or_else(|| fail("unable to decode certificate"))?;
    if !is_certificate(&der) {
        let what = if tags(&der).is_some_and(|parts| !matches!(parts.first(), Some((SEQUENCE, _)))) {
            "malformed tbs certificate"
        } else {
            "malformed certificate"
        };
        return Err(fail(&format!("error parsing certificate: decodedCert.Bytes: x509: {what}")));
    }
    check_key(&key).map_err(|text| CallError::new(format!("error parsing private key: {text}")))?;
    Ok(Value::Object(Arc::new(Certificate { cert, key })))
}

/// The first PEM block: its type and content.
fn pem(text: &[u8]) -> Option<(String, Vec<u8>)> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let mut rest = text;
    loop {
        let at = find(rest, BEGIN)?;
        let at_line_start = at == 0 || rest[at - 1] == b'\n';
        rest = &rest[at + BEGIN.len()..];
        if !at_line_start {
            continue;
        }
        let Some(end) = find(rest, b"-----") else { continue };
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let body = &rest[end + 5..];
        let Some(close) = find(body, format!("-----END {name}-----").as_bytes()) else { continue };
        // Headers end with an empty line.
        let content = &body[..close];
        let content =
            if content.contains(&b':') { find(content, b"\n\n").map_or(content, |at| &content[at..]) } else { content };
        let digits: Vec<u8> = content.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
        if let Ok(der) = STANDARD.decode(digits) {
            return Some((name, der));
        }
    }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const BITS: u8 = 0x03;

/// One DER element: its tag and content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

/// The tags in a sequence that is all there is.
fn tags(der: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let (SEQUENCE, mut rest, []) = element(der)? else { return None };
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        out.push((tag, content));
        rest = after;
    }
    Some(out)
}

fn is_certificate(der: &[u8]) -> bool {
    let Some(parts) = tags(der) else { return false };
    let [(SEQUENCE, to_be_signed), (SEQUENCE, _), (BITS, _)] = parts[..] else { return false };
    // Version, serial, algorithm, issuer, validity, subject, public key.
    let mut rest = to_be_signed;
    let mut found = Vec::new();
    while let Some((tag, _, after)) = element(rest) {
        found.push(tag);
        rest = after;
    }
    let from = usize::from(found.first() == Some(&0xA0));
    found
        .get(from..)
        .is_some_and(|found| found.starts_with(&[INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE]))
}

fn check_key(key: &[u8]) -> Result<(), String> {
    let (name, der) = pem(key).ok_or("no PEM data in input")?;
    let leading = |wanted: &[u8]| {
        tags(&der).is_some_and(|parts| parts.len() >= wanted.len() && parts.iter().zip(wanted).all(|(p, w)| p.0 == *w))
    };
    if name == "PRIVATE KEY" {
        return if leading(&[INTEGER, SEQUENCE, OCTETS]) {
            Ok(())
        } else {
            Err("decoding PEM as PKCS#8: asn1: structure error".to_owned())
        };
    }
    let Some(kind) = name.strip_suffix(" PRIVATE KEY") else {
        return Err(format!("no private key data in PEM block of type {name}"));
    };
    let (ok, text) = match kind {
        "RSA" => (leading(&[INTEGER; 9]), "parsing RSA private key from PEM: asn1: structure error"),
        "EC" => (leading(&[INTEGER, OCTETS]), "parsing EC private key from PEM: asn1: structure error"),
        "DSA" => (leading(&[INTEGER; 6]), "parsing DSA private key from PEM: asn1: structure error"),
        _ => return Err(format!("invalid private key type {name}")),
    };
    if ok { Ok(()) } else { Err(text.to_owned()) }
}
