//! PEM blocks (`encoding/pem`).

use std::collections::BTreeMap;

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use memchr::{memchr, memmem};

use crate::gocompat::base64::{self, Alphabet};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";
/// Characters of a line of base64.
const LINE: usize = 64;

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// `CERTIFICATE`
    pub kind: Vec<u8>,
    pub headers: BTreeMap<Vec<u8>, Vec<u8>>,
    pub bytes: Vec<u8>,
}

/// A line without its end and the space before that, what follows, and how many bytes that leaves out.
fn line(data: &[u8]) -> (&[u8], &[u8], usize) {
    let (line, rest, consumed) = match memchr(b'\n', data) {
        Some(at) => (&data[..at], &data[at + 1..], at + 1),
        None => (data, &data[data.len()..], data.len()),
    };
    let line = if consumed > line.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
    (&line[..end], rest, consumed)
}

/// The next block and what follows it. What is no block is left out.
pub(crate) fn decode(data: &[u8]) -> Option<(Block, &[u8])> {
    let mut rest = data;
    // Where the line that ends the block goes on; where the block ends, which is before its begin for an empty one.
    let mut trailer: isize = 0;
    loop {
        rest = rest.get(usize::try_from(trailer).ok()?..)?;
        // The last begin before the first end.
        let found = memmem::find(rest, END)?;
        let mut end = isize::try_from(found).ok()?;
        trailer = end + END.len() as isize;
        let Some(begin) = memmem::rfind(&rest[..found], BEGIN) else { continue };
        if begin > 0 && rest[begin - 1] != b'\n' {
            continue;
        }
        let skipped = begin + BEGIN.len();
        rest = &rest[skipped..];
        let (kind, after, consumed) = line(rest);
        rest = after;
        end -= (skipped + consumed) as isize;
        trailer -= (skipped + consumed) as isize;
        let Some(kind) = kind.strip_suffix(DASHES) else { continue };
        let mut headers = BTreeMap::new();
        loop {
            if rest.is_empty() {
                return None;
            }
            let (text, after, consumed) = line(rest);
            let Some(colon) = memchr(b':', text) else { break };
            headers.insert(text[..colon].trim_ascii().to_vec(), text[colon + 1..].trim_ascii().to_vec());
            rest = after;
            end -= consumed as isize;
            trailer -= consumed as isize;
        }
        if !headers.is_empty() && end < 0 {
            continue;
        }
        let after_end = rest.get(usize::try_from(trailer).ok()?..)?;
        let Some(after_kind) = after_end.strip_prefix(kind).and_then(|after| after.strip_prefix(DASHES)) else {
            continue;
        };
        if !line(after_kind).0.is_empty() {
            continue;
        }
        let mut bytes = vec![];
        if let Ok(length @ 1..) = usize::try_from(end) {
            let digits: Vec<u8> = rest[..length].iter().copied().filter(|b| !b" \t".contains(b)).collect();
            match base64::decode(Alphabet::Standard, &digits) {
                Ok(decoded) => bytes = decoded,
                Err(_) => continue,
            }
        }
        let block = Block { kind: kind.to_vec(), headers, bytes };
        let last_line = usize::try_from(end + END.len() as isize - 1).ok()?;
        return Some((block, line(rest.get(last_line..)?).1));
    }
}

/// What Go's decoder left out by itself once, and ESO still does: all before the first begin.
pub(crate) fn without_junk(text: &[u8]) -> &[u8] {
    memmem::find(text, b"-----BEGIN").map_or(text, |at| &text[at..])
}

impl Block {
    /// A block without headers.
    pub fn new(kind: &str, bytes: Vec<u8>) -> Block {
        Block { kind: kind.as_bytes().to_vec(), headers: BTreeMap::new(), bytes }
    }

    /// The block as text, or Go's reason why it cannot be one.
    pub fn encode(&self) -> Result<Vec<u8>, &'static str> {
        if self.headers.keys().any(|name| name.contains(&b':')) {
            return Err("pem: cannot encode a header key that contains a colon");
        }
        let mut out = [BEGIN, &self.kind, b"-----\n"].concat();
        let first = self.headers.iter().filter(|(name, _)| *name == b"Proc-Type");
        let others = self.headers.iter().filter(|(name, _)| *name != b"Proc-Type");
        for (name, value) in first.chain(others) {
            out.extend([name.as_slice(), b": ", value, b"\n"].concat());
        }
        if !self.headers.is_empty() {
            out.push(b'\n');
        }
        for line in STANDARD.encode(&self.bytes).as_bytes().chunks(LINE) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.extend([&END[1..], &self.kind, b"-----\n"].concat());
        Ok(out)
    }
}

/// Bytes as a block of this kind.
pub(crate) fn encode(kind: &str, bytes: Vec<u8>) -> Vec<u8> {
    Block::new(kind, bytes).encode().unwrap_or_default()
}
