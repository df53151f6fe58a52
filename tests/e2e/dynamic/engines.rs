//! Engines whose leases cannot be renewed, or that take parameters.

use serde_json::json;

use test_support::engines::aws::AwsEngine;
use test_support::engines::kubernetes::KubernetesEngine;
use test_support::engines::lease_ids;
use test_support::{NO_ELECTION, Tenant, eventually};

use super::RESOURCE;

#[test]
fn tokens_of_the_kubernetes_engine_are_asked_for_with_parameters_and_revoked() {
    let tenant = Tenant::new("dynkubernetes");
    let engine = KubernetesEngine::mount(tenant.cluster, &format!("{}-engine", tenant.namespace));
    engine.role("app", &tenant.namespace);
    tenant.allow_leases(&[&engine.mount]);
    let _operator = tenant.operator(&NO_ELECTION);
    let spec = json!({
        "vaultAuthRef": "app", "mount": engine.mount, "path": "creds/app", "revoke": true,
        "params": { "kubernetes_namespace": tenant.namespace },
        "destination": { "name": "token", "create": true },
    });
    tenant.apply(&tenant.object("VaultDynamicSecret", "token", spec));
    tenant.wait_condition("VaultDynamicSecret", "token", "SecretSynced", "True", "");
    let value = |key| tenant.value("token", key).expect("a value");
    let credentials = json!({
        "service_account_name": value("service_account_name"),
        "service_account_namespace": value("service_account_namespace"),
        "service_account_token": value("service_account_token"),
    });
    let accepted = eventually("the rights of the account", || engine.accepts(&credentials));
    assert!(accepted);
    let status = tenant.get("VaultDynamicSecret", "token").expect("the object")["status"].clone();
    assert_eq!(status["secretLease"]["renewable"], false);
    let ids = lease_ids(tenant.cluster, &engine.creds("app")).expect("a list");
    assert_eq!(json!(ids), json!([status["secretLease"]["id"]]));
    tenant.kubectl(&["delete", RESOURCE, "token"]).expect("it is deleted");
    eventually("the end of the account", || {
        match tenant.get("serviceaccount", credentials["service_account_name"].as_str().expect("a name")) {
            Ok(_) => Err("it is there"),
            Err(_) => Ok(()),
        }
    });
}

#[test]
fn sessions_of_the_aws_engine_are_replaced_before_they_end() {
    let tenant = Tenant::new("dynaws");
    let Some(engine) = AwsEngine::mount(tenant.cluster, &format!("{}-engine", tenant.namespace)) else { return };
    engine.session_role("session");
    // Long enough for a machine that is busy.
    engine.aws.shorten_sessions(60);
    tenant.allow_leases(&[&engine.mount]);
    let _operator = tenant.operator(&NO_ELECTION);
    let spec = json!({
        "vaultAuthRef": "app", "mount": engine.mount, "path": "creds/session", "renewalPercent": 15,
        "destination": { "name": "session", "create": true },
    });
    tenant.apply(&tenant.object("VaultDynamicSecret", "session", spec));
    tenant.wait_condition("VaultDynamicSecret", "session", "SecretSynced", "True", "");
    let credentials = || {
        let keys = ["access_key", "secret_key", "session_token"];
        let [access_key, secret_key, session_token] = tenant.values("session", keys).expect("a session");
        json!({ "access_key": access_key, "secret_key": secret_key, "session_token": session_token })
    };
    let mut last = credentials();
    for _ in 0..2 {
        let old = last;
        last = eventually("another session", || match credentials() {
            found if found == old => Err("it is the old one"),
            found => Ok(found),
        });
        assert!(engine.accepts(&last) && engine.accepts(&old), "the old session lives when the new one is there");
    }
}
