//! One operator leads; another takes over when it ends, dies or is cut off, and finds everything as it was.

use serde_json::{Value, json};
use testenv::Stream;

use test_support::{FAST_RETRY, Operator, Tenant, eventually, shared};

const GOOD: &str = "leadership-hunter2";
const LEADS: &str = "leader_election_master_status{name=\"b0d477c0.hashicorp.com\"}";

fn leads(operator: &Operator) -> bool {
    operator.metric(LEADS) == Some(1.0)
}

#[track_caller]
fn wait_leads(operator: &Operator) {
    eventually("it leads", || if leads(operator) { Ok(()) } else { Err(operator.log()) });
}

fn holder(tenant: &Tenant<'_>) -> String {
    let namespace = &tenant.operator_namespace;
    let arguments = ["get", "lease", "b0d477c0.hashicorp.com", "--output=json", "--namespace", namespace];
    let lease: Value = serde_json::from_str(&tenant.cluster.kubectl(&arguments).expect("the Lease")).expect("JSON");
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn key(tenant: &Tenant<'_>) -> Value {
    let arguments =
        ["get", "secret", "vso-cc-storage-hmac-key", "--output=json", "--namespace", &tenant.operator_namespace];
    serde_json::from_str(&tenant.cluster.kubectl(&arguments).expect("the key")).expect("JSON")
}

#[test]
fn another_operator_takes_over_and_repeats_nothing() {
    let tenant = Tenant::new("replicas");
    for name in ["quiet", "busy"] {
        tenant.put(name, json!({ "password": GOOD }));
    }
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    tenant.apply_all(&[
        tenant.workload("Deployment", "app"),
        tenant.static_secret("quiet", targets.clone()),
        tenant.static_secret("busy", targets),
    ]);
    let mut first = tenant.operator(&FAST_RETRY);
    wait_leads(&first);
    tenant.wait_synced("quiet");
    tenant.wait_synced("busy");
    let versions = || ["secret", "vaultstaticsecret"].map(|kind| tenant.version(kind, "quiet"));
    let (quiet, mac_key) = (versions(), key(&tenant));

    let mut second = tenant.operator(&FAST_RETRY);
    assert!(leads(&first) && !leads(&second));
    first.terminate();
    let after = holder(&tenant);
    wait_leads(&second);
    let now = holder(&tenant);
    assert!(after.is_empty() || after == now, "{after:?} has not been given back");
    let wait_restarts = |count: i64| {
        eventually("a restart for each change", || match tenant.generation("deployment", "app") {
            found if found == 1 + count => Ok(()),
            other => Err(format!("generation {other}")),
        });
    };
    tenant.put("busy", json!({ "password": "second" }));
    tenant.wait_value("busy", "password", "second");

    wait_restarts(1);
    let third = tenant.operator(&FAST_RETRY);
    assert!(!leads(&third));
    second.kill();
    tenant.put("busy", json!({ "password": "third" }));
    wait_leads(&third);
    tenant.wait_value("busy", "password", "third");
    tenant.wait_condition("vaultstaticsecret", "busy", "RolloutRestart", "True", "");
    wait_restarts(2);
    tenant.wait_synced("busy");
    assert_eq!(versions(), quiet, "what had not changed was not written by any of the three");
    assert_eq!(key(&tenant), mac_key, "all of them use one key");
    tenant.assert_nothing_leaked(&third, &[GOOD]);
}

#[test]
fn a_leader_that_is_cut_off_steps_back_before_another_leads() {
    let proxy = shared().proxy("leader", shared().api_server_url()).expect("a proxy");
    let tenant = Tenant::at(shared(), "partition", shared().vault_addr(), Some(&proxy.url("https")));
    tenant.put("db", json!({ "password": GOOD }));
    tenant.apply(&tenant.static_secret("db", json!({})));
    let first = tenant.operator(&FAST_RETRY);
    wait_leads(&first);
    tenant.wait_synced("db");
    let account = "op-vault-secrets-operator-controller-manager";
    let direct = shared().service_account_kubeconfig(&tenant.operator_namespace, account).expect("a kubeconfig");
    let second = tenant.operator(&["--kubeconfig", direct.to_str().expect("UTF-8")]);

    // No request fails, but each takes so long that a renewal comes too late: only a clock can tell.
    proxy.add_toxic("latency", Stream::Upstream, json!({ "latency": 14_000 })).expect("requests are late");
    eventually("the second leads", || match (leads(&second), leads(&first)) {
        (true, false) => Ok(()),
        (true, true) => panic!("both lead"),
        (false, first) => Err(format!("the first leads: {first}")),
    });
    tenant.put("db", json!({ "password": "second" }));
    tenant.wait_value("db", "password", "second");
    proxy.clear().expect("requests are in time");
    for _ in 0..20 {
        assert!(leads(&second) && !leads(&first));
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    drop(second);
    wait_leads(&first);
    tenant.put("db", json!({ "password": "first" }));
    tenant.wait_value("db", "password", "first");
    tenant.wait_synced("db");
}
