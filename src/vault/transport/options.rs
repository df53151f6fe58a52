//! What a request to Vault carries in its headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::vault::{ErrorKind, VaultError};

/// What one request carries beside its path and body.
#[derive(Clone, Copy, Default)]
pub(in crate::vault) struct RequestOptions<'a> {
    pub token: Option<&'a SecretString>,
    pub namespace: Option<&'a str>,
    pub headers: &'a [(String, String)],
}

impl RequestOptions<'_> {
    /// These headers, among `headers` of the connection, which they replace.
    pub(super) fn headers(&self, path: &str, mut headers: HeaderMap) -> Result<HeaderMap, VaultError> {
        let refuse =
            |what: &str| VaultError::new(ErrorKind::Invalid, path, format!("{what} cannot be sent as a header"));
        for (name, value) in self.headers {
            let name: HeaderName = name.parse().map_err(|_| refuse(&format!("header name {name:?}")))?;
            headers.insert(name.clone(), HeaderValue::from_str(value).map_err(|_| refuse(name.as_str()))?);
        }
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = self.namespace.filter(|n| !n.is_empty()) {
            headers.insert(
                "x-vault-namespace",
                HeaderValue::from_str(namespace).map_err(|_| refuse("the Vault namespace"))?,
            );
        }
        if let Some(token) = self.token.filter(|token| !token.expose_secret().is_empty()) {
            let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| refuse("the token"))?;
            value.set_sensitive(true);
            headers.insert("x-vault-token", value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_headers_are_errors_and_not_panics() {
        let bad = SecretString::from("s.to\nken");
        assert!(
            RequestOptions { token: Some(&bad), ..RequestOptions::default() }.headers("p", HeaderMap::new()).is_err()
        );
        assert!(
            RequestOptions { namespace: Some("a\nb"), ..RequestOptions::default() }
                .headers("p", HeaderMap::new())
                .is_err()
        );
    }
}
