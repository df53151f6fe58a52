//! Tokens of service accounts, by TokenRequest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::error::with_timeout;
use super::{ErrorKind, KubernetesError};

/// A token and the service account it belongs to.
pub struct ServiceAccountToken {
    /// The JWT.
    pub token: SecretString,
    /// UID of the service account, taken from the claims of the token; empty if the API server does not put it there.
    pub service_account_uid: String,
}

/// Asks the API server for a fresh token of a service account. An empty `audiences` means the API server's own.
pub async fn service_account_token(
    client: &kube::Client,
    namespace: &str,
    name: &str,
    audiences: &[String],
    expiration_seconds: i64,
) -> Result<ServiceAccountToken, KubernetesError> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audiences.to_vec(),
            expiration_seconds: Some(expiration_seconds),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let what = format!("create a token of ServiceAccount {namespace}/{name}");
    let answer = with_timeout(&what, api.create_token_request(name, &PostParams::default(), &request)).await?;
    let token = answer.status.map(|s| s.token).unwrap_or_default();
    if token.is_empty() {
        return Err(KubernetesError::new(ErrorKind::Unavailable, format!("{what}: the answer has no token")));
    }
    Ok(ServiceAccountToken { service_account_uid: uid_claim(&token).unwrap_or_default(), token: token.into() })
}

/// UID of an object, which may be a service account or a Secret. `None`: there is no such object.
pub async fn object_uid<K>(
    client: &kube::Client,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, KubernetesError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let what = format!("get {} {namespace}/{name}", K::kind(&()));
    let meta = with_timeout(&what, Api::<K>::namespaced(client.clone(), namespace).get_metadata_opt(name)).await?;
    Ok(meta.and_then(|object| object.metadata.uid))
}

/// The claim `kubernetes.io.serviceaccount.uid`. The signature is not checked: the token comes from the API server.
fn uid_claim(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get("kubernetes.io")?.get("serviceaccount")?.get("uid")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_is_read_from_the_claims() {
        let payload = URL_SAFE_NO_PAD.encode(br#"{"kubernetes.io":{"serviceaccount":{"uid":"abc"}}}"#);
        assert_eq!(uid_claim(&format!("h.{payload}.s")).as_deref(), Some("abc"));
        assert_eq!(uid_claim("not a token"), None);
    }
}
