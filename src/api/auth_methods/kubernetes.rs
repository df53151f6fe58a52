//! Method `kubernetes`: a service account's token that Vault has the API server review.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, CredentialObject, InvalidSetting, LoginSettings, Method, MethodConfig, TokenRequestSpec, first,
    first_list, required,
};
use crate::api::common::non_empty;

/// Settings of method `kubernetes`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigKubernetes {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Service account whose token is sent, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Audiences of the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Life time of the token in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600), extend("default" = 600))]
    pub token_expiration_seconds: Option<i64>,
}

/// Vault's `kubernetes` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesLogin {
    /// Vault role.
    pub role: String,
    /// The token that is sent.
    pub account: TokenRequestSpec,
}

impl MethodConfig for VaultAuthConfigKubernetes {
    const LABEL: &'static str = "kubernetes";

    fn or(&self, other: &Self) -> Self {
        Self {
            role: first(&self.role, &other.role),
            service_account: first(&self.service_account, &other.service_account),
            audiences: first_list(&self.audiences, &other.audiences),
            token_expiration_seconds: first(&self.token_expiration_seconds, &other.token_expiration_seconds),
        }
    }

    fn check(&self) -> Result<Method, InvalidSetting> {
        let role = required(&self.role, "role")?;
        let account = required(&self.service_account, "serviceAccount")?;
        let account = TokenRequestSpec::new(&account, &self.audiences, self.token_expiration_seconds)?;
        Ok(Method::Kubernetes(KubernetesLogin { role, account }))
    }
}

impl LoginSettings for KubernetesLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Kubernetes
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::ServiceAccount(&self.account.service_account)
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role, account } = self;
        add(role);
        account.digest(add);
    }
}
