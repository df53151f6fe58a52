//! Service accounts: their tokens, and what is written on them.

use kube::api::ObjectMeta;

use super::{AuthMethodLogin, Credential};
use crate::api::auth_methods::TokenRequestSpec;
use crate::kubernetes::{self, ServiceAccountToken};
use crate::vault::CredentialError;

/// A fresh token of a service account.
pub(super) async fn token(login: &AuthMethodLogin, spec: &TokenRequestSpec) -> Result<Credential, CredentialError> {
    let TokenRequestSpec { service_account, audiences, expiration_seconds } = spec;
    let namespace = &login.plan.credential_namespace;
    let ServiceAccountToken { token, service_account_uid } =
        kubernetes::service_account_token(&login.client, namespace, service_account, audiences, *expiration_seconds)
            .await?;
    Ok(Credential { secret: token, uid: service_account_uid, version: String::new() })
}

/// What is written on the service account that a cloud identity is tied to.
pub(super) async fn metadata(login: &AuthMethodLogin, name: &str) -> Result<ObjectMeta, CredentialError> {
    let namespace = &login.plan.credential_namespace;
    let found = kubernetes::service_account(&login.client, namespace, name).await?;
    found.ok_or_else(|| CredentialError::Unusable(format!("ServiceAccount {namespace}/{name} does not exist")))
}

/// An annotation with a value.
pub(super) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// An annotation that must be there.
pub(super) fn required_annotation<'a>(
    login: &AuthMethodLogin,
    metadata: &'a ObjectMeta,
    name: &str,
) -> Result<&'a str, CredentialError> {
    annotation(metadata, name).ok_or_else(|| {
        let account = metadata.name.as_deref().unwrap_or("");
        let namespace = &login.plan.credential_namespace;
        CredentialError::Unusable(format!("missing {name:?} annotation on ServiceAccount {namespace}/{account}"))
    })
}
