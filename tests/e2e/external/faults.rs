//! Faults of Vault, of clusters and of credentials. Nothing good is lost, each object says what is wrong, once, and all
//! recover by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Options, Process, VaultStorage};

use super::{SERVED, external_secret, object, row, store, vault_provider, wait_failure, wait_synced};
use test_support::audit::{Count, describe};
use test_support::auth_mounts::secret;
use test_support::http_server::{Answer, Request, serve};
use test_support::kube_client::encoded;
use test_support::{Tenant, eventually, own};

const GOOD: &str = "es-faults-hunter2";
const GET: &str = "could not get secret data from provider: ";

/// Warnings about an object, each with how often it was told.
fn warnings(tenant: &Tenant<'_>, name: &str) -> Vec<(String, u64)> {
    let events = tenant.list("events");
    let about = events.iter().filter(|e| e["involvedObject"]["name"] == name && e["type"] == "Warning");
    about.map(|e| (e["message"].as_str().unwrap_or("").to_owned(), e["count"].as_u64().unwrap_or(1))).collect()
}

#[test]
fn a_vault_that_is_sealed_or_killed_loses_nothing() {
    let cluster = own(Options { vault: VaultStorage::Raft, ..Options::default() });
    let tenant = Tenant::on(&cluster, "es-sealed");
    let names = ["a", "b", "c"];
    let operator = tenant.operator(SERVED);
    let mut own_store = store(&tenant);
    own_store["spec"]["refreshInterval"] = json!("5s");
    tenant.apply(&own_store);
    // Its watch may begin late: the API server has only just started.
    tenant.wait_condition_of("secretstore", "vault", ("Ready", "True", Some("Valid")), &["store validated"]);
    for name in names {
        tenant.put(name, json!({ "password": GOOD }));
        // What the store loses is deleted; what it does not tell stays.
        let target = json!({ "deletionPolicy": "Delete" });
        let data = [row(&tenant, "password", name, "password")];
        tenant.apply(&external_secret(&tenant, name, json!({ "target": target, "data": data })));
        wait_synced(&tenant, name);
    }
    let secrets = || names.map(|name| tenant.version("secret", name));
    let before = secrets();

    cluster.vault_seal().expect("Vault is sealed");
    for name in names {
        wait_failure(&tenant, name, &[GET, "Vault is sealed"]);
    }
    tenant.wait_not_ready("secretstore", "vault", "InvalidProviderConfig", &["Vault is sealed"]);
    let versions = || names.map(|name| tenant.version("externalsecret", name));
    let sealed = versions();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(versions(), sealed, "an outage that goes on is no news");
    for name in names {
        let told = warnings(&tenant, name);
        assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 1, "{told:?}");
    }
    cluster.vault_unseal().expect("Vault is unsealed");
    names.iter().for_each(|name| wait_synced(&tenant, name));
    assert_eq!(secrets(), before, "nothing had changed");

    cluster.kill(Process::Vault).expect("Vault is killed");
    for name in names {
        wait_failure(&tenant, name, &[GET, "Vault cannot be reached"]);
    }
    cluster.start_again(Process::Vault).expect("Vault starts");
    cluster.vault_unseal().expect("Vault is unsealed");
    names.iter().for_each(|name| wait_synced(&tenant, name));
    assert_eq!(secrets(), before, "nothing had changed");
    tenant.wait_condition_of("secretstore", "vault", ("Ready", "True", Some("Valid")), &["store validated"]);

    // The token is gone, and no run fails for it.
    std::thread::sleep(Duration::from_secs(6));
    tenant.revoke_tokens();
    tenant.put("a", json!({ "password": "after-hunter2" }));
    tenant.wait_value("a", "password", "after-hunter2");

    // Without the API server nothing is done, and all goes on when it is back.
    cluster.kill(Process::ApiServer).expect("the API server is killed");
    tenant.put("b", json!({ "password": "after-hunter2" }));
    std::thread::sleep(Duration::from_secs(4));
    cluster.start_again(Process::ApiServer).expect("the API server starts");
    tenant.wait_value("b", "password", "after-hunter2");
    names.iter().for_each(|name| wait_synced(&tenant, name));
    tenant.assert_nothing_leaked(&operator, &[GOOD, "after-hunter2"]);
}

