//! Credentials and authorities of stores are watched: a store is looked at again as soon as one changes, and what waits
//! for the store goes on.

use std::time::Duration;

use serde_json::{Value, json};
use testenv::Options;

use super::{cluster_provider, external_secret, object, row, vault_provider, wait_failure, wait_synced};
use test_support::auth_mounts::{mount, secret};
use test_support::tls_vault::TlsVault;
use test_support::{Tenant, eventually, own};

const GOOD: &str = "es-credentials-hunter2";
const GET: &str = "could not get secret data from provider";
const AWHILE: Duration = Duration::from_secs(3);
/// No pause after a failure ends during a test, and no interval: only a change does anything.
const PATIENT: &[&str] = &["--external-secrets", "--backoff-initial-interval=20m", "--backoff-max-interval=20m"];

/// An ExternalSecret of the secret `db`, read once in an hour.
fn user_of(tenant: &Tenant<'_>, store: (&str, &str), name: &str, row: &Value) -> Value {
    let (kind, store) = store;
    let reference = json!({ "kind": kind, "name": store });
    external_secret(tenant, name, json!({ "secretStoreRef": reference, "refreshInterval": "1h", "data": [row] }))
}

/// A store that is checked once in an hour.
fn patient(mut store: Value) -> Value {
    store["spec"]["refreshInterval"] = json!("1h");
    store
}

fn wait_valid(tenant: &Tenant<'_>, store: &str) {
    tenant.wait_condition_of("secretstore", store, ("Ready", "True", Some("Valid")), &["store validated"]);
}

#[test]
fn a_credential_that_changes_is_tried_at_once() {
    let tenant = Tenant::new("es-rotated");
    tenant.put("db", json!({ "password": GOOD }));
    let user_pass = mount(&tenant, "userpass");
    let tune = json!({ "user_lockout_config": { "lockout_disable": true } });
    tenant.cluster.vault("POST", &format!("sys/auth/{user_pass}/tune"), Some(tune)).expect("it is tuned");
    let set_password = |password: &str| {
        let user = json!({ "password": password, "token_policies": tenant.namespace });
        tenant.cluster.vault("POST", &format!("auth/{user_pass}/users/app"), Some(user)).expect("a user");
    };
    set_password("es-one-hunter2");
    let operator = tenant.operator(PATIENT);
    let login = json!({ "path": user_pass, "username": "app", "secretRef": { "name": "user", "key": "password" } });
    let auth = json!({ "kubernetes": null, "userPass": login });
    let store = object(&tenant, "SecretStore", "vault", vault_provider(&tenant, json!({ "auth": auth })));
    tenant.apply_all(&[secret("user", "password", "es-one-hunter2"), patient(store)]);
    let line = row(&tenant, "password", "db", "password");
    let user = |name: &str| user_of(&tenant, ("SecretStore", "vault"), name, &line);
    tenant.apply(&user("first"));
    wait_synced(&tenant, "first");
    wait_valid(&tenant, "vault");
    let before = tenant.version("secret", "first");

    // What is written on the Secret beside the credential is no reason for a login, and neither is another Secret.
    std::thread::sleep(AWHILE);
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    tenant.kubectl(&["annotate", "secret", "user", "team=a"]).unwrap();
    tenant.kubectl(&["create", "secret", "generic", "another", "--from-literal=password=x"]).unwrap();
    std::thread::sleep(AWHILE);
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let logins = entries.iter().filter(|e| e.path.starts_with(&format!("auth/{user_pass}/login"))).count();
    assert_eq!(logins, 0);

    tenant.apply(&secret("user", "password", "es-wrong-hunter2"));
    tenant.wait_not_ready("secretstore", "vault", "InvalidProviderConfig", &["invalid vault credentials"]);
    tenant.apply(&user("second"));
    wait_failure(&tenant, "second", &[GET]);
    assert_eq!(tenant.version("secret", "first"), before, "nothing good is lost");
    set_password("es-two-hunter2");
    tenant.apply(&secret("user", "password", "es-two-hunter2"));
    wait_valid(&tenant, "vault");
    wait_synced(&tenant, "second");
    tenant.wait_value("second", "password", GOOD);

    tenant.kubectl(&["delete", "secret", "user"]).unwrap();
    tenant.wait_not_ready("secretstore", "vault", "InvalidProviderConfig", &["Secret", "user", "does not exist"]);
    tenant.apply(&secret("user", "password", "es-two-hunter2"));
    wait_valid(&tenant, "vault");
    assert_eq!(tenant.version("secret", "first"), before);
    tenant.assert_nothing_leaked(&operator, &[GOOD, "es-one-hunter2", "es-two-hunter2", "es-wrong-hunter2"]);
}

