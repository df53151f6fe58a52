//! Requests without a token: whatever stands before Vault sends one of its own.

use super::{AuthMethod, CredentialObject, LoginSettings};

/// No login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLogin;

impl LoginSettings for NoLogin {
    fn method(&self) -> AuthMethod {
        // As with a fixed token, no mount is asked.
        AuthMethod::Token
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::None
    }

    fn digest(&self, _add: &mut dyn FnMut(&str)) {}
}