#[test]
fn a_store_or_a_credential_that_goes_and_comes_back_loses_nothing() {
    let tenant = Tenant::new("es-store");
    let operator = tenant.operator(SERVED);
    tenant.put("db", json!({ "password": GOOD }));
    let create = json!({ "policies": [tenant.namespace], "ttl": "1h" });
    let answer = tenant.cluster.vault("POST", "auth/token/create-orphan", Some(create)).expect("a token");
    let token = answer["auth"]["client_token"].as_str().expect("text").to_owned();
    let auth = json!({ "kubernetes": null, "tokenSecretRef": { "name": "token", "key": "token" } });
    let mut by_token = object(&tenant, "SecretStore", "by-token", vault_provider(&tenant, json!({ "auth": auth })));
    by_token["spec"]["refreshInterval"] = json!("5s");
    tenant.apply_all(&[store(&tenant), secret("token", "token", &token), by_token]);
    let data = json!({ "data": [row(&tenant, "password", "db", "password")] });
    let mut of_token = data.clone();
    of_token["secretStoreRef"] = json!({ "name": "by-token" });
    tenant.apply_all(&[external_secret(&tenant, "of-store", data), external_secret(&tenant, "of-token", of_token)]);
    let names = ["of-store", "of-token"];
    names.iter().for_each(|name| wait_synced(&tenant, name));
    let secrets = || names.map(|name| tenant.version("secret", name));
    let before = secrets();

    tenant.kubectl(&["delete", "secretstore", "vault"]).unwrap();
    wait_failure(&tenant, "of-store", &[GET, "could not get SecretStore \"vault\""]);
    let count = Count::start(&tenant);
    std::thread::sleep(Duration::from_secs(5));
    let requests = count.requests();
    let asked = requests.iter().filter(|event| event.name != "token").collect::<Vec<_>>();
    assert!(asked.is_empty(), "{}", describe(&requests));
    tenant.apply(&store(&tenant));
    wait_synced(&tenant, "of-store");

    // The Secret with the token goes, and so does the token.
    tenant.kubectl(&["delete", "secret", "token"]).unwrap();
    tenant.cluster.vault("POST", "auth/token/revoke", Some(json!({ "token": token }))).expect("it is revoked");
    wait_failure(&tenant, "of-token", &[GET, "token"]);
    tenant.wait_not_ready("secretstore", "by-token", "InvalidProviderConfig", &["token"]);
    assert_eq!(secrets(), before, "no Secret is touched");
    let answer = tenant
        .cluster
        .vault("POST", "auth/token/create-orphan", Some(json!({ "policies": [tenant.namespace], "ttl": "1h" })))
        .expect("a token");
    let new = answer["auth"]["client_token"].as_str().expect("text").to_owned();
    tenant.apply(&secret("token", "token", &new));
    wait_synced(&tenant, "of-token");
    tenant.wait_condition_of("secretstore", "by-token", ("Ready", "True", Some("Valid")), &["store validated"]);
    assert_eq!(secrets(), before, "nothing had changed");
    tenant.assert_nothing_leaked(&operator, &[GOOD, &token, &new]);
}

/// Waits until all objects of a name and a number have this status.
#[track_caller]
fn wait_all(tenant: &Tenant<'_>, name: &str, count: usize, status: &str) {
    eventually(&format!("{count} of {name} are {status}"), || {
        let objects = tenant.list("externalsecrets");
        let fits = |o: &&Value| {
            o["metadata"]["name"].as_str().is_some_and(|n| n.starts_with(name))
                && o["status"]["conditions"][0]["status"] == status
        };
        match objects.iter().filter(fits).count() {
            n if n == count => Ok(()),
            n => Err(format!("{n}")),
        }
    });
}

#[test]
fn a_login_that_fails_costs_one_attempt_for_each_pause_however_many_wait() {
    const OBJECTS: usize = 100;
    let tenant = Tenant::new("es-flood");
    let (answers, good) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, is_good) = (answers.clone(), good.clone());
    let host = serve(Arc::new(move |request: &Request| {
        if is_good.load(Ordering::SeqCst) == 0 {
            count.fetch_add(1, Ordering::SeqCst);
            let status = json!({ "kind": "Status", "reason": "Unauthorized", "message": "Unauthorized" });
            return Answer { status: 401, ..Answer::json(&status) };
        }
        if request.path.contains("selfsubject") {
            let rules = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }]);
            return Answer::json(&json!({ "status": { "resourceRules": rules } }));
        }
        let data = encoded(&[("password", GOOD)]);
        Answer::json(&json!({ "kind": "Secret", "metadata": { "name": "db" }, "data": data }))
    }));
    let operator = tenant.operator(&["--external-secrets"]);
    tenant.put("db", json!({ "password": GOOD }));
    let provider = json!({ "kubernetes": {
        "remoteNamespace": "far", "server": { "url": format!("http://{host}") },
        "auth": { "token": { "bearerToken": { "name": "token", "key": "token" } } },
    } });
    let wrong = vault_provider(&tenant, json!({ "auth": { "kubernetes": { "role": "es-flood-nobody" } } }));
    tenant.apply_all(&[
        secret("token", "token", "es-faults-token-hunter2"),
        object(&tenant, "SecretStore", "far", json!({ "provider": provider })),
        object(&tenant, "SecretStore", "wrong", wrong),
    ]);
    let of = |name: &str, store: &str, i: usize| {
        let line = match store {
            "far" => json!({ "secretKey": "password", "remoteRef": { "key": "db", "property": "password" } }),
            _ => row(&tenant, "password", "db", "password"),
        };
        let spec = json!({ "secretStoreRef": { "name": store }, "data": [line] });
        external_secret(&tenant, &format!("{name}-{i}"), spec)
    };
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let count = Count::start(&tenant);
    let started = Instant::now();
    for (name, store) in [("far", "far"), ("wrong", "wrong")] {
        tenant.apply_all(&(0..OBJECTS).map(|i| of(name, store, i)).collect::<Vec<_>>());
    }
    for name in ["far", "wrong"] {
        wait_all(&tenant, name, OBJECTS, "False");
    }
    wait_failure(&tenant, "far-7", &[GET, "Unauthorized"]);
    wait_failure(&tenant, "wrong-7", &[GET, "invalid role name"]);
    std::thread::sleep(Duration::from_secs(20).saturating_sub(started.elapsed()));
    let seconds = started.elapsed().as_secs_f64();
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let is_login = |e: &&testenv::VaultAuditEntry| {
        e.kind == "response" && e.path == "auth/kubernetes/login" && e.raw.to_string().contains("es-flood-nobody")
    };
    let logins = entries.iter().filter(is_login).count();
    // Pauses of 5, 7.5, 11.25 ... s, each shortened by half at most; the check of the store may begin anew.
    let limit = 3.0 + seconds / 2.5;
    let attempts = answers.load(Ordering::SeqCst);
    assert!(attempts >= 1 && (attempts as f64) < limit, "{attempts} attempts in {seconds} s");
    assert!((logins as f64) < limit, "{logins} logins in {seconds} s");
    let reads = count.requests().iter().filter(|e| e.verb == "get" && e.name == "token").count();
    assert!((reads as f64) < limit, "{reads} reads of the token in {seconds} s");

    good.store(1, Ordering::SeqCst);
    wait_all(&tenant, "far", OBJECTS, "True");
    let told = warnings(&tenant, "far-7");
    assert_eq!(told.iter().map(|(_, count)| count).sum::<u64>(), 1, "{told:?}");
    tenant.assert_nothing_leaked(&operator, &[GOOD, "es-faults-token-hunter2"]);
}

