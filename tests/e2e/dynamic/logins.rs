//! Leases and logins: a login that is refused when its token ends, and one that another generation of a VaultAuth asks
//! for in the same way.

use std::time::Duration;

use serde_json::json;

use test_support::engines::engines_policy;
use test_support::{NO_ELECTION, Operator, Tenant};

use super::{Fixture, KIND, retiring};

/// In this time a token of the first story ends.
const WHILE_A_TOKEN_ENDS: Duration = Duration::from_secs(20);

/// How many runs of VaultDynamicSecrets have ended.
fn runs(operator: &Operator) -> f64 {
    let text = operator.metrics();
    let of_kind = |line: &&str| {
        line.starts_with("controller_runtime_reconcile_total{") && line.contains("\"vaultdynamicsecret\"")
    };
    text.lines().filter(of_kind).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn a_login_that_is_refused_when_its_token_ends_is_tried_with_pauses() {
    let tenant = Tenant::new("loginends");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let namespace = &tenant.namespace;
    let role = format!("auth/kubernetes/role/{namespace}");
    rig.database.role("app", 3600, 7200);
    let short = json!({ "token_ttl": "20s", "token_max_ttl": "20s" });
    tenant.cluster.vault("POST", &role, Some(short)).expect("a role");
    tenant.apply(&tenant.workload("Deployment", "app"));
    let operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("plain", &rig.database.creds("app"), json!({})));
    tenant.apply(&rig.object("retiring", &rig.database.creds("app"), retiring()));
    let names = ["plain", "retiring"];
    let first = names.map(|name| rig.wait_lease(name, ""));
    // The old lease waits for a rollout that does not end.
    rig.restarts.patch(KIND, "retiring", json!({ "metadata": { "annotations": { "stamp": "1" } } }));
    let first = [first[0].clone(), rig.wait_lease("retiring", &first[1])];
    rig.wait_condition("retiring", "RolloutComplete", "False", "");

    tenant.cluster.vault("DELETE", &role, None).expect("the role is deleted");
    names.iter().for_each(|name| drop(rig.wait_condition(name, "SecretSynced", "False", "invalid role name")));
    let before = runs(&operator);
    std::thread::sleep(WHILE_A_TOKEN_ENDS);
    let count = runs(&operator) - before;
    assert!(count < 200.0, "{count} runs in {WHILE_A_TOKEN_ENDS:?}");
    names.iter().for_each(|name| drop(rig.wait_condition(name, "SecretSynced", "False", "invalid role name")));

    let policies = [namespace.clone(), engines_policy(namespace)];
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    tenant.cluster.vault_kubernetes_role(namespace, &["app"], &[namespace], &policies, "1h").expect("a role");
    for (name, first) in names.iter().zip(&first) {
        rig.wait_lease(name, first);
        rig.wait_synced(name);
        assert!(rig.works(name), "{name}");
    }
}

#[test]
fn another_generation_of_a_vault_auth_that_asks_for_the_same_login_replaces_nothing() {
    let tenant = Tenant::new("logingeneration");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({})));
    let first = rig.wait_lease("db", "");
    rig.wait_synced("db");
    tenant.apply(&tenant.auth("app", json!({ "allowedNamespaces": ["*"] })));
    rig.restarts.several_refreshes();
    assert_eq!(rig.lease_id("db"), first);
    // Another process has only the status to compare the login with.
    operator.kill();
    let _operator = tenant.operator(&NO_ELECTION);
    rig.restarts.several_refreshes();
    assert_eq!(rig.lease_id("db"), first);
    rig.wait_condition("db", "LeaseRenewal", "True", "Successfully renewed lease");
    assert_eq!(rig.database.lease_ids("app"), [first]);
}
