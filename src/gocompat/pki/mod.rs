//! PEM, private keys, certificates and PKCS#12 as Go's `encoding/pem`, `crypto/x509` and go-pkcs12 have them.

pub(crate) mod certificate;
pub(crate) mod der;
pub(crate) mod issue;
pub(crate) mod jwk;
pub(crate) mod key;
pub(crate) mod pem;
pub(crate) mod pkcs12;
