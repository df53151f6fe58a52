//! Method `jwt`: a JSON web token that Vault checks by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, CredentialObject, InvalidSetting, LoginSettings, Method, MethodConfig, TokenRequestSpec, first,
    first_list, object_name, required,
};
use crate::api::common::non_empty;

/// Settings of method `jwt`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigJwt {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Name of a Secret whose key `jwt` holds the token, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Service account whose token is sent, in the namespace of the object that needs the login. Wins over
    /// `secretRef`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Audiences of the service account's token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Life time of the service account's token in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600), extend("default" = 600))]
    pub token_expiration_seconds: Option<i64>,
}

/// Vault's `jwt` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtLogin {
    /// Vault role.
    pub role: String,
    /// Where the token comes from.
    pub source: JwtSource,
}

/// Where a JSON web token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtSource {
    /// The API server issues it for a service account.
    ServiceAccount(TokenRequestSpec),
    /// It is in a Secret.
    Secret {
        /// Name of the Secret.
        name: String,
        /// Key of the token.
        key: String,
    },
}

/// The key of the token for a VaultAuth. VSO's.
const TOKEN_KEY: &str = "jwt";

impl MethodConfig for VaultAuthConfigJwt {
    const LABEL: &'static str = "JWT";

    fn or(&self, other: &Self) -> Self {
        Self {
            role: first(&self.role, &other.role),
            secret_ref: first(&self.secret_ref, &other.secret_ref),
            service_account: first(&self.service_account, &other.service_account),
            audiences: first_list(&self.audiences, &other.audiences),
            token_expiration_seconds: first(&self.token_expiration_seconds, &other.token_expiration_seconds),
        }
    }

    fn check(&self) -> Result<Method, InvalidSetting> {
        let role = required(&self.role, "role")?;
        let source = match (&self.service_account, &self.secret_ref) {
            (Some(account), _) => {
                let spec = TokenRequestSpec::new(account, &self.audiences, self.token_expiration_seconds)?;
                JwtSource::ServiceAccount(spec)
            }
            (None, Some(secret)) => {
                JwtSource::Secret { name: object_name(secret, "secretRef")?, key: TOKEN_KEY.to_owned() }
            }
            (None, None) => {
                return Err(InvalidSetting("either serviceAccount or secretRef must be specified".to_owned()));
            }
        };
        Ok(Method::Jwt(JwtLogin { role, source }))
    }
}

impl LoginSettings for JwtLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::Jwt
    }

    fn credential(&self) -> CredentialObject<'_> {
        match &self.source {
            JwtSource::ServiceAccount(account) => CredentialObject::ServiceAccount(&account.service_account),
            JwtSource::Secret { name, .. } => CredentialObject::Secret(name),
        }
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role, source } = self;
        add(role);
        match source {
            JwtSource::ServiceAccount(account) => {
                add("account");
                account.digest(add);
            }
            JwtSource::Secret { name, key } => {
                add("secret");
                add(name);
                // Stored logins have the digest without the key.
                if key != TOKEN_KEY {
                    add(key);
                }
            }
        }
    }
}
