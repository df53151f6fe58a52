//! What is read of certificates, and the order of a chain.

use core::net::{Ipv4Addr, Ipv6Addr};

use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::pem;

/// A certificate.
#[derive(Clone)]
pub(crate) struct Certificate {
    pub der: Vec<u8>,
    authority: Option<Vec<u8>>,
    subject: Option<Vec<u8>>,
}

/// Most certificates that are looked through: each is compared with each.
const MAX_CERTIFICATES: usize = 200;

pub(crate) const NO_CERTIFICATE: &str = "x509: malformed certificate";

impl Certificate {
    /// Parses a certificate that is all there is.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut certificate = Certificate { der: der.to_vec(), authority: None, subject: None };
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    certificate.authority = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::SubjectKeyIdentifier(id) => certificate.subject = Some(id.0.to_vec()),
                _ => {}
            }
        }
        Some(certificate)
    }

    /// The certificate as PEM.
    pub fn to_pem(&self) -> Vec<u8> {
        pem::encode("CERTIFICATE", self.der.clone())
    }

    /// Whether nothing else has signed it, by the identifiers of the keys.
    pub fn is_root(&self) -> bool {
        self.authority.is_none() || self.is_signed_by(self)
    }

    fn is_signed_by(&self, other: &Certificate) -> bool {
        self.authority.as_deref().unwrap_or_default() == other.subject.as_deref().unwrap_or_default()
    }

    /// The names of the subject: of hosts, addresses, e-mail, URIs.
    pub fn names(&self) -> Vec<String> {
        let Ok((_, parsed)) = X509Certificate::from_der(&self.der) else { return vec![] };
        let Ok(Some(names)) = parsed.subject_alternative_name() else { return vec![] };
        let names = &names.value.general_names;
        let select = |choose: fn(&GeneralName<'_>) -> Option<String>| names.iter().filter_map(choose);
        let hosts = select(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let addresses = select(|name| match name {
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        let mail = select(|name| match name {
            GeneralName::RFC822Name(name) => Some((*name).to_owned()),
            _ => None,
        });
        let uris = select(|name| match name {
            GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        });
        hosts.chain(addresses).chain(mail).chain(uris).collect()
    }
}

/// An address as Go writes it.
fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    Some(address.to_ipv4_mapped().map_or_else(|| address.to_string(), |short| short.to_string()))
}

/// All certificates of a text, from the first block on to what is no block any more.
pub(crate) fn parse_all(text: &[u8]) -> Result<Vec<Certificate>, &'static str> {
    let mut found = vec![];
    let mut rest = text;
    while let Some((block, after)) = pem::decode(rest) {
        rest = after;
        if found.len() >= MAX_CERTIFICATES {
            return Err("the text has more than 200 certificates");
        }
        found.push(Certificate::parse(&block.bytes).ok_or(NO_CERTIFICATE)?);
    }
    Ok(found)
}

/// Certificates from the one that signed no other to the root, by the identifiers of their keys. No signature is
/// checked.
pub(crate) fn chain(certificates: Vec<Certificate>) -> Result<Vec<Certificate>, &'static str> {
    let count = certificates.len();
    let parents: Vec<Option<usize>> = (0..count)
        .map(|child| (0..count).find(|at| *at != child && certificates[child].is_signed_by(&certificates[*at])))
        .collect();
    let mut leaves = (0..count).filter(|at| !parents.contains(&Some(*at)));
    let mut next = Some(leaves.next().ok_or("no leaf certificate found")?);
    if leaves.next().is_some() {
        return Err("found multiple leaf or disjunct certificates");
    }
    let mut chain = vec![];
    while let Some(at) = next {
        if chain.len() >= count {
            return Err("constructing chain resulted in cycle");
        }
        chain.push(certificates[at].clone());
        next = parents[at];
    }
    Ok(chain)
}
