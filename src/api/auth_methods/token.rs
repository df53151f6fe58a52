//! Method `token`: a fixed token in a Secret. VSO has no such method.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, CredentialObject, InvalidSetting, LoginSettings, Method, MethodConfig, first, object_name, required,
};
use crate::api::common::non_empty;

/// The key that is read where none is named.
const DEFAULT_KEY: &str = "token";

/// Settings of method `token`: a fixed token, for servers that have no login. Neither `mount` nor `params` nor
/// `headers` have an effect on it, and the token is never renewed or looked up.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigToken {
    /// The Secret with the token, in the namespace of the object that needs the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<TokenSecretRef>,
}

/// A key of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TokenSecretRef {
    /// Name of the Secret.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Key that holds the token, `token` when unset. Line breaks at its end do not count.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A token that is sent as it is, without a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLogin {
    /// Name of the Secret.
    pub secret: String,
    /// Key of the Secret.
    pub key: String,
}

impl MethodConfig for VaultAuthConfigToken {
    const LABEL: &'static str = "token";

    fn or(&self, other: &Self) -> Self {
        let secret_ref = match (&self.secret_ref, &other.secret_ref) {
            (Some(own), Some(other)) => {
                Some(TokenSecretRef { name: first(&own.name, &other.name), key: first(&own.key, &other.key) })
            }
            (own, other) => first(own, other),
        };
        Self { secret_ref }
    }

    fn check(&self) -> Result<Method, InvalidSetting> {
        let TokenSecretRef { name, key } = self.secret_ref.clone().unwrap_or_default();
        let secret = object_name(&required(&name, "secretRef.name")?, "secretRef.name")?;
        Ok(Method::Token(TokenLogin { secret, key: key.unwrap_or_else(|| DEFAULT_KEY.to_owned()) }))
    }
}

impl LoginSettings for TokenLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Token
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::Secret(&self.secret)
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { secret, key } = self;
        add(secret);
        add(key);
    }
}
