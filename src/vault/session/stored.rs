//! Tokens that outlive the process: what is stored of a login, and how it is taken up again.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vaultrs::api::token::requests::RenewTokenSelfRequest;

use super::token::Granted;
use super::{Session, SessionError, refuses};
use crate::gocompat::json::html_escape;
use crate::vault::json;
use crate::vault::request::{Auth, lease};
use crate::vault::transport::RequestOptions;

/// Where the token of a session is stored over a restart. Only the cluster can store one.
#[async_trait::async_trait]
pub trait TokenStore: Send + Sync {
    /// What an earlier process has left for this login. `None` where there is nothing that can be trusted.
    async fn load(&self) -> Option<StoredLogin>;
    /// Deletes what is stored. `why`: Vault does not take the token that was there any more, or there was none in it.
    async fn delete(&self, why: Option<&str>);
}

/// A login that was stored.
pub struct StoredLogin {
    /// VSO's cache key, under which it is stored.
    pub key: String,
    /// Vault's answer to the login, in the form of [`StoredLogin::go_json`].
    pub login_response: SecretString,
    /// Vault namespace of the login.
    pub namespace: String,
    /// UID of the object that the credential belongs to.
    pub credential_uid: String,
}

/// Vault's answer as VSO stores it: the members and their order are those of `Secret` in Vault's Go API
/// (`github.com/hashicorp/vault/api`, `secret.go`).
#[derive(Serialize, Deserialize)]
struct Answer {
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    lease_id: String,
    #[serde(default)]
    lease_duration: i64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    auth: TokenAnswer,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    mount_type: String,
}

/// `SecretAuth` in `secret.go`.
#[derive(Serialize, Deserialize)]
struct TokenAnswer {
    client_token: String,
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    policies: Option<Vec<String>>,
    #[serde(default)]
    token_policies: Option<Vec<String>>,
    #[serde(default)]
    identity_policies: Option<Vec<String>>,
    #[serde(default)]
    metadata: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    orphan: bool,
    #[serde(default)]
    entity_id: String,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    mfa_requirement: Option<Value>,
}

impl StoredLogin {
    /// The body of Vault's answer to a login as Go would write it again. `None` if it is no such answer.
    pub fn go_json(body: &[u8]) -> Option<SecretString> {
        let answer: Answer = json::parse_as(body).ok()?;
        let json = serde_json::to_string(&answer).ok()?;
        Some(html_escape(&json).into())
    }

    /// Whether a stored answer has a token.
    pub fn has_token(answer: &SecretString) -> bool {
        token_in(answer).is_some()
    }
}

/// The token in a stored answer. `None` if there is none.
fn token_in(answer: &SecretString) -> Option<Auth> {
    let answer: Answer = json::parse_as(answer.expose_secret().as_bytes()).ok()?;
    let TokenAnswer { client_token, accessor, lease_duration, renewable, .. } = answer.auth;
    (!client_token.is_empty()).then(|| Auth {
        client_token: client_token.into(),
        accessor,
        lease: lease(lease_duration),
        renewable,
        ..Auth::default()
    })
}

impl Session {
    /// Takes up the token of an earlier process. It is renewed at once, which shows that Vault still takes it, so there
    /// is nothing left for a lookup to tell.
    pub(super) async fn restore(&self, store: &dyn TokenStore) -> Result<Option<Granted>, SessionError> {
        let Some(StoredLogin { key, login_response: response, namespace, credential_uid }) = store.load().await else {
            return Ok(None);
        };
        let Some(mut auth) = token_in(&response) else {
            store.delete(Some("there is no token in it")).await;
            return Ok(None);
        };
        let call = RequestOptions { token: Some(&auth.client_token), namespace: Some(&namespace), headers: &[] };
        match self.server.send(RenewTokenSelfRequest { increment: None }, &call).await {
            Ok(renewed) => {
                let index = renewed.index;
                let renewed = renewed.auth.unwrap_or_default();
                (auth.lease, auth.renewable) = (renewed.lease, renewed.renewable);
                tracing::info!(stored_under = key, ttl_s = auth.lease.as_secs(), "took up a stored Vault token");
                Ok(Some(Granted {
                    auth,
                    namespace,
                    index,
                    credential_uid,
                    login_response: Some(response),
                    stored_under: Some(key),
                    location: None,
                }))
            }
            Err(error) if refuses(&error) => {
                store.delete(Some(&format!("Vault does not renew its token: {error}"))).await;
                Ok(None)
            }
            // Nothing is said of the token.
            Err(error) => Err(SessionError::Login(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `json.Marshal` of an `api.Secret` that was parsed from an answer of Vault.
    const GO: &str = r#"{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"data":null,"warnings":null,"auth":{"client_token":"hvs.x","accessor":"a","policies":["default","p"],"token_policies":["default","p"],"identity_policies":null,"metadata":{"role":"a\u003cb\u0026c"},"orphan":true,"entity_id":"e","lease_duration":3600,"renewable":true,"mfa_requirement":null},"mount_type":"token"}"#;

    #[test]
    fn stored_as_go_writes_it() {
        let body = r#"{"auth":{"accessor":"a","client_token":"hvs.x","entity_id":"e","lease_duration":3600,"metadata":{"role":"a<b&c"},
            "mfa_requirement":null,"num_uses":0,"orphan":true,"policies":["default","p"],"renewable":true,"token_policies":["default","p"],"token_type":"service"},
            "data":null,"lease_duration":0,"lease_id":"","mount_type":"token","renewable":false,"request_id":"r","warnings":null,"wrap_info":null}"#;
        assert_eq!(StoredLogin::go_json(body.as_bytes()).unwrap().expose_secret(), GO);
        // And once more, from what was stored.
        assert_eq!(StoredLogin::go_json(GO.as_bytes()).unwrap().expose_secret(), GO);
    }

    #[test]
    fn a_token_is_found_or_there_is_none() {
        let found = token_in(&GO.to_owned().into()).unwrap();
        assert_eq!((found.client_token.expose_secret(), found.accessor.as_str()), ("hvs.x", "a"));
        assert_eq!((found.lease.as_secs(), found.renewable), (3600, true));
        for none in ["", "{}", "null", r#"{"auth":null}"#, r#"{"auth":{}}"#, r#"{"auth":{"client_token":""}}"#] {
            assert!(token_in(&none.to_owned().into()).is_none(), "{none}");
        }
    }
}
