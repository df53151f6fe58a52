//! What a tenant's large Secrets cost the process that serves all tenants.

use serde_json::{Value, json};

use test_support::kube_client::{KubeClient, encoded};
use test_support::{Tenant, eventually};

const SECRETS: usize = 60;
/// The largest that a Secret takes is 1 MiB.
const BYTES: usize = 1_000_000;
/// What a list of all of them takes, beside the operator itself, is three times this.
const LIMIT_KIB: usize = 64 << 10;

#[test]
fn large_secrets_are_not_in_memory_together() {
    let tenant = Tenant::new("large");
    let value = "x".repeat(BYTES);
    let secret = |i: usize| -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": tenant.namespace,
                "name": format!("large-{i}"),
                // As if the operator had made them.
                "labels": {
                    "app.kubernetes.io/managed-by": "hashicorp-vso",
                    "app.kubernetes.io/component": "secret-sync",
                },
            },
            "data": encoded(&[("value", &value)]),
        })
    };
    let none = tenant.operator(&["--leader-elect=false", "--reloader"]).peak_memory();
    KubeClient::of(tenant.cluster).create_all((0..SECRETS).map(secret).collect());

    for args in [&["--leader-elect=false"][..], &["--leader-elect=false", "--reloader"]] {
        let mut operator = tenant.operator(args);
        eventually("it is ready: all are listed", || operator.ready());
        let peak = operator.peak_memory();
        assert!(peak < none + LIMIT_KIB, "{args:?}: {peak} KiB, {none} without them");
    }
}
