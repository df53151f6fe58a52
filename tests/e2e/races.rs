//! What the operator learns comes in another order than it happened: a watch lags behind the answer of a write, an
//! answer comes later than the events that followed it, a list is older than an answer. A proxy makes each order
//! happen.

use std::time::Duration;

use serde_json::{Value, json};

use test_support::api_proxy::{ApiProxy, Matching};
use test_support::kube_client::{KubeClient, decoded};
use test_support::{Operator, Tenant, eventually, shared};

const OBJECTS: &str = "/vaultstaticsecrets";
const SECRETS: &str = "/secrets";
const STATUS: &str = "/vaultstaticsecrets/app/status";
/// Longer than an object that is due waits for its run, and than a Secret of an object that is gone stays.
const A_WHILE: Duration = Duration::from_secs(4);

/// A tenant with a secret `app` in Vault, its operator, and the proxy before the operator's API server.
fn start(name: &str) -> (ApiProxy, Tenant<'static>, Operator) {
    let proxy = ApiProxy::start(shared());
    let tenant = Tenant::at(shared(), name, shared().vault_addr(), Some(&proxy.url()));
    tenant.put("app", json!({ "password": "one" }));
    let operator = tenant.operator(&[]);
    (proxy, tenant, operator)
}

fn first<'a>(method: &'a str, path: &'a str) -> Matching<'a> {
    Matching { method, path, nth: 0 }
}

/// The object `app`, which is due by a change and by nothing else.
fn patient(tenant: &Tenant<'_>) -> Value {
    tenant.static_secret("app", json!({ "refreshAfter": "24h" }))
}

fn relabel(tenant: &Tenant<'_>, value: &str) {
    let patch = json!({ "spec": { "destination": { "labels": { "n": value } } } });
    KubeClient::of(tenant.cluster)
        .patch("VaultStaticSecret", &tenant.namespace, "app", &patch)
        .expect("the object is patched");
}

#[track_caller]
fn wait_label(tenant: &Tenant<'_>, value: &str) {
    eventually("the label is there", || match tenant.get("secret", "app") {
        Ok(secret) if secret["metadata"]["labels"]["n"] == value => Ok(()),
        Ok(secret) => Err(secret["metadata"]["labels"].to_string()),
        Err(error) => Err(error.to_string()),
    });
}

