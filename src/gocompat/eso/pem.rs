//! Functions over PEM and certificates.

use crate::gocompat::pki::{certificate, pem};
use crate::gocompat::sprig::args::{Answer, bytes, function, string, strings};
use crate::gocompat::template::{CallError, Context, Function, Str, Type, Value};

const S: Type = Type::String;

/// What a certificate costs to read.
const STEPS_OF_A_CERTIFICATE: u64 = 500;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("certSANs", [S], cert_sans),
    function!("filterCertChain", [S, S], filter_chain),
    function!("filterPEM", [S, S], filter_pem),
];

/// Counts reading the blocks of a text.
pub(super) fn count(ctx: &mut Context, text: &[u8]) -> Result<(), CallError> {
    let blocks = memchr::memmem::find_iter(text, b"-----BEGIN").count() as u64;
    ctx.step(blocks.saturating_mul(STEPS_OF_A_CERTIFICATE))?;
    ctx.reserve(text.len().saturating_mul(3))
}

fn filter_pem(ctx: &mut Context, a: &[Value]) -> Answer {
    count(ctx, bytes(a, 1))?;
    let kind = String::from_utf8_lossy(bytes(a, 0)).to_lowercase();
    let mut rest = pem::without_junk(bytes(a, 1));
    let mut found = vec![];
    while let Some((block, after)) = pem::decode(rest) {
        rest = after;
        if String::from_utf8_lossy(&block.kind).to_lowercase() == kind {
            found.extend(block.encode().map_err(CallError::new)?);
        }
    }
    if found.is_empty() && !rest.is_empty() {
        return Err(CallError::new("error filtering pem: found junk"));
    }
    Ok(string(found))
}

fn filter_chain(ctx: &mut Context, a: &[Value]) -> Answer {
    count(ctx, bytes(a, 1))?;
    let all = certificate::parse_all(bytes(a, 1)).map_err(CallError::new)?;
    let chain = certificate::chain(all).map_err(CallError::new)?;
    let (Some(leaf), Some(last)) = (chain.first(), chain.last()) else { return Ok(string("")) };
    Ok(string(match bytes(a, 0) {
        b"leaf" if !leaf.is_root() => leaf.to_pem(),
        b"intermediate" => {
            chain[1..].iter().take_while(|certificate| !certificate.is_root()).flat_map(|c| c.to_pem()).collect()
        }
        b"root" if last.is_root() => last.to_pem(),
        _ => vec![],
    }))
}

fn cert_sans(ctx: &mut Context, a: &[Value]) -> Answer {
    count(ctx, bytes(a, 0))?;
    let failed = CallError::new;
    let (block, _) = pem::decode(pem::without_junk(bytes(a, 0))).ok_or_else(|| failed("failed to decode PEM block"))?;
    let certificate = certificate::Certificate::parse(&block.bytes)
        .ok_or_else(|| failed("failed to parse certificate: x509: malformed certificate"))?;
    let names: Vec<Str> = certificate.names().into_iter().map(Str::from).collect();
    ctx.reserve_texts(names.len())?;
    strings(ctx, names)
}
