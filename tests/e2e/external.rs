//! ExternalSecret, SecretStore and ClusterSecretStore of `external-secrets.io`.

mod bounds;
mod cluster_store;
mod credentials;
mod fan_out;
mod faults;
mod generators;
mod holds;
mod hostile;
mod input;
mod logins;
mod push;
mod restarts;
mod samples;
mod seeds;
mod sync;
mod takeover;
mod targets;
mod vault;
mod watches;

use serde_json::{Value, json};

use test_support::Tenant;

/// Arguments of an operator that serves the kinds.
const SERVED: &[&str] = &["--external-secrets", "--backoff-initial-interval=1s", "--backoff-max-interval=3s"];

/// An object of the group in the tenant's namespace.
fn object(tenant: &Tenant<'_>, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "external-secrets.io/v1",
        "kind": kind,
        "metadata": { "name": name, "namespace": tenant.namespace },
        "spec": spec,
    })
}

/// The Vault of the tenant with its KV v2 engine, with the login of its VaultAuth. Members of `vault` win.
fn vault_provider(tenant: &Tenant<'_>, vault: Value) -> Value {
    let account = json!({ "name": "app", "audiences": ["vault"] });
    let mut provider = json!({
        "server": tenant.cluster.vault_addr(),
        "path": "secret",
        "auth": { "kubernetes": { "role": tenant.namespace, "serviceAccountRef": account } },
    });
    json_patch::merge(&mut provider, &vault);
    json!({ "provider": { "vault": provider } })
}

/// The cluster of the tests as a provider that reads a namespace with this login.
fn cluster_provider(tenant: &Tenant<'_>, namespace: &str, auth: Value) -> Value {
    let config = |path: &str| {
        let output = format!("--output=jsonpath={{.clusters[0].cluster.{path}}}");
        tenant.cluster.kubectl(&["config", "view", "--flatten", "--minify", &output]).unwrap()
    };
    let server = json!({ "url": config("server"), "caBundle": config("certificate-authority-data") });
    json!({ "provider": { "kubernetes": { "remoteNamespace": namespace, "server": server, "auth": auth } } })
}

/// The SecretStore `vault`.
pub fn store(tenant: &Tenant<'_>) -> Value {
    object(tenant, "SecretStore", "vault", vault_provider(tenant, json!({})))
}

/// An ExternalSecret of the store `vault` that is read every second. Members of `spec` win.
fn external_secret(tenant: &Tenant<'_>, name: &str, spec: Value) -> Value {
    let mut full = json!({ "secretStoreRef": { "name": "vault" }, "refreshInterval": "1s" });
    json_patch::merge(&mut full, &spec);
    object(tenant, "ExternalSecret", name, full)
}

/// A row of `spec.data`: the property of a secret of the tenant becomes a key.
fn row(tenant: &Tenant<'_>, key: &str, secret: &str, property: &str) -> Value {
    json!({ "secretKey": key, "remoteRef": { "key": tenant.path(secret), "property": property } })
}

/// A token with these rules beside those of the tenant.
fn token(tenant: &Tenant<'_>, rules: &str) -> String {
    let policy = format!("{}-more", tenant.namespace);
    tenant.cluster.vault_policy(&policy, rules).expect("a policy");
    let body = json!({ "policies": [tenant.namespace, policy], "ttl": "1h" });
    let answer = tenant.cluster.vault("POST", "auth/token/create-orphan", Some(body)).expect("a token");
    answer["auth"]["client_token"].as_str().expect("text").to_owned()
}

/// A SecretStore with this login.
fn store_of(tenant: &Tenant<'_>, name: &str, auth: Value) -> Value {
    let mut provider = vault_provider(tenant, json!({ "auth": { "kubernetes": null } }));
    json_patch::merge(&mut provider["provider"]["vault"]["auth"], &auth);
    object(tenant, "SecretStore", name, provider)
}

/// An ExternalSecret of one value of the secret `db`, of the store of that name.
pub fn user_of(tenant: &Tenant<'_>, name: &str) -> Value {
    let data = [row(tenant, "password", "db", "password")];
    external_secret(tenant, name, json!({ "secretStoreRef": { "name": name }, "data": data }))
}

/// Waits until an ExternalSecret is synced.
#[track_caller]
fn wait_synced(tenant: &Tenant<'_>, name: &str) {
    tenant.wait_condition_of("externalsecret", name, ("Ready", "True", Some("SecretSynced")), &["secret synced"]);
}

/// Waits until an ExternalSecret says in its condition and in an event that it is not synced.
#[track_caller]
fn wait_failure(tenant: &Tenant<'_>, name: &str, texts: &[&str]) {
    tenant.wait_condition_of("externalsecret", name, ("Ready", "False", Some("SecretSyncedError")), texts);
    tenant.wait_event(name, "UpdateFailed", texts[0]);
}
