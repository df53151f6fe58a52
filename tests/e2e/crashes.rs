//! Restarts through crashes of the operator, writers that come in between, and a lost key.
//!
//! The operators here run without election: after a `kill -9` the Lease would hold the next one up for 15 s, and what
//! is tested is what it finds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use test_support::audit::Count;
use test_support::kube_client::{KubeClient, encoded};
use test_support::restarts::RestartFixture;
use test_support::{NO_ELECTION, Operator, Tenant, eventually, shared};

/// Restarts come soon after a change, so that crashes hit all that happens in between.
const SHORT_WINDOW: [&str; 2] = [NO_ELECTION[0], "--rollout-window=100ms"];
/// Objects of the tests that kill the operator.
const MANY: usize = 12;

fn names() -> Vec<String> {
    (0..MANY).map(|i| format!("db-{i}")).collect()
}

/// Kills the operator some time later, and starts the next.
fn crash<'a>(tenant: &'a Tenant<'a>, operator: &mut Operator, after: Duration) {
    std::thread::sleep(after);
    operator.kill();
    *operator = tenant.operator(&SHORT_WINDOW);
}

/// A rig with many objects, each with a Deployment of its own, all synced with this password.
fn many<'a>(tenant: &'a Tenant<'a>, password: &str) -> (RestartFixture<'a>, Operator) {
    let rig = RestartFixture::new(tenant);
    let operator = tenant.operator(&SHORT_WINDOW);
    for name in &names() {
        rig.put_kv1(name, password);
        rig.api.create(&tenant.workload("Deployment", name)).expect("a Deployment");
        rig.api.create(&rig.kv1(name, &[name])).expect("an object");
    }
    names().iter().for_each(|name| rig.wait_recorded(name, password));
    (rig, operator)
}

#[test]
fn a_crash_at_any_moment_loses_no_restart_and_repeats_none() {
    let tenant = Tenant::new("crash");
    let (rig, mut operator) = many(&tenant, "a");
    let mut random = StdRng::seed_from_u64(1);
    for (round, password) in (1..).zip(["b", "a", "c", "b", "a"]) {
        names().iter().for_each(|name| rig.put_kv1(name, password));
        for _ in 0..random.random_range(1..4) {
            // From a start on, the work of a round takes about this long.
            crash(&tenant, &mut operator, Duration::from_millis(random.random_range(0..700)));
        }
        for name in names() {
            rig.wait_recorded(&name, password);
            rig.assert_carries(&name, &name);
            assert_eq!(rig.restarts(&name), round, "{name}, round {round}");
        }
    }
    operator.kill();
    let _operator = tenant.operator(&SHORT_WINDOW);
    rig.several_refreshes();
    names().iter().for_each(|name| assert_eq!(rig.restarts(name), 5, "{name}, after one more start"));
}

