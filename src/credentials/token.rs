//! Method `token`: a fixed token in a Secret. There is no login: Vault is not asked for anything.

use secrecy::{ExposeSecret as _, SecretString};

use super::{AuthMethodLogin, Credential, secret};
use crate::api::auth_methods::TokenLogin;
use crate::vault::{CredentialError, ProvidedToken};

/// The token as it is now.
pub(super) async fn token(login: &AuthMethodLogin, settings: &TokenLogin) -> Result<ProvidedToken, CredentialError> {
    let TokenLogin { secret, key } = settings;
    let location = format!("key {key:?} of Secret {}/{secret}", login.plan.credential_namespace);
    let Credential { secret: text, uid, .. } = secret::value(login, secret, key).await?;
    Ok(ProvidedToken { secret: header_value(&text, &location)?, credential_uid: uid, location })
}

/// No token, for a server whose proxy has one.
pub(super) fn none() -> ProvidedToken {
    let location = "what stands before the server: the store has no auth".to_owned();
    ProvidedToken { secret: SecretString::default(), credential_uid: String::new(), location }
}

/// A text that a header can carry. Files often end with a line break, and `kubectl create secret --from-file` takes
/// them as they are.
fn header_value(text: &SecretString, location: &str) -> Result<SecretString, CredentialError> {
    let token = text.expose_secret().trim_end_matches(['\n', '\r']);
    if token.is_empty() {
        return Err(CredentialError::Unusable(format!("{location} holds an empty token")));
    }
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        let text =
            format!("{location} holds no token: a token has only ASCII letters, digits and signs, and no spaces");
        return Err(CredentialError::Unusable(text));
    }
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let value = header_value(&text.into(), "key \"token\" of Secret a/b");
        value.map(|token| token.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn line_breaks_at_the_end_do_not_count() {
        for text in ["hvs.a+b/c=", "hvs.a+b/c=\n", "hvs.a+b/c=\r\n", "hvs.a+b/c=\n\n"] {
            assert_eq!(read(text).as_deref(), Ok("hvs.a+b/c="), "{text:?}");
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused_and_not_shown() {
        for text in [
            "hunter2 x",
            " hunter2",
            "hunter2 \n",
            "hunter2\nx",
            "hunter2\tx",
            "hunterü2",
            "hunter2\0",
            "hunter2\u{7f}",
        ] {
            let error = read(text).expect_err("it is refused");
            assert!(error.contains("key \"token\" of Secret a/b") && !error.contains("hunter"), "{text:?}: {error}");
        }
        assert!(read("\n").expect_err("it is refused").contains("empty token"));
    }
}
