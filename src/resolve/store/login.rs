//! How a store logs in to Vault: from the methods of `external-secrets.io` to the logins that VaultAuths have, so that
//! both share a token where they mean one identity.

use super::cloud;
use super::origin::{Origin, SecretKey};
use super::store_login::StoreLogin;
use crate::api::auth_methods::{
    AppRoleLogin, CertLogin, Directory, JwtLogin, JwtSource, KubernetesLogin, Method, NoLogin, PasswordLogin, RoleId,
    TokenLogin, TokenRequestSpec,
};
use crate::api::external_secrets::selector::{SecretKeySelector, ServiceAccountSelector};
use crate::api::external_secrets::vault_auth::{
    StoreAppRole, StoreJwt, StoreKubernetes, StoreLdap, StoreUserPass, VaultStoreAuth,
};
use crate::api::reference::is_object_name;
use crate::resolve::{ConnectionPlan, Denied, LoginPlan};

/// Lifetime of a service account's token, in seconds. ESO's.
const TOKEN_SECONDS: i64 = 600;

/// The login of a store. True if the credentials are those of the namespace that uses it.
pub(super) fn login(
    origin: &Origin<'_>,
    auth: Option<&VaultStoreAuth>,
    mut connection: ConnectionPlan,
    namespace: &str,
) -> Result<(LoginPlan, bool), Denied> {
    let no_login = VaultStoreAuth::default();
    let is_without = auth.is_none();
    let auth = auth.unwrap_or(&no_login);
    let found = if let Some(selector) = &auth.token_secret_ref {
        let key = origin.secret_key(selector, "spec.provider.vault.auth.tokenSecretRef", None)?;
        let SecretKey { id, key } = key;
        let method = Method::Token(TokenLogin { secret: id.name.to_string(), key });
        StoreLogin {
            method,
            mount: String::new(),
            namespace: id.namespace.to_string(),
            is_named: selector.namespace.is_some(),
        }
    } else if let Some(app_role) = &auth.app_role {
        app_role_login(origin, app_role)?
    } else if let Some(kubernetes) = &auth.kubernetes {
        kubernetes_login(origin, kubernetes)?
    } else if let Some(StoreLdap { path, username, secret_ref }) = &auth.ldap {
        let mount = path.as_deref().unwrap_or("ldap");
        password_login(origin, (Directory::Ldap, "ldap"), mount, username, secret_ref)?
    } else if let Some(StoreUserPass { path, username, secret_ref }) = &auth.user_pass {
        let mount = path.as_deref().unwrap_or("userpass");
        password_login(origin, (Directory::Vault, "userPass"), mount, username, secret_ref)?
    } else if let Some(jwt) = &auth.jwt {
        jwt_login(origin, jwt)?
    } else if let Some(cert) = &auth.cert {
        let member = "spec.provider.vault.auth.cert";
        let (certificate, key) = origin.certificate(&cert.client_cert, &cert.secret_ref, member)?;
        let (secret, namespace) = (certificate.id.name.to_string(), certificate.id.namespace.to_string());
        connection.client_certificate = Some((certificate, key));
        let method = Method::Cert(CertLogin { role: cert.vault_role.clone().unwrap_or_default(), secret });
        let mount = cert.path.clone().unwrap_or_else(|| "cert".to_owned());
        StoreLogin { method, mount, namespace, is_named: true }
    } else if let Some(iam) = &auth.iam {
        cloud::iam_login(origin, iam)?
    } else if let Some(gcp) = &auth.gcp {
        cloud::gcp_login(origin, gcp)?
    } else if is_without {
        // The store has no `auth` at all.
        let (mount, namespace) = (String::new(), origin.consumer.to_owned());
        StoreLogin { method: Method::NoLogin(NoLogin), mount, namespace, is_named: true }
    } else {
        let text = "cannot initialize Vault client: no valid auth method specified";
        return Err(Denied::Invalid(text.into()));
    };
    let own = auth.namespace.as_deref().map(|own| own.trim_matches('/'));
    let plan = LoginPlan {
        connection,
        vault_namespace: own.unwrap_or(namespace).to_owned(),
        mount: found.mount,
        params: vec![],
        headers: vec![],
        method: found.method,
        credential_namespace: found.namespace,
    };
    Ok((plan, origin.is_cluster_store() && !found.is_named))
}

fn password_login(
    origin: &Origin<'_>,
    (directory, member): (Directory, &str),
    mount: &str,
    username: &str,
    selector: &SecretKeySelector,
) -> Result<StoreLogin, Denied> {
    let member = format!("spec.provider.vault.auth.{member}");
    let username = username.trim();
    if username.is_empty() {
        return Err(Denied::Invalid(format!("{member} has no username")));
    }
    let SecretKey { id, key } = origin.secret_key(selector, &format!("{member}.secretRef"), None)?;
    let (username, secret) = (username.to_owned(), id.name.to_string());
    let method = Method::Password(PasswordLogin { directory, username, secret, key });
    let (mount, namespace) = (mount.to_owned(), id.namespace.to_string());
    Ok(StoreLogin { method, mount, namespace, is_named: selector.namespace.is_some() })
}

