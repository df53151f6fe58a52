//! CSISecrets: their objects say that the CSI driver serves them, and nothing else happens. Kinds whose definitions are
//! missing.

use serde_json::{Value, json};
use testenv::Options;

use test_support::audit::{Count, describe};
use test_support::{Tenant, eventually, own};

const KIND: &str = "CSISecrets";
const WAY_OUT: &str = "use a VaultStaticSecret";

fn object(tenant: &Tenant<'_>, name: &str) -> Value {
    tenant.object(KIND, name, json!({ "secrets": {}, "accessControl": { "serviceAccountPattern": "app" } }))
}

#[test]
fn objects_say_once_that_they_are_not_served() {
    let tenant = Tenant::new("unserved");
    tenant.apply(&object(&tenant, "served-before"));
    // What another controller has written.
    let condition = |type_: &str| {
        json!({ "type": type_, "status": "True", "reason": type_, "message": "ready", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let mut before = json!({ "conditions": [condition("SecretSynced"), condition("Ready")] });
    let patch = json!({ "status": before }).to_string();
    tenant
        .kubectl(&["patch", KIND, "served-before", "--subresource=status", "--type=merge", "-p", &patch])
        .expect("the status is accepted");
    tenant.apply(&object(&tenant, "new"));
    let mut operator = tenant.operator(&[]);
    for name in ["served-before", "new"] {
        let condition = tenant.wait_condition(KIND, name, "Ready", "Unknown", WAY_OUT);
        assert_eq!(condition["reason"], "ServedByDriver", "{name}");
        assert_eq!(condition["observedGeneration"], 1, "{name}");
    }
    let now = tenant.get(KIND, "served-before").expect("the object")["status"].take();
    before["conditions"][1] = now["conditions"][1].clone();
    assert_eq!(now, before, "what its other conditions say is as it was");
    assert_eq!(operator.metric("vso_objects{controller=\"csisecrets\"}"), Some(2.0));

    // Nothing more is written: not when others write to the objects, and not by the next process.
    let count = Count::start(&tenant);
    tenant.kubectl(&["label", KIND, "new", "team=a"]).expect("a label");
    operator.terminate();
    let mut operator = tenant.operator(&[]);
    // A new object is written once; those that were listed before it had their turn.
    tenant.apply(&object(&tenant, "last"));
    tenant.wait_condition(KIND, "last", "Ready", "Unknown", WAY_OUT);
    let requests = count.requests();
    let about: Vec<_> = requests.into_iter().filter(|e| e.resource.starts_with("csisecrets")).collect();
    assert_eq!(about.len(), 1, "{}", describe(&about));
    assert!(about[0].name == "last" && about[0].verb == "patch" && about[0].subresource == "status");
    let events = tenant.list("events");
    assert!(!events.iter().any(|e| e["involvedObject"]["kind"] == KIND), "{events:?}");

    // A new content is told again.
    let mut changed = object(&tenant, "new");
    changed["spec"]["accessControl"]["serviceAccountPattern"] = json!("other");
    tenant.apply(&changed);
    eventually("the condition speaks of the new content", || {
        let condition = tenant.condition(KIND, "new", "Ready").map_err(|e| e.to_string())?;
        if condition["observedGeneration"] == 2 { Ok(()) } else { Err(condition.to_string()) }
    });
    for name in ["served-before", "new", "last"] {
        // Waits until it is gone.
        tenant.kubectl(&["delete", KIND, name, "--timeout=30s"]).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    }
    operator.ready().expect("it is ready");
}

#[test]
fn definitions_may_be_missing() {
    let cluster = own(Options::default());
    for plural in ["vaultdynamicsecrets", "vaultpkisecrets", "csisecrets"] {
        cluster.kubectl(&["delete", "crd", &format!("{plural}.secrets.hashicorp.com")]).expect("it is deleted");
    }
    let tenant = Tenant::on(&cluster, "older");
    // Waits until it is ready.
    let _operator = tenant.operator(&[]);
    tenant.put("a", json!({ "password": "p" }));
    tenant.apply(&tenant.static_secret("a", json!({})));
    tenant.wait_value("a", "password", "p");

    // The definitions come later, and nobody restarts the operator.
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    cluster.kubectl(&["apply", "--server-side", "-f", crds]).expect("the CRDs are applied");
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).expect("established");
    tenant.apply(&object(&tenant, "a"));
    tenant.wait_condition(KIND, "a", "Ready", "Unknown", WAY_OUT);
    let spec =
        json!({ "vaultAuthRef": "app", "mount": "pki", "role": "app", "destination": { "name": "p", "create": true } });
    tenant.apply(&tenant.object("VaultPKISecret", "a", spec));
    tenant.wait_condition("VaultPKISecret", "a", "Ready", "False", "");
}
