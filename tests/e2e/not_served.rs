//! VaultPKISecret and CSISecrets: their objects say that the operator does not serve them, and nothing else
//! happens.

use serde_json::{Value, json};
use testenv::Options;

use test_support::audit::{Count, describe};
use test_support::{Tenant, eventually, own};

/// Each kind with its finalizer, if VSO puts one on, and what its condition names as the way out.
const KINDS: [(&str, Option<&str>, &str); 2] = [
    ("VaultPKISecret", Some("vaultpkisecrets.secrets.hashicorp.com/finalizer"), "Let VSO serve this object"),
    ("CSISecrets", None, "use a VaultStaticSecret"),
];

/// Status and reason of the condition.
fn readiness(kind: &str) -> (&'static str, &'static str) {
    if kind == "CSISecrets" { ("Unknown", "ServedByDriver") } else { ("False", "NotSupported") }
}

fn spec(kind: &str) -> Value {
    match kind {
        "VaultPKISecret" => json!({ "mount": "pki", "role": "app", "destination": { "name": "p" } }),
        _ => json!({ "secrets": {}, "accessControl": { "serviceAccountPattern": "app" } }),
    }
}

/// An object as VSO leaves it, without its status.
fn object(tenant: &Tenant<'_>, kind: &str, name: &str, finalizer: Option<&str>) -> Value {
    let mut object = tenant.object(kind, name, spec(kind));
    object["metadata"]["finalizers"] = json!(finalizer.into_iter().collect::<Vec<_>>());
    object
}

/// What VSO has written of an object that it served.
fn status_of_vso(kind: &str) -> Value {
    let conditions = json!([
        { "type": "SecretSynced", "status": "True", "reason": "SecretSynced", "message": "Secret synced",
          "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z" },
        { "type": "Ready", "status": "True", "reason": "Ready", "message": "ready",
          "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z" },
    ]);
    match kind {
        "VaultDynamicSecret" => json!({
            "lastRenewalTime": 1_767_225_600, "lastGeneration": 1, "lastRuntimePodUID": "u", "conditions": conditions,
            "secretLease": { "id": "db/creds/app/x", "duration": 3600, "renewable": true, "requestID": "q" },
            "staticCredsMetaData": { "lastVaultRotation": 0, "rotationPeriod": 0, "ttl": 0 },
            "vaultClientMeta": { "cacheKey": "kubernetes-1", "id": "i" },
        }),
        "VaultPKISecret" => json!({
            "serialNumber": "0a:0b", "expiration": 1_798_761_600, "lastGeneration": 1, "lastRotation": 1_767_225_600,
            "secretMAC": "bWFj", "valid": true, "error": "", "conditions": conditions,
        }),
        _ => json!({ "conditions": conditions }),
    }
}

#[test]
fn objects_say_once_that_they_are_not_served() {
    let tenant = Tenant::new("unserved");
    for (kind, finalizer, _) in KINDS {
        tenant.apply(&object(&tenant, kind, "served-before", finalizer));
        let status = json!({ "status": status_of_vso(kind) }).to_string();
        tenant
            .kubectl(&["patch", kind, "served-before", "--subresource=status", "--type=merge", "-p", &status])
            .expect("the status is accepted");
        tenant.apply(&object(&tenant, kind, "new", finalizer));
    }
    let mut operator = tenant.operator(&[]);
    for (kind, _, way_out) in KINDS {
        for name in ["served-before", "new"] {
            let (status, reason) = readiness(kind);
            let condition = tenant.wait_condition(kind, name, "Ready", status, way_out);
            assert_eq!(condition["reason"], reason, "{kind} {name}");
            assert_eq!(condition["observedGeneration"], 1, "{kind} {name}");
        }
        // What VSO needs on the way back is as it was, and so is what its other conditions say.
        let now = tenant.get(kind, "served-before").expect("the object")["status"].take();
        let mut expected = status_of_vso(kind);
        expected["conditions"][1] = now["conditions"][1].clone();
        assert_eq!(now, expected, "{kind}");
        assert_eq!(operator.metric(&format!("vso_objects{{controller=\"{}\"}}", kind.to_lowercase())), Some(2.0));
    }

    // Nothing more is written: not when others write to the objects, and not by the next process.
    let count = Count::start(&tenant);
    for (kind, ..) in KINDS {
        tenant.kubectl(&["label", kind, "new", "team=a"]).expect("a label");
    }
    operator.terminate();
    let mut operator = tenant.operator(&[]);
    // A new object is written once; those that were listed before it had their turn.
    for (kind, _, way_out) in KINDS {
        tenant.apply(&tenant.object(kind, "last", spec(kind)));
        tenant.wait_condition(kind, "last", "Ready", readiness(kind).0, way_out);
    }
    let requests = count.requests();
    let about: Vec<_> = requests
        .into_iter()
        .filter(|e| KINDS.iter().any(|(kind, ..)| e.resource.starts_with(&kind.to_lowercase())))
        .collect();
    assert_eq!(about.len(), 3, "{}", describe(&about));
    assert!(
        about.iter().all(|e| e.name == "last" && e.verb == "patch" && e.subresource == "status"),
        "{}",
        describe(&about)
    );
    let events = tenant.list("events");
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
    assert!(!events.iter().any(|e| kinds.iter().any(|kind| e["involvedObject"]["kind"] == *kind)), "{events:?}");

    // A new content is told again.
    let mut changed = object(&tenant, "VaultPKISecret", "new", KINDS[1].1);
    changed["spec"]["role"] = json!("other");
    tenant.apply(&changed);
    eventually("the condition speaks of the new content", || {
        let condition = tenant.condition("VaultPKISecret", "new", "Ready").map_err(|e| e.to_string())?;
        if condition["observedGeneration"] == 2 { Ok(()) } else { Err(condition.to_string()) }
    });

    for (kind, ..) in KINDS {
        for name in ["served-before", "new", "last"] {
            // Waits until it is gone.
            tenant.kubectl(&["delete", kind, name, "--timeout=30s"]).unwrap_or_else(|e| panic!("{kind} {name}: {e:#}"));
        }
    }
    operator.ready().expect("it is ready");
}

#[test]
fn definitions_may_be_missing() {
    let cluster = own(Options::default());
    let definitions = ["vaultdynamicsecrets", "vaultpkisecrets", "csisecrets"];
    for plural in definitions {
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
    for (kind, _, way_out) in KINDS {
        tenant.apply(&tenant.object(kind, "a", spec(kind)));
        tenant.wait_condition(kind, "a", "Ready", readiness(kind).0, way_out);
    }
}
