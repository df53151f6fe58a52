//! Method `aws`: an AWS identity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, CredentialObject, InvalidSetting, LoginSettings, Method, MethodConfig, first, object_name, required,
};
use crate::api::common::non_empty;

/// Settings of method `aws`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigAws {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// AWS region.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Value of the header X-Vault-AWS-IAM-Server-ID that Vault asks for.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub header_value: Option<String>,
    /// Name of the AWS session.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Endpoint of STS, when it is not the public one.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
    /// Endpoint of IAM, when it is not the public one.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub iam_endpoint: Option<String>,
    /// Name of a Secret with static AWS credentials, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Service account that carries an IAM role (IRSA), in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub irsa_service_account: Option<String>,
}

/// Vault's `aws` auth method, of type `iam`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsLogin {
    /// Vault role.
    pub role: String,
    /// AWS region.
    pub region: Option<String>,
    /// Value of the signed header `X-Vault-AWS-IAM-Server-ID`.
    pub header_value: Option<String>,
    /// Name of the AWS session.
    pub session_name: Option<String>,
    /// Endpoint of STS.
    pub sts_endpoint: Option<String>,
    /// Endpoint of IAM.
    pub iam_endpoint: Option<String>,
    /// Which identity it is.
    pub source: AwsSource,
    /// A role that this identity assumes, to log in as that. Only stores have one.
    pub assumed_role: Option<Box<AssumedRole>>,
}

/// A role of IAM that an identity assumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedRole {
    /// ARN of the role.
    pub arn: String,
    /// What the trust policy of the role may ask for.
    pub external_id: Option<String>,
}

/// Which AWS identity is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsSource {
    /// The access key in the Secret of this name.
    Secret(String),
    /// The access key with these parts. Only stores have that.
    Keys(AwsKeys),
    /// The IAM role that the service account of this name is annotated with (IRSA).
    ServiceAccount(String),
    /// What AWS's default credential chain finds for the operator's own pod or machine.
    Default,
}

/// Where the parts of an access key stand: the names of a Secret and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// The ID.
    pub access_key_id: (String, String),
    /// The secret part.
    pub secret_access_key: (String, String),
    /// What a temporary key has beside them.
    pub session_token: Option<(String, String)>,
}

impl MethodConfig for VaultAuthConfigAws {
    const LABEL: &'static str = "AWS";

    fn or(&self, other: &Self) -> Self {
        Self {
            role: first(&self.role, &other.role),
            region: first(&self.region, &other.region),
            header_value: first(&self.header_value, &other.header_value),
            session_name: first(&self.session_name, &other.session_name),
            sts_endpoint: first(&self.sts_endpoint, &other.sts_endpoint),
            iam_endpoint: first(&self.iam_endpoint, &other.iam_endpoint),
            secret_ref: first(&self.secret_ref, &other.secret_ref),
            irsa_service_account: first(&self.irsa_service_account, &other.irsa_service_account),
        }
    }

    fn check(&self) -> Result<Method, InvalidSetting> {
        let source = match (&self.secret_ref, &self.irsa_service_account) {
            (Some(secret), _) => AwsSource::Secret(object_name(secret, "secretRef")?),
            (None, Some(account)) => AwsSource::ServiceAccount(object_name(account, "irsaServiceAccount")?),
            (None, None) => AwsSource::Default,
        };
        Ok(Method::Aws(AwsLogin {
            role: required(&self.role, "role")?,
            region: self.region.clone(),
            header_value: self.header_value.clone(),
            session_name: self.session_name.clone(),
            sts_endpoint: self.sts_endpoint.clone(),
            iam_endpoint: self.iam_endpoint.clone(),
            source,
            assumed_role: None,
        }))
    }
}

impl LoginSettings for AwsLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Aws
    }

    fn credential(&self) -> CredentialObject<'_> {
        match &self.source {
            AwsSource::Secret(name) => CredentialObject::Secret(name),
            AwsSource::Keys(keys) => CredentialObject::Secret(&keys.access_key_id.0),
            AwsSource::ServiceAccount(name) => CredentialObject::ServiceAccount(name),
            AwsSource::Default => CredentialObject::Operator,
        }
    }

    fn further_secrets(&self) -> Vec<&str> {
        let AwsSource::Keys(AwsKeys { access_key_id: _, secret_access_key, session_token }) = &self.source else {
            return vec![];
        };
        [secret_access_key].into_iter().chain(session_token).map(|(secret, _)| secret.as_str()).collect()
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role, region, header_value, session_name, sts_endpoint, iam_endpoint, source, assumed_role } = self;
        add(role);
        for option in [region, header_value, session_name, sts_endpoint, iam_endpoint] {
            add(option.as_deref().unwrap_or(""));
        }
        // Digests of stored tokens have these words.
        let (kind, name) = match source {
            AwsSource::Secret(name) => ("secret", name.as_str()),
            AwsSource::Keys(_) => ("keys", ""),
            AwsSource::ServiceAccount(name) => ("account", name.as_str()),
            AwsSource::Default => ("ambient", ""),
        };
        add(kind);
        add(name);
        if let AwsSource::Keys(AwsKeys { access_key_id, secret_access_key, session_token }) = source {
            for (secret, key) in [access_key_id, secret_access_key].into_iter().chain(session_token) {
                add(secret);
                add(key);
            }
        }
        if let Some(AssumedRole { arn, external_id }) = assumed_role.as_deref() {
            add("assumes");
            add(arn);
            add(external_id.as_deref().unwrap_or(""));
        }
    }
}
