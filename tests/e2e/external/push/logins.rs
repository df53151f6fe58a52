//! Logins of stores with the credentials of the namespaces that push to them.

use std::time::Duration;

use serde_json::json;
use testenv::Options;

use super::Pushing;
use crate::external::logins::{persistent, stored_logins, wait_stored};
use crate::external::vault_provider;
use test_support::audit::{Count, describe};
use test_support::{Tenant, own};

/// Kind of the store, as its stored logins name it.
const STORE: &str = "ClusterSecretStore";

#[test]
fn a_restart_costs_no_login_for_a_store_that_is_only_pushed_to() {
    let cluster = own(Options::default());
    let pushing = Pushing::of(Tenant::serving_all(&cluster, "push-stored"));
    let tenant = &pushing.tenant;
    let store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": STORE, "metadata": { "name": "of-namespace" },
        "spec": vault_provider(tenant, json!({})),
    });
    cluster.kubectl_apply(&store.to_string()).unwrap();
    let mut operator = tenant.operator(&persistent());
    pushing.source(json!({ "a": "push-stored-hunter2" }));
    let key = pushing.key("db");
    let spec = json!({
        "secretStoreRefs": [{ "name": "of-namespace", "kind": STORE }],
        "data": [{ "match": { "secretKey": "a", "remoteRef": { "remoteKey": key, "property": "a" } } }],
    });
    tenant.apply(&pushing.push("pushes", spec));
    pushing.wait_synced("pushes");
    wait_stored(tenant, STORE, 1);
    // What is of no use is swept up; this one is of use.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(stored_logins(tenant, STORE), 1);

    operator.kill();
    let count = Count::start(tenant);
    pushing.source(json!({ "a": "push-restarted-hunter2" }));
    operator = tenant.operator(&persistent());
    pushing.wait_vault("db", json!({ "a": "push-restarted-hunter2" }));
    assert_eq!(count.logins(), 0, "{}", describe(&count.requests()));

    tenant.kubectl(&["delete", "pushsecret", "pushes"]).unwrap();
    wait_stored(tenant, STORE, 0);
    tenant.assert_nothing_leaked(&operator, &["push-stored-hunter2", "push-restarted-hunter2"]);
}
