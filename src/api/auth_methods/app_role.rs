//! Method `appRole`: role ID and secret ID.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMethod, CredentialObject, InvalidSetting, LoginSettings, Method, MethodConfig, first, object_name, required,
};
use crate::api::common::non_empty;

/// Settings of method `appRole`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigAppRole {
    /// Role ID.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// Name of a Secret whose key `id` holds the secret ID, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Not supported: it would let a tenant name a file of the operator's pod. Kept so that stored objects stay
    /// valid; use `secretRef`.
    #[serde(rename = "secretIDPath", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_id_path: Option<String>,
}

/// Vault's `approle` auth method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRoleLogin {
    /// Role ID.
    pub role_id: RoleId,
    /// Name of the Secret with the secret ID.
    pub secret: String,
    /// Key of the secret ID.
    pub key: String,
}

/// Where a role ID comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleId {
    /// This is it.
    Text(String),
    /// It is in a Secret. Only stores have that.
    Secret {
        /// Name of the Secret.
        name: String,
        /// Key of the role ID.
        key: String,
    },
}

/// The key of the secret ID for a VaultAuth. VSO's.
const SECRET_ID_KEY: &str = "id";

impl MethodConfig for VaultAuthConfigAppRole {
    const LABEL: &'static str = "AppRole";

    fn or(&self, other: &Self) -> Self {
        Self {
            role_id: first(&self.role_id, &other.role_id),
            secret_ref: first(&self.secret_ref, &other.secret_ref),
            secret_id_path: first(&self.secret_id_path, &other.secret_id_path),
        }
    }

    fn check(&self) -> Result<Method, InvalidSetting> {
        let role_id = RoleId::Text(required(&self.role_id, "roleId")?);
        if self.secret_id_path.is_some() {
            let text = "secretIDPath is not supported; put the secret ID into key \"id\" of a Secret and name that Secret \
                        in secretRef";
            return Err(InvalidSetting(text.to_owned()));
        }
        let secret = required(&self.secret_ref, "secretRef")?;
        Ok(Method::AppRole(AppRoleLogin {
            role_id,
            secret: object_name(&secret, "secretRef")?,
            key: SECRET_ID_KEY.to_owned(),
        }))
    }
}

impl LoginSettings for AppRoleLogin {
    fn method(&self) -> AuthMethod {
        AuthMethod::AppRole
    }

    fn credential(&self) -> CredentialObject<'_> {
        CredentialObject::Secret(&self.secret)
    }

    fn further_secrets(&self) -> Vec<&str> {
        match &self.role_id {
            RoleId::Text(_) => vec![],
            RoleId::Secret { name, .. } => vec![name],
        }
    }

    fn digest(&self, add: &mut dyn FnMut(&str)) {
        let Self { role_id, secret, key } = self;
        match role_id {
            RoleId::Text(role_id) => add(role_id),
            RoleId::Secret { name, key } => {
                add("");
                add(name);
                add(key);
            }
        }
        add(secret);
        // Stored logins have the digest without the key.
        if key != SECRET_ID_KEY {
            add(key);
        }
    }
}