#[test]
fn content_that_goes_there_and_back_between_crashes_leaves_no_target_behind() {
    let tenant = Tenant::new("back");
    let (rig, mut operator) = many(&tenant, "0");
    let put = |password: &str| names().iter().for_each(|name| rig.put_kv1(name, password));
    put("a");
    names().iter().for_each(|name| rig.wait_recorded(name, "a"));
    let mut random = StdRng::seed_from_u64(2);
    let mut restarts = vec![1; MANY];
    let mut seen = [0, 0];
    for _ in 0..5 {
        put("b");
        // Some targets are restarted with "b", some Secrets hold it, and of some nobody has read it when it goes back.
        std::thread::sleep(Duration::from_millis(random.random_range(100..1000)));
        operator.kill();
        put("a");
        operator = tenant.operator(&SHORT_WINDOW);
        crash(&tenant, &mut operator, Duration::from_millis(random.random_range(0..500)));
        for (name, before) in names().iter().zip(&mut restarts) {
            rig.wait_recorded(name, "a");
            rig.assert_carries(name, name);
            let now = rig.restarts(name);
            assert!([0, 2].contains(&(now - *before)), "{name}: {} restarts for there and back", now - *before);
            seen[usize::from(now > *before)] += 1;
            *before = now;
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "the crashes came too early or too late to show anything: {seen:?}");
}

#[test]
fn a_target_that_cannot_be_restarted_when_content_goes_back_is_restarted_later() {
    let tenant = Tenant::new("stuck");
    let rig = RestartFixture::new(&tenant);
    let args = ["--leader-elect=false", "--backoff-initial-interval=1s", "--backoff-max-interval=2s"];
    tenant.apply(&tenant.workload("Deployment", "app"));
    rig.put_kv1("db", "a");
    let mut operator = tenant.operator(&args);
    tenant.apply(&rig.kv1("db", &["app", "absent"]));
    rig.wait_recorded("db", "a");
    // "b" reaches one of two targets, and so is never done.
    rig.put_kv1("db", "b");
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", "absent");
    rig.assert_carries("app", "db");
    rig.patch("Deployment", "app", json!({ "spec": { "paused": true } }));
    rig.put_kv1("db", "a");
    tenant.wait_value("db", "password", "a");
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", "paused");
    operator.kill();
    rig.patch("Deployment", "app", json!({ "spec": { "paused": false } }));
    let count = rig.restarts("app");
    let _operator = tenant.operator(&args);
    eventually("a restart for the content that came back", || match rig.restarts("app") - count {
        1 => Ok(()),
        other => Err(other.to_string()),
    });
    rig.assert_carries("app", "db");
}

#[test]
fn others_who_write_all_the_time_neither_prevent_nor_multiply_restarts() {
    let tenant = Tenant::new("conflict");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.put("db", json!({ "password": "0" }));
    let _operator = tenant.operator(&[]);
    tenant.apply(&rig.object("db", &["app"], json!({})));
    rig.wait_recorded("db", "0");

    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut rotation = 0;
    std::thread::scope(|scope| {
        for (kind, name) in [("Deployment", "app"), ("Secret", "db")] {
            let (stop, written, namespace) = (&stop, &written, &tenant.namespace);
            scope.spawn(move || {
                let api = KubeClient::of(shared());
                while !stop.load(Ordering::Relaxed) {
                    let count = written.fetch_add(1, Ordering::Relaxed).to_string();
                    // Labels: another annotation would move the generation of a Deployment.
                    let patch = json!({ "metadata": { "labels": { "example.com/count": count } } });
                    let begin = Instant::now();
                    api.patch(kind, namespace, name, &patch).expect("patched");
                    // Where a write takes long, one that comes in between two of these has to get its chance all the
                    // same.
                    std::thread::sleep(Duration::from_millis(20).max(3 * begin.elapsed()));
                }
            });
        }
        // Stops the writers also if an assertion fails.
        let _stop = OnDrop(&stop);
        // As many as it takes until others have come in between often enough, however slow the machine is.
        while rotation < 5 || written.load(Ordering::Relaxed) < 50 {
            rotation += 1;
            tenant.put("db", json!({ "password": rotation.to_string() }));
            rig.wait_recorded("db", &rotation.to_string());
            rig.assert_carries("app", "db");
            assert_eq!(rig.restarts("app"), rotation);
        }
    });
    let failed = tenant.list("events").into_iter().filter(|event| event["reason"] == "SecretSyncError").count();
    assert_eq!(failed, 0, "a conflict is tried again at once, and is no failure");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), rotation);
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_lost_key_of_the_macs_restarts_nothing() {
    let tenant = Tenant::new("key");
    let rig = RestartFixture::new(&tenant);
    let args = [NO_ELECTION[0], "--rollout-window=0"];
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&args);
    // One that was written here, one as upstream leaves it, one that is not ours to create.
    let names = ["own", "adopted", "foreign"];
    names.iter().for_each(|name| rig.put_kv1(name, "one"));
    rig.api
        .create(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "foreign", "namespace": tenant.namespace },
        }))
        .expect("a Secret");
    for name in names {
        let mut object = rig.kv1(name, &["app"]);
        object["spec"]["destination"]["create"] = json!(name != "foreign");
        tenant.apply(&object);
        rig.wait_recorded(name, "one");
    }
    names.iter().for_each(|name| rig.put_kv1(name, "two"));
    names.iter().for_each(|name| rig.wait_recorded(name, "two"));
    assert_eq!(rig.restarts("app"), 3);
    rig.patch("Secret", "adopted", json!({ "metadata": { "annotations": null } }));

    for start in 0..3 {
        operator.terminate();
        if start == 0 {
            // Times of objects have seconds: nothing here was written in the second in which the new key is made.
            std::thread::sleep(Duration::from_millis(1100));
            rig.api.delete("Secret", &tenant.operator_namespace, "vso-cc-storage-hmac-key").expect("deleted");
        }
        operator = tenant.operator(&args);
        names.iter().for_each(|name| rig.wait_recorded(name, "two"));
        rig.several_refreshes();
        assert_eq!(rig.restarts("app"), 3, "start {start}");
    }
    // Drift is still drift, and new content new content.
    rig.patch("Secret", "own", json!({ "data": encoded(&[("password", "wrong")]) }));
    rig.wait_recorded("own", "two");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 3, "drift");
    names.iter().for_each(|name| rig.put_kv1(name, "three"));
    names.iter().for_each(|name| rig.wait_recorded(name, "three"));
    assert_eq!(rig.restarts("app"), 6);
}

