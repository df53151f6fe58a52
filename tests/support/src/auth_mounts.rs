//! Auth mounts of one tenant, and what is checked of logins.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::environment::eventually;
use crate::kube_client::encoded;
use crate::tenant::Tenant;

/// A mount of an auth method, of this tenant only.
pub fn mount(tenant: &Tenant<'_>, method: &str) -> String {
    let path = format!("{method}-{}", tenant.namespace);
    tenant.cluster.vault("POST", &format!("sys/auth/{path}"), Some(json!({ "type": method }))).expect("an auth mount");
    path
}

/// Vault checks tokens with the key that the API server signs them with.
pub fn jwt_mount(tenant: &Tenant<'_>) -> String {
    let path = mount(tenant, "jwt");
    let key = tenant.cluster.certificate_authority().with_file_name("sa.pub");
    let key = std::fs::read_to_string(key).expect("the key that checks tokens of service accounts");
    let config = json!({ "jwt_validation_pubkeys": [key] });
    tenant.cluster.vault("POST", &format!("auth/{path}/config"), Some(config)).expect("its configuration");
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": tenant.namespace,
        "bound_subject": format!("system:serviceaccount:{}:app", tenant.namespace), "token_ttl": "1h",
    });
    tenant.cluster.vault("POST", &format!("auth/{path}/role/app"), Some(role)).expect("a role");
    path
}

/// A mount without a role.
pub fn kubernetes_mount(tenant: &Tenant<'_>) -> String {
    let (path, cluster) = (mount(tenant, "kubernetes"), tenant.cluster);
    let authority = std::fs::read_to_string(cluster.certificate_authority()).expect("a certificate");
    let reviewer = cluster.service_account_token("kube-system", "vault-reviewer", &[]).expect("a token");
    let config = json!({
        "kubernetes_host": cluster.api_server_url(), "kubernetes_ca_cert": authority,
        "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
    });
    cluster.vault("POST", &format!("auth/{path}/config"), Some(config)).expect("its configuration");
    path
}

/// A mount with a role `app`. Gives its path and its role ID.
pub fn app_role_mount(tenant: &Tenant<'_>) -> (String, String) {
    let path = mount(tenant, "approle");
    // Else the role is closed for a quarter of an hour after five logins with a wrong secret ID.
    let tune = json!({ "user_lockout_config": { "lockout_disable": true } });
    tenant.cluster.vault("POST", &format!("sys/auth/{path}/tune"), Some(tune)).expect("it is tuned");
    let role = json!({ "token_policies": tenant.namespace, "token_ttl": "1h" });
    tenant.cluster.vault("POST", &format!("auth/{path}/role/app"), Some(role)).expect("a role");
    let id = tenant.cluster.vault("GET", &format!("auth/{path}/role/app/role-id"), None).expect("a role ID");
    (path, id["data"]["role_id"].as_str().expect("text").to_owned())
}

/// A new secret ID of the role `app` of an AppRole mount.
pub fn new_secret_id(tenant: &Tenant<'_>, mount: &str) -> String {
    let answer = tenant.cluster.vault("POST", &format!("auth/{mount}/role/app/secret-id"), Some(json!({})));
    answer.expect("a secret ID")["data"]["secret_id"].as_str().expect("text").to_owned()
}

/// A Secret with one key.
pub fn secret(name: &str, key: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": encoded(&[(key, value)]) })
}

/// Waits until an object shows upstream's key of the client, which is made of the UIDs of the VaultAuth, of the
/// VaultConnection `vault`, and of what stands for the identity.
#[track_caller]
pub fn wait_cache_key(tenant: &Tenant<'_>, object: &str, auth: &str, method: &str, identity_uid: &str) {
    let part = |kind: &str, name: &str| {
        let metadata = tenant.get(kind, name).expect("the object")["metadata"].clone();
        format!("{}-{}", metadata["uid"].as_str().expect("a UID"), metadata["generation"])
    };
    let input = format!("{}.{}.{identity_uid}", part("vaultauth", auth), part("vaultconnection", "vault"));
    let digest = Sha256::digest(input);
    let hex: String = digest[..7].iter().chain(&digest[28..]).map(|b| format!("{b:02x}")).collect();
    eventually(&format!("{method}-{hex} in the status of {object}"), || {
        let status = tenant.get("vaultstaticsecret", object).map_err(|e| e.to_string())?["status"].clone();
        match status["vaultClientMeta"]["cacheKey"] == format!("{method}-{hex}") {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
}

/// UID of an object in the tenant's namespace.
pub fn uid(tenant: &Tenant<'_>, kind: &str, name: &str) -> String {
    tenant.get(kind, name).expect("the object")["metadata"]["uid"].as_str().expect("a UID").to_owned()
}
