//! Methods `userpass` and `ldap`: a name and a password. No VaultAuth has them, only stores of `external-secrets.io`.

use super::{AuthMethod, CredentialObject, LoginSettings};

/// What knows a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Vault.
    Vault,
    /// An LDAP server.
    Ldap,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordLogin {
    /// What knows the password.
    pub directory: Directory,
    /// The name.
    pub username: String,
    /// Name of the Secret with the password.
    pub secret: String,
    /// Key of the password.
    pub key: String,
}

impl LoginSettings for PasswordLogin {
    fn method(&self) -> AuthMethod {
        let name = match self.directory {
            Directory::Vault => "userpass",
            Directory::Ldap => "ldap",
        };
        AuthMethod::Unknown(name.to_owned())
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::Secret(&self.secret)
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        // The directory is that of the method.
        let Self { directory: _, username, secret, key } = self;
        add(username);
        add(secret);
        add(key);
    }
}
