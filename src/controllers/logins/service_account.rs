//! Tokens of service accounts.

use super::Credential;
use crate::cluster::service_account_token;
use crate::resolve::TokenOf;

/// A fresh token of a service account.
pub(super) async fn token(client: &kube::Client, namespace: &str, account: &TokenOf) -> Result<Credential, String> {
    let TokenOf { service_account, audiences, expiration_seconds } = account;
    let token = service_account_token(client, namespace, service_account, audiences, *expiration_seconds).await;
    let token = token.map_err(|e| e.to_string())?;
    Ok(Credential { secret: token.token, uid: token.service_account_uid, version: String::new() })
}