#[test]
fn a_cluster_that_is_down_or_takes_no_token_any_more_is_read_again_when_it_does() {
    let cluster = own(Options::default());
    let tenant = Tenant::on(&cluster, "es-down");
    let operator = tenant.operator(SERVED);
    let proxy = cluster.proxy("far", cluster.api_server_url().trim_start_matches("https://")).expect("a proxy");
    let here = tenant.namespace.clone();
    tenant
        .kubectl(&["create", "rolebinding", "app", "--clusterrole=admin", &format!("--serviceaccount={here}:app")])
        .unwrap();
    tenant.kubectl(&["create", "secret", "generic", "source", &format!("--from-literal=password={GOOD}")]).unwrap();
    let authority = std::fs::read_to_string(cluster.certificate_authority()).expect("a certificate");
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca" }, "data": { "ca.crt": authority },
    });
    let provider = json!({ "kubernetes": {
        "remoteNamespace": here,
        "server": { "url": proxy.url("https"), "caProvider": { "type": "ConfigMap", "name": "ca", "key": "ca.crt" } },
        "auth": { "serviceAccount": { "name": "app" } },
    } });
    let mut far = object(&tenant, "SecretStore", "far", json!({ "provider": provider }));
    far["spec"]["refreshInterval"] = json!("5s");
    tenant.apply_all(&[config_map, far]);
    let line = json!({ "secretKey": "password", "remoteRef": { "key": "source", "property": "password" } });
    let target = json!({ "deletionPolicy": "Delete" });
    let spec = json!({ "secretStoreRef": { "name": "far" }, "target": target, "data": [line] });
    tenant.apply(&external_secret(&tenant, "copy", spec));
    tenant.wait_value("copy", "password", GOOD);
    let before = tenant.version("secret", "copy");

    proxy.cut().expect("the way is cut");
    wait_failure(&tenant, "copy", &[GET]);
    tenant.wait_not_ready("secretstore", "far", "InvalidProviderConfig", &["unable to "]);
    assert_eq!(tenant.version("secret", "copy"), before);
    proxy.restore().expect("the way is back");
    wait_synced(&tenant, "copy");
    tenant.wait_condition_of("secretstore", "far", ("Ready", "True", Some("Valid")), &["store validated"]);
    assert_eq!(tenant.version("secret", "copy"), before);

    // A service account that is made again makes its tokens invalid. The next request gets a new one.
    tenant.kubectl(&["delete", "serviceaccount", "app"]).unwrap();
    wait_failure(&tenant, "copy", &[GET]);
    tenant.kubectl(&["create", "serviceaccount", "app"]).unwrap();
    wait_synced(&tenant, "copy");
    // A right that is taken away is not the absence of data.
    tenant.kubectl(&["delete", "rolebinding", "app"]).unwrap();
    wait_failure(&tenant, "copy", &[GET, "forbidden"]);
    assert_eq!(tenant.version("secret", "copy"), before);
    tenant
        .kubectl(&["create", "rolebinding", "app", "--clusterrole=admin", &format!("--serviceaccount={here}:app")])
        .unwrap();
    wait_synced(&tenant, "copy");
    assert_eq!(tenant.version("secret", "copy"), before);
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
