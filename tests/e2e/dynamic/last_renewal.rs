//! A lease that is renewed for the last time: its credentials are replaced before it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use test_support::http_server::{Answer, Request, serve};
use test_support::{NO_ELECTION, Tenant, shared};

use super::Fixture;
use crate::refusal::Refusal;

/// What Vault answers, but that no lease can be renewed again. Those of the role `short` are cut as well.
fn answer(request: &Request) -> Answer {
    let path = request.path.trim_start_matches("/v1/");
    let body: Option<Value> = serde_json::from_str(&request.body).ok();
    let token = request.header("x-vault-token").unwrap_or_default();
    let answered = shared().vault_raw(&request.method, path, body, token);
    let (status, mut answer) = answered.expect("Vault answers");
    if status == 200 && path == "sys/leases/renew" {
        answer["renewable"] = json!(false);
        if answer["lease_id"].as_str().is_some_and(|id| id.contains("/creds/short/")) {
            answer["lease_duration"] = json!(15);
        }
    }
    Answer { status, ..Answer::json(&answer) }
}

#[test]
fn a_lease_that_cannot_be_renewed_again_is_replaced_before_it_ends() {
    let vault = format!("http://{}", serve(Arc::new(answer)));
    let tenant = Tenant::at(shared(), "lastrenewal", &vault, None);
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let _operator = tenant.operator(&NO_ELECTION);
    for (name, why) in [("whole", "Lease is not renewable any more"), ("short", "truncated from 30s to 15s")] {
        rig.database.role(name, 30, 3600);
        tenant.apply(&rig.object(name, &rig.database.creds(name), json!({})));
        let first = rig.wait_lease(name, "");
        let old = rig.credentials(name);
        tenant.wait_event(name, "SecretLeaseRenewal", why);
        rig.wait_lease(name, &first);
        assert!(rig.database.accepts(&old), "{name}: the old credentials are dead when the new ones come");
        assert!(rig.works(name));
        tenant.wait_event(name, "SecretRotated", "sync_reason=\"\"");
    }
}

#[test]
fn a_lease_that_its_engine_cannot_revoke_is_replaced_at_the_next_renewal() {
    let tenant = Tenant::new("unrevocable");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    rig.database.break_revocation("app");
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({ "renewalPercent": 0 })));
    let first = rig.wait_lease("db", "");
    // It has ended from then on, and Vault tries again and again to delete the user.
    tenant.cluster.vault("PUT", "sys/leases/revoke", Some(json!({ "lease_id": first, "sync": false }))).expect("it is");
    let second = rig.wait_lease("db", &first);
    rig.wait_synced("db");
    assert!(rig.works("db") && second != first);
    rig.database.role("app", 600, 3600);
}

#[test]
fn a_lease_that_a_cache_answers_with_again_is_not_revoked() {
    // As Vault Agent and Vault Proxy answer, where they keep leases.
    let cache: Mutex<HashMap<String, Value>> = Mutex::default();
    let keeps = move |request: &Request| {
        let mut cache = cache.lock().expect("it");
        if let Some(known) = cache.get(&request.path) {
            return Answer::json(known);
        }
        let path = request.path.trim_start_matches("/v1/");
        let body: Option<Value> = serde_json::from_str(&request.body).ok();
        let token = request.header("x-vault-token").unwrap_or_default();
        let (status, answer) = shared().vault_raw(&request.method, path, body, token).expect("Vault answers");
        if path.contains("/creds/") && status == 200 {
            cache.insert(request.path.clone(), answer.clone());
        }
        Answer { status, ..Answer::json(&answer) }
    };
    let vault = format!("http://{}", serve(Arc::new(keeps)));
    let tenant = Tenant::at(shared(), "leasecache", &vault, None);
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    let template =
        |text: &str| json!({ "destination": { "transformation": { "templates": { "x": { "text": text } } } } });
    tenant.apply(&rig.object("db", &rig.database.creds("app"), template("one")));
    let first = rig.wait_lease("db", "");
    rig.wait_synced("db");
    let refusal = Refusal::of_secret(&tenant, "db");
    tenant.apply(&rig.object("db", &rig.database.creds("app"), template("two")));
    rig.wait_condition("db", "SecretSynced", "False", "not now");
    rig.restarts.several_refreshes();
    assert!(rig.works("db"), "what is in use was revoked");
    drop(refusal);
    tenant.wait_value("db", "x", "two");
    rig.wait_synced("db");
    assert!(rig.works("db") && rig.lease_id("db") == first);
}