/// Waits until the operator knows so many objects and works on none.
#[track_caller]
fn wait_idle(operator: &Operator, objects: f64) {
    let metric = |name: &str| operator.metric(&format!("{name}{{controller=\"vaultstaticsecret\"}}"));
    eventually("the operator is idle", || match (metric("vso_objects"), metric("controller_runtime_active_workers")) {
        (Some(known), Some(0.0)) if known == objects => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// The answer of a status write shows a newer spec than the watch, which tells of it much later.
#[test]
fn a_change_that_only_an_answer_has_shown_is_applied_while_the_watch_lags() {
    let (proxy, tenant, operator) = start("lagging");
    let write = proxy.hold_request(first("PATCH", STATUS));
    tenant.apply(&patient(&tenant));
    write.wait_reached();
    let watch = proxy.hold_watch(OBJECTS);
    relabel(&tenant, "two");
    watch.wait_reached();
    write.release();
    wait_label(&tenant, "two");
    watch.release();
    // What the watch tells late of earlier versions changes nothing.
    wait_idle(&operator, 1.0);
    let version = tenant.version("secret", "app");
    std::thread::sleep(A_WHILE);
    assert_eq!(tenant.version("secret", "app"), version);
    relabel(&tenant, "three");
    wait_label(&tenant, "three");
}

/// The answer of a status write comes when the object is gone.
#[test]
fn an_object_that_was_deleted_before_its_write_was_answered_stays_gone() {
    let (proxy, tenant, operator) = start("ghosts");
    let answer = proxy.hold_answer(first("PATCH", STATUS));
    tenant.apply(&patient(&tenant));
    answer.wait_reached();
    tenant.kubectl(&["delete", "vaultstaticsecret", "app"]).expect("an object to delete");
    let metric = "vso_objects{controller=\"vaultstaticsecret\"}";
    eventually("the operator has seen the deletion", || match operator.metric(metric) {
        Some(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    answer.release();
    wait_idle(&operator, 0.0);
    let _ = tenant.kubectl(&["delete", "secret", "app"]);
    std::thread::sleep(A_WHILE);
    assert!(tenant.get("secret", "app").is_err(), "the Secret of an object that is gone came back");
    assert_eq!(operator.metric(metric), Some(0.0));
    // A successor is an object like any other.
    tenant.apply(&patient(&tenant));
    tenant.wait_synced("app");
}

/// The answer of the write that created the Secret comes when the Secret is gone.
#[test]
fn a_secret_that_was_deleted_before_its_creation_was_answered_comes_back() {
    let (proxy, tenant, operator) = start("deleted");
    let answer = proxy.hold_answer(first("POST", &format!("{}{SECRETS}", tenant.namespace)));
    tenant.apply(&patient(&tenant));
    answer.wait_reached();
    let uid = tenant.get("secret", "app").expect("the Secret")["metadata"]["uid"].clone();
    tenant.kubectl(&["delete", "secret", "app"]).expect("a Secret to delete");
    proxy.wait_event(SECRETS, &["\"DELETED\"", uid.as_str().expect("a UID")]);
    answer.release();
    tenant.wait_value("app", "password", "one");
    wait_idle(&operator, 1.0);
    tenant.wait_synced("app");
}

/// The watch tells of the operator's own write, and of what another client did afterwards, before the write is
/// answered.
#[test]
fn an_own_write_that_the_watch_tells_of_first_is_no_change_by_another_client() {
    let (proxy, tenant, operator) = start("echoes");
    tenant.apply(&tenant.workload("Deployment", "app"));
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    tenant.apply(&tenant.static_secret("app", json!({ "rolloutRestartTargets": targets })));
    tenant.wait_synced("app");
    let answer = proxy.hold_answer(first("PATCH", "/secrets/app"));
    tenant.put("app", json!({ "password": "two" }));
    answer.wait_reached();
    let version = tenant.version("secret", "app");
    proxy.wait_event(SECRETS, &["\"MODIFIED\"", &format!("\"resourceVersion\":\"{version}\"")]);
    answer.release();
    eventually("the workload is restarted", || match tenant.generation("deployment", "app") {
        2 => Ok(()),
        other => Err(format!("generation {other}")),
    });
    std::thread::sleep(A_WHILE);
    assert_eq!(tenant.version("secret", "app"), version, "the Secret was written again");
    assert_eq!(tenant.generation("deployment", "app"), 2, "the workload was restarted again");

    // Now another client writes between the write and its answer.
    let answer = proxy.hold_answer(first("PATCH", "/secrets/app"));
    tenant.put("app", json!({ "password": "three" }));
    answer.wait_reached();
    let patch = json!({ "stringData": { "password": "foreign" } });
    let foreign = KubeClient::of(tenant.cluster).patch("Secret", &tenant.namespace, "app", &patch);
    let version = foreign.expect("the Secret is patched")["metadata"]["resourceVersion"].clone();
    proxy.wait_event(SECRETS, &["\"MODIFIED\"", &format!("\"resourceVersion\":{version}")]);
    answer.release();
    tenant.wait_value("app", "password", "three");
    wait_idle(&operator, 1.0);
    tenant.wait_condition("vaultstaticsecret", "app", "SecretSynced", "True", "");
}

/// A list was taken before a write that was answered before the list.
#[test]
fn a_list_that_is_older_than_an_answer_undoes_nothing() {
    let (proxy, tenant, operator) = start("lists");
    tenant.apply(&tenant.workload("Deployment", "app"));
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    tenant.apply(&tenant.static_secret("app", json!({ "rolloutRestartTargets": targets })));
    tenant.wait_synced("app");
    wait_idle(&operator, 1.0);

    let (objects, secrets) = (format!("{}{OBJECTS}", tenant.namespace), format!("{}{SECRETS}", tenant.namespace));
    let of_objects = proxy.hold_answer(first("GET", &objects));
    let of_secrets = proxy.hold_answer(first("GET", &secrets));
    proxy.expire_watches(&objects);
    proxy.expire_watches(&secrets);
    of_objects.wait_reached();
    of_secrets.wait_reached();
    // Both lists are taken. What follows is in neither.
    tenant.put("app", json!({ "password": "two" }));
    tenant.wait_value("app", "password", "two");
    eventually("the workload is restarted", || match tenant.generation("deployment", "app") {
        2 => Ok(()),
        other => Err(format!("generation {other}")),
    });
    wait_idle(&operator, 1.0);
    relabel(&tenant, "two");
    let version = tenant.version("secret", "app");
    of_secrets.release();
    proxy.wait_event(&secrets, &["\"MODIFIED\"", &format!("\"resourceVersion\":\"{version}\"")]);
    of_objects.release();
    wait_label(&tenant, "two");
    wait_idle(&operator, 1.0);
    std::thread::sleep(A_WHILE);
    let secret = tenant.get("secret", "app").expect("the Secret");
    assert_eq!(decoded(&secret, "password").as_deref(), Some("two"));
    assert_eq!(secret["metadata"]["labels"]["n"], "two");
    assert_eq!(tenant.generation("deployment", "app"), 2, "one change, one restart");
    let version = tenant.version("secret", "app");
    std::thread::sleep(A_WHILE);
    assert_eq!(tenant.version("secret", "app"), version, "nothing changed, and the Secret was written");
}

/// A Secret that was made after a list was taken is not missing.
#[test]
fn a_secret_that_an_older_list_does_not_show_is_neither_lost_nor_made_twice() {
    let (proxy, tenant, operator) = start("younger");
    let secrets = format!("{}{SECRETS}", tenant.namespace);
    let list = proxy.hold_answer(first("GET", &secrets));
    proxy.expire_watches(&secrets);
    list.wait_reached();
    tenant.apply(&patient(&tenant));
    tenant.wait_synced("app");
    let uid = tenant.get("secret", "app").expect("the Secret")["metadata"]["uid"].clone();
    list.release();
    proxy.wait_event(&secrets, &["\"ADDED\"", uid.as_str().expect("a UID")]);
    std::thread::sleep(A_WHILE);
    wait_idle(&operator, 1.0);
    tenant.wait_condition("vaultstaticsecret", "app", "SecretSynced", "True", "");
    assert_eq!(tenant.get("secret", "app").expect("the Secret")["metadata"]["uid"], uid);
    // It is watched again.
    tenant.kubectl(&["delete", "secret", "app"]).expect("a Secret to delete");
    tenant.wait_value("app", "password", "one");
}
