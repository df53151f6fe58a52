//! What proves an identity to Vault. Only the cluster and the clouds can supply it, so a session asks a
//! [`CredentialProvider`].

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::TokenStore;

/// Proves an identity.
#[async_trait::async_trait]
pub trait CredentialProvider: Send + Sync {
    /// Where the login is asked for, with `auth/` and the mount. `None`: the proof is a token, and there is no login.
    fn login_path(&self) -> Option<String>;

    /// Obtains a fresh credential.
    async fn proof(&self) -> Result<Proof, CredentialError>;
}

/// A credential, ready for use.
pub enum Proof {
    /// Vault answers this request with a token.
    Login(LoginRequest),
    /// The credential is a token.
    Token(ProvidedToken),
}

/// A login request, made anew for every login since it carries a short-lived credential.
pub struct LoginRequest {
    /// Path of the login, with `auth/` and the mount.
    pub path: String,
    /// Vault namespace of the auth mount.
    pub namespace: String,
    /// Sent with this request only.
    pub headers: Vec<(String, String)>,
    /// The method's parameters. Holds the credential: never printed.
    pub body: Map<String, Value>,
    /// UID of the object that the credential belongs to, part of VSO's cache key.
    pub credential_uid: String,
    /// What the credential shows to be there, where the credential itself is another one each time: one with an equal
    /// account is as good. `None`: an equal body is.
    pub account: Option<String>,
    /// Tells this credential from others, without being it, where Vault locks the role for all after some wrong ones:
    /// see `refused.rs`.
    pub lockout_key: Option<String>,
}

/// A token that no login gave. Nothing tells of its replacement, so a session reads it again from time to time.
pub struct ProvidedToken {
    /// The token.
    pub secret: SecretString,
    /// UID of the object that holds it.
    pub credential_uid: String,
    /// Where it stands, in the words of a message: `key "token" of Secret app/vault-token`.
    pub location: String,
}

/// Why there is no credential. The texts hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Kubernetes or a cloud did not answer; the request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The object that holds the credential, or what it holds, has to be changed.
    #[error("{0}")]
    Unusable(String),
}

/// Where a session gets its token from.
pub struct TokenSource {
    /// Proves the identity.
    pub provider: Box<dyn CredentialProvider>,
    /// Where the token of a login is kept over a restart.
    pub store: Option<Box<dyn TokenStore>>,
}
