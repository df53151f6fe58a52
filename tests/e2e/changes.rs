//! A change of an object that comes while the operator writes about the object is never lost.

use std::time::Duration;

use serde_json::{Value, json};

use test_support::kube_client::KubeClient;
use test_support::{Tenant, eventually};

const OBJECTS: u64 = 1000;
/// Objects are changed so long after they were created, a millisecond more for each: while their first status is
/// written.
const DELAYS: u64 = 80;
const THREADS: u64 = 8;

/// Whether the status speaks of the generation that there is.
fn is_current(object: &Value) -> bool {
    object["status"]["lastGeneration"] == object["metadata"]["generation"]
}

/// The answer of a status write shows the newest spec. Where that is newer than what the watch has told of, the watch
/// has nothing to tell any more: the answer itself has to make the object due.
#[test]
fn a_change_during_the_first_sync_is_applied_without_waiting_for_the_refresh() {
    let tenant = Tenant::new("changes");
    let _operator = tenant.operator(&[]);
    tenant.put("shared", json!({ "password": "a" }));
    let create = |api: &KubeClient, i: u64| {
        let spec = json!({ "path": tenant.path("shared"), "refreshAfter": "24h" });
        let name = format!("c{i:04}");
        api.create(&tenant.static_secret(&name, spec)).expect("the object is created");
        std::thread::sleep(Duration::from_millis(1 + i % DELAYS));
        let patch = json!({ "spec": { "destination": { "labels": { "n": "2" } } } });
        api.patch("VaultStaticSecret", &tenant.namespace, &name, &patch).expect("the object is patched");
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (tenant, create) = (&tenant, &create);
            scope.spawn(move || {
                let api = KubeClient::of(tenant.cluster);
                (thread..OBJECTS).step_by(THREADS as usize).for_each(|i| create(&api, i));
            });
        }
    });
    eventually("all changes are applied", || {
        let objects = tenant.list("VaultStaticSecret");
        let stale = objects.iter().filter(|object| !is_current(object)).count();
        if objects.len() == OBJECTS as usize && stale == 0 { Ok(()) } else { Err(format!("{stale} are not")) }
    });
}
