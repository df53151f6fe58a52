//! Method `aws`: a signed request that tells Vault, by way of AWS, which AWS identity sent it.

use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::cloud::{AwsCredentials, Sts, aws_proof};
use super::service_account::{annotation, required_annotation};
use super::{AuthMethodLogin, Credential, LoginParams, secret, service_account};
use crate::api::auth_methods::{AwsKeys, AwsLogin, AwsSource, TokenRequestSpec};
use crate::kubernetes;
use crate::vault::CredentialError;

/// In every namespace; that of the operator's stands for what the operator is at AWS, as in VSO.
const ROOT_CERTIFICATE: &str = "kube-root-ca.crt";
const SESSION_NAME: &str = "vault-secrets-operator";
/// Annotations of IRSA, as EKS defines them.
const ROLE_ARN: &str = "eks.amazonaws.com/role-arn";
const AUDIENCE: &str = "eks.amazonaws.com/audience";
const EXPIRATION: &str = "eks.amazonaws.com/token-expiration";

/// An identity at AWS.
struct Identity {
    credentials: AwsCredentials,
    /// UID of the object that it is taken from.
    uid: String,
    /// See [`LoginParams::account`].
    account: String,
}

/// Role and proof. Keys and tokens are obtained anew for each login, but for the operator's own credentials.
pub(super) async fn params(login: &AuthMethodLogin, aws: &AwsLogin) -> Result<LoginParams, CredentialError> {
    let sts = Sts::new(&login.cloud, aws.region.as_deref(), aws.sts_endpoint.as_deref())?;
    let identity = match &aws.source {
        AwsSource::Secret(name) => keys(login, name).await?,
        AwsSource::Keys(names) => named_keys(login, names).await?,
        AwsSource::ServiceAccount(name) => role(login, aws, &sts, name).await?,
        AwsSource::Default if !sts.is_plain() => {
            let text = "aws.stsEndpoint: with the operator's own identity it can only be a host, with a scheme and a port: no \
                        user, path, query or fragment";
            return Err(CredentialError::Unusable(text.to_owned()));
        }
        AwsSource::Default => Identity {
            credentials: login.cloud.default_credentials().await?,
            uid: own_uid(login).await,
            account: String::new(),
        },
    };
    let Identity { mut credentials, uid: credential_uid, account } = identity;
    if let Some(role) = &aws.assumed_role {
        let session = aws.session_name.as_deref().unwrap_or(SESSION_NAME);
        credentials = login.cloud.assume_role_as(&sts, role, session, &credentials, SystemTime::now()).await?;
    }
    let proof = aws_proof(&sts, aws.header_value.as_deref(), &credentials, SystemTime::now())?;
    let mut members = vec![("role", Value::from(aws.role.as_str()))];
    members.extend(proof.into_iter().map(|(name, value)| (name, Value::from(value))));
    Ok(LoginParams { members, credential_uid, account: Some(account), lockout_key: None })
}

/// The keys in a Secret.
async fn keys(login: &AuthMethodLogin, name: &str) -> Result<Identity, CredentialError> {
    let secret = secret::fetch(login, name).await?;
    let value = |key: &str| secret::text(&secret, key);
    let (id, key) = (value("access_key_id")?, value("secret_access_key")?);
    let token = match secret.data.as_ref().and_then(|data| data.get("session_token")) {
        Some(token) if !token.0.is_empty() => Some(value("session_token")?.expose_secret().to_owned()),
        _ => None,
    };
    let credentials = AwsCredentials::new(id.expose_secret(), key.expose_secret(), token, None, "Secret");
    let (uid, version) =
        (secret.metadata.uid.unwrap_or_default(), secret.metadata.resource_version.unwrap_or_default());
    let account = format!("{uid} {version}");
    Ok(Identity { credentials, uid, account })
}

/// Keys whose parts stand in keys of Secrets that have names of their own.
async fn named_keys(login: &AuthMethodLogin, names: &AwsKeys) -> Result<Identity, CredentialError> {
    let mut account = String::new();
    let mut value = async |(name, key): &(String, String)| {
        let Credential { secret, uid, version } = secret::value(login, name, key).await?;
        account += &format!("{uid} {version} ");
        Ok::<_, CredentialError>((secret, uid))
    };
    let (id, uid) = value(&names.access_key_id).await?;
    let (key, _) = value(&names.secret_access_key).await?;
    let token = match &names.session_token {
        Some(token) => Some(value(token).await?.0.expose_secret().trim().to_owned()),
        None => None,
    };
    let part = |text: &SecretString| text.expose_secret().trim().to_owned();
    let credentials = AwsCredentials::new(part(&id), part(&key), token, None, "Secret");
    Ok(Identity { credentials, uid, account })
}

/// The role that a service account is annotated with (IRSA).
async fn role(login: &AuthMethodLogin, aws: &AwsLogin, sts: &Sts, name: &str) -> Result<Identity, CredentialError> {
    let account = service_account::metadata(login, name).await?;
    let arn = required_annotation(login, &account, ROLE_ARN)?;
    let expiration = annotation(&account, EXPIRATION).unwrap_or("86400");
    let expiration_seconds = expiration.parse().map_err(|_| {
        let text =
            format!("annotation {EXPIRATION:?} of ServiceAccount {name}: {expiration:?} is not a number of seconds");
        CredentialError::Unusable(text)
    })?;
    let spec = TokenRequestSpec {
        service_account: name.to_owned(),
        audiences: vec![annotation(&account, AUDIENCE).unwrap_or("sts.amazonaws.com").to_owned()],
        expiration_seconds,
    };
    let token = service_account::token(login, &spec).await?;
    let session = aws.session_name.as_deref().unwrap_or(SESSION_NAME);
    let credentials = login.cloud.assume_role(sts, arn, session, &token.secret).await?;
    let account = format!("{} {arn}", token.uid);
    Ok(Identity { credentials, uid: token.uid, account })
}

/// Part of VSO's cache key only: without it there is no such key, and the login goes on.
async fn own_uid(login: &AuthMethodLogin) -> String {
    match kubernetes::config_map(&login.client, &login.operator_namespace, ROOT_CERTIFICATE).await {
        Ok(found) => found.and_then(|metadata| metadata.uid).unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "no UID for the identity of the operator");
            String::new()
        }
    }
}
