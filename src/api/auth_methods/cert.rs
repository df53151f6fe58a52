//! Method `cert`: the certificate that the connection shows is the proof. No VaultAuth has it, only stores of
//! `external-secrets.io`.

use super::{AuthMethod, CredentialObject, LoginSettings};

/// Vault's `cert` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertLogin {
    /// Certificate role; empty for any that fits.
    pub role: String,
    /// Name of the Secret with the certificate.
    pub secret: String,
}

impl LoginSettings for CertLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Unknown("cert".to_owned())
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::Secret(&self.secret)
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role, secret } = self;
        add(role);
        add(secret);
    }
}