#[test]
fn objects_of_upstream_are_taken_over_without_a_restart_or_a_new_secret() {
    let tenant = Tenant::new("adopt");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let key = "0123456789abcdef";
    rig.api
        .create(&json!({
            "apiVersion": "v1", "kind": "Secret", "immutable": true, "data": encoded(&[("key", key)]),
            "metadata": { "name": "vso-cc-storage-hmac-key", "namespace": tenant.operator_namespace },
        }))
        .expect("upstream's key");
    tenant.put("db", json!({ "password": "one", "port": 5432, "text": "<&>" }));
    let answer =
        tenant.cluster.vault("GET", &format!("secret/data/{}", tenant.path("db")), None).expect("Vault answers");
    let source = vso::render::SourceData::nested("kv-v2", answer["data"].clone().into());
    let input = vso::render::Input { source: &source, exclude_raw: false, labels: None, annotations: None };
    let transformation =
        vso::render::TransformationCache::default().get(&[], &[], &[]).expect("an empty transformation");
    let data = vso::render::build(&input, &transformation).expect("data").data;

    // As upstream leaves them behind.
    let mut object = rig.object("db", &["app"], json!({ "destination": { "transformation": {} } }));
    object["metadata"]["finalizers"] = json!(["vaultstaticsecret.secrets.hashicorp.com/finalizer"]);
    let object = rig.api.create(&object).expect("an object");
    let uid = &object["metadata"]["uid"];
    let entries: Vec<(&str, &str)> =
        data.as_map().iter().map(|(k, v)| (k.as_str(), std::str::from_utf8(v).expect("UTF-8"))).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": encoded(&entries),
        "metadata": {
            "name": "db", "namespace": tenant.namespace,
            "labels": {
                "app.kubernetes.io/component": "secret-sync", "app.kubernetes.io/managed-by": "hashicorp-vso",
                "app.kubernetes.io/name": "vault-secrets-operator", "secrets.hashicorp.com/vso-ownerRefUID": uid,
            },
            "ownerReferences": [{
                "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret", "name": "db", "uid": uid,
            }],
        },
    });
    let secret = rig.api.create(&secret).expect("a Secret");
    let mac = vso::mac::MacKey::new(key.as_bytes()).expect("16 bytes").mac(data.as_map());
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({
            "type": type_, "status": "True", "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({ "status": {
        "lastGeneration": 1, "secretMAC": mac, "vaultClientMeta": { "cacheKey": "kubernetes-0", "id": "0" },
        "conditions": [
            condition("SecretSynced", "Synced", "Secret synced, horizon=52.871632381s"),
            condition("Healthy", "Healthy", "VaultStaticSecretHealthy"),
            condition("Ready", "Ready", "VaultStaticSecretReady"),
        ],
    }});
    rig.api.patch_status("VaultStaticSecret", &tenant.namespace, "db", &status).expect("a status");

    let count = Count::start(&tenant);
    let mut operator = tenant.operator(&NO_ELECTION);
    rig.several_refreshes();
    operator.terminate();
    let _operator = tenant.operator(&NO_ELECTION);
    rig.several_refreshes();
    let taken = rig.get("Secret", "db");
    assert_eq!(
        taken["metadata"]["resourceVersion"], secret["metadata"]["resourceVersion"],
        "the Secret is not written"
    );
    let object = rig.get("VaultStaticSecret", "db");
    assert_eq!(object["status"]["secretMAC"], mac.as_str());
    assert_eq!((rig.restarts("app"), count.restarts("deployments", "app")), (0, 0));
    let writes: Vec<_> = count.requests().into_iter().filter(|e| e.is_write() && e.name == "db").collect();
    assert!(writes.len() <= 1, "at most the status follows: {}", test_support::audit::describe(&writes));

    tenant.put("db", json!({ "password": "two" }));
    rig.wait_recorded("db", "two");
    assert_eq!(rig.restarts("app"), 1);
}