fn app_role_login(origin: &Origin<'_>, app_role: &StoreAppRole) -> Result<StoreLogin, Denied> {
    let member = "spec.provider.vault.auth.appRole";
    let SecretKey { id, key } = origin.secret_key(&app_role.secret_ref, &format!("{member}.secretRef"), None)?;
    let role_id = match (&app_role.role_id, &app_role.role_ref) {
        (Some(role_id), _) => RoleId::Text(role_id.trim().to_owned()),
        (None, Some(selector)) => {
            let found = origin.secret_key(selector, &format!("{member}.roleRef"), None)?;
            if found.id.namespace != id.namespace {
                let text = format!("{member}: roleRef and secretRef have to name Secrets of one namespace");
                return Err(Denied::Invalid(text));
            }
            RoleId::Secret { name: found.id.name.to_string(), key: found.key }
        }
        (None, None) => {
            let text = "invalid `Auth.AppRole`: neither `roleId` nor `roleRef` was supplied";
            return Err(Denied::Invalid(text.into()));
        }
    };
    let method = Method::AppRole(AppRoleLogin { role_id, secret: id.name.to_string(), key });
    Ok(StoreLogin {
        method,
        mount: app_role.path.clone().unwrap_or_else(|| "approle".to_owned()),
        namespace: id.namespace.to_string(),
        is_named: app_role.secret_ref.namespace.is_some(),
    })
}

fn kubernetes_login(origin: &Origin<'_>, kubernetes: &StoreKubernetes) -> Result<StoreLogin, Denied> {
    let member = "spec.provider.vault.auth.kubernetes";
    let role = kubernetes.role.clone();
    let mount = kubernetes.mount_path.clone().unwrap_or_else(|| "kubernetes".to_owned());
    if let Some(account) = &kubernetes.service_account_ref {
        let (account, namespace, is_named) =
            service_account(origin, account, &format!("{member}.serviceAccountRef"), vec![], None)?;
        return Ok(StoreLogin {
            method: Method::Kubernetes(KubernetesLogin { role, account }),
            mount,
            namespace,
            is_named,
        });
    }
    let Some(selector) = &kubernetes.secret_ref else {
        let text = format!("{member} needs serviceAccountRef or secretRef: the operator's own token goes to no server");
        return Err(Denied::NotAllowed(text));
    };
    let SecretKey { id, key } = origin.secret_key(selector, &format!("{member}.secretRef"), Some("token"))?;
    // Vault takes the token of a Secret at a Kubernetes mount in the request of method `jwt`.
    let source = JwtSource::Secret { name: id.name.to_string(), key };
    let method = Method::Jwt(JwtLogin { role, source });
    Ok(StoreLogin { method, mount, namespace: id.namespace.to_string(), is_named: selector.namespace.is_some() })
}

fn jwt_login(origin: &Origin<'_>, jwt: &StoreJwt) -> Result<StoreLogin, Denied> {
    let member = "spec.provider.vault.auth.jwt";
    let role = jwt.role.clone().unwrap_or_default();
    let mount = jwt.path.clone().unwrap_or_else(|| "jwt".to_owned());
    if let Some(selector) = &jwt.secret_ref {
        let SecretKey { id, key } = origin.secret_key(selector, &format!("{member}.secretRef"), Some("jwt"))?;
        let source = JwtSource::Secret { name: id.name.to_string(), key };
        let is_named = selector.namespace.is_some();
        let namespace = id.namespace.to_string();
        return Ok(StoreLogin { method: Method::Jwt(JwtLogin { role, source }), mount, namespace, is_named });
    }
    let Some(token) = &jwt.kubernetes_service_account_token else {
        return Err(Denied::Invalid(format!("{member} needs secretRef or kubernetesServiceAccountToken")));
    };
    let more = if token.audiences.is_empty() { vec!["vault".to_owned()] } else { token.audiences.clone() };
    let member = format!("{member}.kubernetesServiceAccountToken.serviceAccountRef");
    let (account, namespace, is_named) =
        service_account(origin, &token.service_account_ref, &member, more, token.expiration_seconds)?;
    let method = Method::Jwt(JwtLogin { role, source: JwtSource::ServiceAccount(account) });
    Ok(StoreLogin { method, mount, namespace, is_named })
}

/// A token of a service account, the namespace of that, and whether the store names it.
fn service_account(
    origin: &Origin<'_>,
    selector: &ServiceAccountSelector,
    member: &str,
    audiences: Vec<String>,
    seconds: Option<i64>,
) -> Result<(TokenRequestSpec, String, bool), Denied> {
    if !is_object_name(&selector.name) {
        return Err(Denied::Invalid(format!("{member}.name {:?} is not the name of an object", selector.name)));
    }
    let namespace = origin.namespace_of(selector.namespace.as_deref(), member)?;
    let account = TokenRequestSpec {
        service_account: selector.name.clone(),
        audiences: selector.audiences.iter().cloned().chain(audiences).collect(),
        expiration_seconds: seconds.unwrap_or(TOKEN_SECONDS),
    };
    Ok((account, namespace, selector.namespace.is_some()))
}