#[test]
fn a_service_account_that_goes_is_told_at_once() {
    let tenant = Tenant::new("es-account");
    tenant.put("db", json!({ "password": GOOD }));
    let _operator = tenant.operator(PATIENT);
    let store = object(&tenant, "SecretStore", "vault", vault_provider(&tenant, json!({})));
    let line = row(&tenant, "password", "db", "password");
    tenant.apply_all(&[patient(store), user_of(&tenant, ("SecretStore", "vault"), "made", &line)]);
    wait_synced(&tenant, "made");
    wait_valid(&tenant, "vault");
    tenant.kubectl(&["delete", "serviceaccount", "app"]).unwrap();
    tenant.wait_not_ready("secretstore", "vault", "InvalidProviderConfig", &["serviceaccounts", "app", "not found"]);
    tenant.kubectl(&["create", "serviceaccount", "app"]).unwrap();
    wait_valid(&tenant, "vault");
    tenant.wait_value("made", "password", GOOD);
}

#[test]
fn an_authority_that_is_replaced_is_trusted_at_once() {
    let tenant = Tenant::new("es-authority");
    let mut vault = TlsVault::new(tenant.cluster);
    vault.start();
    vault.prepare(&tenant, GOOD);
    let put = |vault: &TlsVault<'_>| {
        let value = format!("password={GOOD}");
        vault.run(&["kv", "put", &format!("secret/{}", tenant.path("db")), &value]).expect("a secret");
    };
    put(&vault);
    let authority = |pem: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca" }, "data": { "ca.pem": pem } });
    let _operator = tenant.operator(PATIENT);
    let ca = json!({ "type": "ConfigMap", "name": "ca", "key": "ca.pem" });
    let spec = vault_provider(&tenant, json!({ "server": vault.address(), "caProvider": ca }));
    let line = row(&tenant, "password", "db", "password");
    tenant.apply_all(&[
        authority(&vault.authority()),
        patient(object(&tenant, "SecretStore", "vault", spec)),
        user_of(&tenant, ("SecretStore", "vault"), "first", &line),
    ]);
    wait_synced(&tenant, "first");
    wait_valid(&tenant, "vault");
    let good = vault.authority();
    // No certificate of the server is of this authority.
    let other = rcgen::generate_simple_self_signed(vec!["other.test".to_owned()]).expect("a certificate").cert.pem();
    tenant.apply(&authority(&other));
    tenant.wait_not_ready("secretstore", "vault", "InvalidProviderConfig", &["TLS handshake with Vault failed"]);
    tenant.apply(&user_of(&tenant, ("SecretStore", "vault"), "second", &line));
    wait_failure(&tenant, "second", &[GET, "TLS handshake with Vault failed"]);
    tenant.apply(&authority(&good));
    wait_valid(&tenant, "vault");
    wait_synced(&tenant, "second");
}

#[test]
fn a_token_for_a_cluster_is_replaced_at_once() {
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "es-far");
    let here = tenant.namespace.clone();
    let token = tenant.cluster.service_account_token(&here, "app", &[]).expect("a token");
    let account = format!("--serviceaccount={here}:app");
    tenant.kubectl(&["create", "rolebinding", "app", "--clusterrole=admin", &account]).unwrap();
    tenant.kubectl(&["create", "secret", "generic", "source", &format!("--from-literal=password={GOOD}")]).unwrap();
    let operator = tenant.operator(PATIENT);
    let auth = json!({ "token": { "bearerToken": { "name": "token", "key": "token" } } });
    let provider = cluster_provider(&tenant, &here, auth);
    let store = patient(object(&tenant, "SecretStore", "far", provider.clone()));
    // The credentials of this one are those of the namespace of its user.
    let name = format!("{here}-far");
    let mut of_users = patient(object(&tenant, "ClusterSecretStore", &name, provider));
    of_users["metadata"].as_object_mut().expect("an object").remove("namespace");
    let line = json!({ "secretKey": "password", "remoteRef": { "key": "source", "property": "password" } });
    tenant.apply_all(&[secret("token", "token", "es-wrong-hunter2"), store, of_users]);
    tenant.apply(&user_of(&tenant, ("SecretStore", "far"), "copy", &line));
    tenant.apply(&user_of(&tenant, ("ClusterSecretStore", &name), "by-user", &line));
    tenant.apply(&push_to(&tenant, ("ClusterSecretStore", &name), "pushed", Some("password")));
    for name in ["copy", "by-user"] {
        wait_failure(&tenant, name, &[GET, "Unauthorized"]);
    }
    wait_push(&tenant, Err("Unauthorized"));
    tenant.wait_not_ready("secretstore", "far", "InvalidProviderConfig", &["Unauthorized"]);
    tenant.apply(&secret("token", "token", &token));
    wait_valid(&tenant, "far");
    for name in ["copy", "by-user"] {
        wait_synced(&tenant, name);
        tenant.wait_value(name, "password", GOOD);
    }
    wait_push(&tenant, Ok(()));
    tenant.wait_value("pushed", "password", GOOD);
    // A good one that becomes a wrong one is told, too.
    tenant.apply(&secret("token", "token", "es-wrong-hunter2"));
    tenant.wait_not_ready("secretstore", "far", "InvalidProviderConfig", &["Unauthorized"]);
    wait_push(&tenant, Err("Unauthorized"));
    tenant.assert_nothing_leaked(&operator, &[GOOD, &token, "es-wrong-hunter2"]);
}

