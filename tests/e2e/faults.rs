//! Faults of Vault and of the way to it. Nothing good is lost, everybody says what is wrong, and all recover by
//! themselves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Marker, Options, Process, VaultStorage};

use test_support::{FAST_RETRY, Tenant, eventually, own};

const GOOD: &str = "faults-hunter2";

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("s{i}")).collect()
}

/// Successful logins of the tenant since a place in Vault's audit log.
fn logins(tenant: &Tenant<'_>, marker: Marker) -> usize {
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let mine = json!(tenant.namespace);
    let logins = entries.iter().filter(|e| e.kind == "response" && e.path == "auth/kubernetes/login");
    logins.filter(|e| e.error.is_empty() && e.raw["auth"]["metadata"]["role"] == mine).count()
}

/// The objects whose condition `SecretSynced` is this.
fn synced(tenant: &Tenant<'_>, status: &str) -> BTreeSet<String> {
    let fits = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|c| c["type"] == "SecretSynced").any(|c| c["status"] == status)
    };
    let objects = tenant.list("vaultstaticsecrets");
    objects.iter().filter(|o| fits(o)).filter_map(|o| Some(o["metadata"]["name"].as_str()?.to_owned())).collect()
}

#[track_caller]
fn wait_all(tenant: &Tenant<'_>, status: &str, names: &[String]) {
    eventually(&format!("SecretSynced={status} for {names:?}"), || {
        let there = synced(tenant, status);
        let missing: Vec<_> = names.iter().filter(|name| !there.contains(*name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not {missing:?}")) }
    });
}

#[test]
fn a_vault_that_is_sealed_or_killed_loses_nothing() {
    let cluster = own(Options { vault: VaultStorage::Raft, ..Options::default() });
    let tenant = Tenant::on(&cluster, "sealed");
    let names = names(4);
    names.iter().for_each(|name| tenant.put(name, json!({ "password": GOOD })));
    tenant.apply(&tenant.workload("Deployment", "app"));
    // An hour between two tries of an object: whoever recovers was woken.
    let mut operator = tenant.operator(&["--backoff-initial-interval=1h", "--backoff-max-interval=1h"]);
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    let objects = names.iter().map(|name| tenant.static_secret(name, targets.clone()));
    tenant.apply_all(&objects.collect::<Vec<_>>());
    wait_all(&tenant, "True", &names);
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    let secrets = || -> Vec<String> { names.iter().map(|name| tenant.version("secret", name)).collect() };
    let before = secrets();

    cluster.vault_seal().expect("Vault is sealed");
    tenant.wait_not_ready("vaultconnection", "vault", "VaultSealed", &["Vault is sealed", cluster.vault_addr()]);
    wait_all(&tenant, "False", &names);
    tenant.wait_failure("s0", "VaultClientError", &["Vault is sealed", &format!("secret/data/{}", tenant.path("s0"))]);
    tenant.apply(&tenant.static_secret("new", json!({ "path": tenant.path("s0") })));
    tenant.wait_failure("new", "VaultClientError", &["Vault is sealed"]);
    let mut changed = tenant.static_secret("s3", targets);
    changed["spec"]["destination"]["labels"] = json!({ "team": "blue" });
    tenant.apply(&changed);
    assert_eq!(secrets(), before, "no Secret is touched");

    let marker = cluster.vault_audit_marker().expect("the audit log");
    cluster.vault_unseal().expect("Vault is unsealed");
    wait_all(&tenant, "True", &names);
    tenant.wait_value("new", "password", GOOD);
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    assert_eq!(secrets()[..3], before[..3], "nothing had changed");
    eventually("what was asked for while Vault was sealed", || match tenant.get("secret", "s3") {
        Ok(secret) if secret["metadata"]["labels"]["team"] == "blue" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(logins(&tenant, marker), 0, "the token has outlived it");
    assert_eq!(tenant.generation("deployment", "app"), 1, "an outage restarts nobody");
    operator.terminate();

    let mut operator = tenant.operator(&FAST_RETRY);
    wait_all(&tenant, "True", &names);
    cluster.kill(Process::Vault).expect("Vault is killed");
    tenant.wait_not_ready("vaultconnection", "vault", "InvalidConfiguration", &["Vault cannot be reached", "refused"]);
    wait_all(&tenant, "False", &names);
    cluster.start_again(Process::Vault).expect("Vault starts");
    tenant.wait_not_ready("vaultconnection", "vault", "VaultSealed", &["Vault is sealed"]);
    cluster.vault_unseal().expect("Vault is unsealed");
    tenant.put("s1", json!({ "password": "after the crash" }));
    tenant.wait_value("s1", "password", "after the crash");
    wait_all(&tenant, "True", &names);
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    eventually("one restart for the one change", || match tenant.generation("deployment", "app") {
        2 => Ok(()),
        other => Err(format!("generation {other}")),
    });

    // A start while Vault is sealed.
    operator.kill();
    cluster.vault_seal().expect("Vault is sealed");
    let operator = tenant.operator(&FAST_RETRY);
    wait_all(&tenant, "False", &names);
    let told = || operator.log().matches("\"not synced\"").count();
    let before = told();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(told(), before, "an outage that goes on is no news");
    cluster.vault_unseal().expect("Vault is unsealed");
    wait_all(&tenant, "True", &names);
    assert_eq!(tenant.generation("deployment", "app"), 2);
    tenant.assert_nothing_leaked(&operator, &[GOOD, "after the crash"]);
}

#[test]
fn a_revoked_token_costs_one_login_and_a_lost_policy_few() {
    let tenant = Tenant::new("revoked");
    let vault = |method: &str, path: &str, body: Value| tenant.cluster.vault(method, path, Some(body));
    let names = names(20);
    names.iter().for_each(|name| tenant.put(name, json!({ "password": GOOD })));
    let operator = tenant.operator(&FAST_RETRY);
    let objects = names.iter().map(|name| tenant.static_secret(name, json!({})));
    tenant.apply_all(&objects.collect::<Vec<_>>());
    wait_all(&tenant, "True", &names);
    let versions = || -> Vec<String> { names.iter().map(|name| tenant.version("vaultstaticsecret", name)).collect() };
    let before = versions();
    // A token that has only just been given is not doubted.
    std::thread::sleep(Duration::from_secs(6));

    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    assert_eq!(tenant.revoke_tokens(), 1, "all objects share one token");
    for name in ["s0", "s7", "s19"] {
        tenant.put(name, json!({ "password": "after-hunter2" }));
        tenant.wait_value(name, "password", "after-hunter2");
    }
    assert_eq!(logins(&tenant, marker), 1);
    for (i, (name, version)) in names.iter().zip(versions()).enumerate() {
        let changed = [0, 7, 19].contains(&i);
        assert_eq!(version != before[i], changed, "{name}: nobody noticed but by the new content");
    }

    let started = Instant::now();
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let policy = format!("sys/policies/acl/{}", tenant.namespace);
    let rules = vault("GET", &policy, json!(null)).expect("the policy")["data"]["policy"].clone();
    vault("DELETE", &policy, json!(null)).expect("the policy is taken away");
    wait_all(&tenant, "False", &names);
    tenant.wait_failure(
        "s3",
        "VaultClientError",
        &["permission denied", &format!("secret/data/{}", tenant.path("s3"))],
    );
    assert_eq!(tenant.value("s3", "password").unwrap(), GOOD);
    vault("PUT", &policy, json!({ "policy": rules })).expect("the policy is given back");
    wait_all(&tenant, "True", &names);
    // A fresh login may show another policy: one is tried, the next half a minute later at the earliest.
    let limit = 2 + usize::try_from(started.elapsed().as_secs() / 27).expect("a small number");
    let count = logins(&tenant, marker);
    assert!(count <= limit, "{count} logins, at most {limit}");
    tenant.assert_nothing_leaked(&operator, &[GOOD, "after-hunter2"]);
}

#[test]
fn a_vault_that_hangs_or_cuts_connections_holds_up_no_other() {
    let tenant = Tenant::new("hanging");
    let proxy = tenant.cluster.proxy("hanging", tenant.cluster.vault_addr()).expect("a proxy");
    let address = proxy.url("http");
    let (bad, good): (Vec<_>, Vec<_>) =
        ((0..10).map(|i| format!("bad{i}")).collect(), (0..3).map(|i| format!("good{i}")).collect());
    bad.iter().chain(&good).for_each(|name| tenant.put(name, json!({ "password": GOOD })));
    let connection =
        |timeout: &str| tenant.object("VaultConnection", "hanging", json!({ "address": address, "timeout": timeout }));
    let mut objects = vec![connection("120s"), tenant.auth("hanging", json!({ "vaultConnectionRef": "hanging" }))];
    objects.extend(bad.iter().map(|name| tenant.static_secret(name, json!({ "vaultAuthRef": "hanging" }))));
    objects.extend(good.iter().map(|name| tenant.static_secret(name, json!({}))));
    // Few workers, so that the hanging requests could hold them all.
    let mut operator = tenant.operator(&[FAST_RETRY[0], FAST_RETRY[1], "--max-concurrent-reconciles=6"]);
    tenant.apply_all(&objects);
    wait_all(&tenant, "True", &[&bad[..], &good].concat());
    let before = tenant.condition("vaultstaticsecret", "good0", "Ready").unwrap();

    proxy.add_black_hole().expect("nothing comes through");
    for round in 0..3 {
        let value = format!("round {round}");
        good.iter().for_each(|name| tenant.put(name, json!({ "password": value })));
        good.iter().for_each(|name| tenant.wait_value(name, "password", &value));
    }
    assert_eq!(tenant.condition("vaultstaticsecret", "good0", "Ready").unwrap(), before, "it never failed");
    // With requests that hang for two minutes it ends all the same.
    operator.terminate();

    let operator = tenant.operator(&[FAST_RETRY[0], FAST_RETRY[1], "--max-concurrent-reconciles=6"]);
    tenant.apply(&connection("1s"));
    tenant.wait_not_ready("vaultconnection", "hanging", "InvalidConfiguration", &["timed out", &address]);
    wait_all(&tenant, "False", &bad);
    tenant.wait_failure("bad3", "VaultClientConfigError", &["Vault cannot be reached", "timed out"]);
    proxy.clear().expect("all comes through");
    wait_all(&tenant, "True", &bad);
    tenant.wait_condition("vaultconnection", "hanging", "Ready", "True", "");

    proxy.add_reset(0).expect("connections are reset");
    wait_all(&tenant, "False", &bad);
    tenant.wait_not_ready("vaultconnection", "hanging", "InvalidConfiguration", &["Vault cannot be reached"]);
    proxy.clear().expect("all comes through");
    wait_all(&tenant, "True", &bad);
    let secrets = || -> Vec<String> { bad.iter().map(|name| tenant.version("secret", name)).collect() };
    let before = secrets();

    // The head of an answer, and a part of its body.
    proxy.add_limit(200).expect("answers are cut short");
    wait_all(&tenant, "False", &bad);
    assert_eq!(secrets(), before);
    proxy.clear().expect("all comes through");
    wait_all(&tenant, "True", &[&bad[..], &good].concat());
    tenant.wait_condition("vaultconnection", "hanging", "Ready", "True", "");
    assert_eq!(secrets(), before);
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
