//! The order of a chain: the certificate first, then each issuer after what it has signed, and none twice.

use super::Certificate;

/// Certificates of an answer beyond this number are no chain.
pub(super) const MAX_CERTIFICATES: usize = 64;

/// Orders what came with a certificate. What does not lead on from it, such as cross-signed certificates, comes last,
/// in the order in which it came.
pub(super) fn ordered(leaf: &Certificate, others: impl IntoIterator<Item = Certificate>) -> Vec<Certificate> {
    let mut left: Vec<Certificate> = vec![];
    for other in others.into_iter().take(MAX_CERTIFICATES) {
        if other != *leaf && !left.contains(&other) {
            left.push(other);
        }
    }
    let mut chain: Vec<Certificate> = vec![];
    let mut last = leaf.clone();
    while !last.is_self_issued()
        && let Some(at) = left.iter().position(|candidate| candidate.issued(&last))
    {
        last = left.remove(at);
        chain.push(last.clone());
    }
    chain.extend(left);
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::certificate::tests::Authority;

    #[test]
    fn a_chain_leads_from_the_certificate_to_its_root() {
        let root = Authority::root("root");
        let middle = root.authority("middle");
        let low = middle.authority("low");
        let other = Authority::root("other");
        let leaf = low.issue("leaf").certificate;
        let [root, middle, low, other] = [root, middle, low, other].map(|authority| authority.certificate());
        let right = [low.clone(), middle.clone(), root.clone()];
        for given in [
            vec![low.clone(), middle.clone(), root.clone()],
            vec![root.clone(), middle.clone(), low.clone()],
            vec![middle.clone(), low.clone(), leaf.clone(), root.clone(), low.clone(), middle.clone()],
        ] {
            assert_eq!(ordered(&leaf, given), right);
        }
        assert_eq!(ordered(&leaf, [other.clone(), low.clone()]), [low, other], "what does not lead on comes last");
        assert_eq!(ordered(&leaf, []), []);
    }

    #[test]
    fn a_circle_of_issuers_ends() {
        let a = Authority::root("a");
        let b = a.authority("b");
        let a_by_b = b.authority("a");
        let leaf = b.issue("leaf").certificate;
        let given = [a_by_b.certificate(), b.certificate(), a_by_b.certificate()];
        assert_eq!(ordered(&leaf, given).len(), 2);
    }
}
