//! From the blocks of a VaultAuth and its VaultAuthGlobal to the login of one method: a row for each method.

use std::collections::BTreeMap;

use super::auth::VaultAuthSpec;
use super::auth_global::{MethodDefaults, VaultAuthGlobalSpec};
use super::auth_methods::{AuthMethod, InvalidSetting, Method, MethodConfig};

/// Why a VaultAuth stands for no login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// The method has no block.
    #[error("{0} auth method not configured")]
    NotConfigured(AuthMethod),
    /// A setting of the method is missing or cannot work.
    #[error("invalid {method} auth configuration: {problem}")]
    Invalid {
        /// How the method is spelled in messages.
        method: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// There is no such method.
    #[error("unsupported authentication method {0}")]
    Unknown(String),
}

impl VaultAuthSpec {
    /// The login of a method, from the block of the method.
    pub fn login(&self, method: &AuthMethod) -> Result<Method, MethodError> {
        match method {
            AuthMethod::Kubernetes => check(method, &self.kubernetes),
            AuthMethod::Jwt => check(method, &self.jwt),
            AuthMethod::AppRole => check(method, &self.app_role),
            AuthMethod::Aws => check(method, &self.aws),
            AuthMethod::Gcp => check(method, &self.gcp),
            AuthMethod::Token => check(method, &self.token),
            AuthMethod::Unknown(other) => Err(MethodError::Unknown(other.clone())),
        }
    }

    /// Completes the block of a method with that of a VaultAuthGlobal. Gives what else the VaultAuthGlobal has for the
    /// method, `None` if the method has no block in either object.
    pub fn merge_method(&mut self, global: &VaultAuthGlobalSpec, method: &AuthMethod) -> Option<MethodExtras> {
        match method {
            AuthMethod::Kubernetes => merge(&mut self.kubernetes, &global.kubernetes),
            AuthMethod::Jwt => merge(&mut self.jwt, &global.jwt),
            AuthMethod::AppRole => merge(&mut self.app_role, &global.app_role),
            AuthMethod::Aws => merge(&mut self.aws, &global.aws),
            AuthMethod::Gcp => merge(&mut self.gcp, &global.gcp),
            AuthMethod::Token => merge(&mut self.token, &global.token),
            // The check refuses it.
            AuthMethod::Unknown(_) => Some(MethodExtras::default()),
        }
    }
}

/// What a VaultAuthGlobal has for one method beside the block of the method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodExtras {
    /// Vault namespace.
    pub namespace: Option<String>,
    /// Auth mount.
    pub mount: Option<String>,
    /// Parameters of the login.
    pub params: BTreeMap<String, String>,
    /// Headers of the login.
    pub headers: BTreeMap<String, String>,
}

fn check<C: MethodConfig>(method: &AuthMethod, block: &Option<C>) -> Result<Method, MethodError> {
    let block = block.as_ref().ok_or_else(|| MethodError::NotConfigured(method.clone()))?;
    block.check().map_err(|InvalidSetting(problem)| MethodError::Invalid { method: C::LABEL, problem })
}

fn merge<C: MethodConfig>(own: &mut Option<C>, global: &Option<MethodDefaults<C>>) -> Option<MethodExtras> {
    let Some(MethodDefaults { config, namespace, mount, params, headers }) = global else {
        return own.as_ref().map(|_| MethodExtras::default());
    };
    *own = Some(own.as_ref().map_or_else(|| config.clone(), |own| own.or(config)));
    Some(MethodExtras {
        namespace: namespace.clone(),
        mount: mount.clone(),
        params: params.clone(),
        headers: headers.clone(),
    })
}