/// A PushSecret `push` of the key `password` of the Secret `source`, pushed once in an hour.
fn push_to(tenant: &Tenant<'_>, store: (&str, &str), remote: &str, property: Option<&str>) -> Value {
    let (kind, store) = store;
    let remote = json!({ "remoteKey": remote, "property": property });
    let spec = json!({
        "refreshInterval": "1h", "secretStoreRefs": [{ "kind": kind, "name": store }],
        "selector": { "secret": { "name": "source" } },
        "data": [{ "match": { "secretKey": "password", "remoteRef": remote } }],
    });
    let mut push = object(tenant, "PushSecret", "push", spec);
    push["apiVersion"] = json!("external-secrets.io/v1alpha1");
    push
}

/// Waits until the PushSecret is synced, or fails with a text.
#[track_caller]
fn wait_push(tenant: &Tenant<'_>, wanted: Result<(), &str>) {
    match wanted {
        Ok(()) => tenant.wait_condition_of("pushsecret", "push", ("Ready", "True", Some("Synced")), &[]),
        Err(text) => tenant.wait_condition_of("pushsecret", "push", ("Ready", "False", Some("Errored")), &[text]),
    };
}

#[test]
fn a_push_with_a_credential_of_its_namespace_goes_on_when_that_changes() {
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "es-pusher");
    let rules = "path \"secret/*\" { capabilities = [\"create\", \"read\", \"update\", \"delete\"] }";
    tenant.cluster.vault_policy("es-pusher", rules).expect("a policy");
    let user_pass = mount(&tenant, "userpass");
    let tune = json!({ "user_lockout_config": { "lockout_disable": true } });
    tenant.cluster.vault("POST", &format!("sys/auth/{user_pass}/tune"), Some(tune)).expect("it is tuned");
    let set_password = |password: &str| {
        let user = json!({ "password": password, "token_policies": "es-pusher" });
        tenant.cluster.vault("POST", &format!("auth/{user_pass}/users/app"), Some(user)).expect("a user");
    };
    set_password("es-one-hunter2");
    let operator = tenant.operator(PATIENT);
    let login = json!({ "path": user_pass, "username": "app", "secretRef": { "name": "user", "key": "password" } });
    let provider = vault_provider(&tenant, json!({ "auth": { "kubernetes": null, "userPass": login } }));
    let name = format!("{}-of-users", tenant.namespace);
    let mut store = patient(object(&tenant, "ClusterSecretStore", &name, provider));
    store["metadata"].as_object_mut().expect("an object").remove("namespace");
    tenant.apply_all(&[secret("user", "password", "es-wrong-hunter2"), secret("source", "password", GOOD), store]);
    let push = push_to(&tenant, ("ClusterSecretStore", &name), &tenant.path("pushed"), Some("password"));
    tenant.apply(&push);
    wait_push(&tenant, Err("invalid username or password"));
    tenant.apply(&secret("user", "password", "es-one-hunter2"));
    wait_push(&tenant, Ok(()));
    let path = format!("secret/data/{}", tenant.path("pushed"));
    let pushed = tenant.cluster.vault("GET", &path, None).expect("it is pushed");
    assert_eq!(pushed["data"]["data"]["password"], GOOD);

    // A good one that becomes a wrong one is told, and what was pushed stays.
    tenant.apply(&secret("user", "password", "es-wrong-hunter2"));
    wait_push(&tenant, Err("invalid username or password"));
    set_password("es-two-hunter2");
    tenant.apply(&secret("user", "password", "es-two-hunter2"));
    wait_push(&tenant, Ok(()));
    let after = tenant.cluster.vault("GET", &path, None).expect("it is there");
    assert_eq!(after["data"], pushed["data"], "nothing was written");

    // What was pushed is deleted with a credential that comes only then.
    let mut deletes = push;
    deletes["spec"]["deletionPolicy"] = json!("Delete");
    tenant.apply(&deletes);
    eventually("it has its finalizer", || match tenant.get("pushsecret", "push") {
        Ok(push) if push["metadata"]["finalizers"].is_array() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    tenant.apply(&secret("user", "password", "es-wrong-hunter2"));
    wait_push(&tenant, Err("invalid username or password"));
    tenant.kubectl(&["delete", "pushsecret", "push", "--wait=false"]).unwrap();
    std::thread::sleep(AWHILE);
    assert!(tenant.get("pushsecret", "push").is_ok(), "it waits for the store");
    tenant.apply(&secret("user", "password", "es-two-hunter2"));
    eventually("it is gone", || match tenant.get("pushsecret", "push") {
        Err(_) => Ok(()),
        Ok(push) => Err(push.to_string()),
    });
    assert!(tenant.cluster.vault("GET", &path, None).is_err(), "it is deleted");
    tenant.assert_nothing_leaked(&operator, &[GOOD, "es-one-hunter2", "es-two-hunter2", "es-wrong-hunter2"]);
}
