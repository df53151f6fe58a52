//! Instant updates, on the event stream of a real Vault. Where no such Vault is found the tests say so and are skipped:
//! `cargo testenv build --optional` builds it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Cluster, Options, Process, Server, Tool, Tools, VaultStorage};

use test_support::audit::Count;
use test_support::replica_proxy::{INDEX, ReplicaProxy};
use test_support::{FAST_RETRY, Operator, Tenant, by_event, eventually, lacks, own, server, skipped};

const KIND: &str = "vaultstaticsecret";
const CONDITION: &str = "InstantUpdates";

/// Whether there is no server with events. Says why.
fn is_skipped() -> bool {
    if lacks(Server::OpenBao, "event stream") {
        return true;
    }
    let there = Tools::default().has(Tool::VaultEvents);
    if !there {
        skipped("no Vault with an event stream; `cargo testenv build --optional` builds one in about 8 min");
    }
    !there
}

/// An environment whose Vault has events.
fn with_events(storage: VaultStorage) -> Cluster {
    own(Options { vault: storage, vault_events: Some(Tool::VaultEvents), ..Options::default() })
}

/// The one that tests share which break nothing, or `None` with a note why not.
fn events() -> Option<&'static Cluster> {
    static EVENTS: OnceLock<Cluster> = OnceLock::new();
    if is_skipped() {
        return None;
    }
    Some(EVENTS.get_or_init(|| with_events(VaultStorage::Memory)))
}

/// Lets the role of a tenant subscribe to what it may read.
fn allow(tenant: &Tenant<'_>) {
    let own = ["secret/data", "secret/metadata", "kv1"].map(|mount| {
        format!(
            "path \"{mount}/{}/*\" {{ capabilities = [\"read\", \"subscribe\"] subscribe_event_types = [\"*\"] }}\n",
            tenant.namespace
        )
    });
    let subscribe = "path \"sys/events/subscribe/kv*\" { capabilities = [\"read\"] }";
    tenant.cluster.vault_policy(&tenant.namespace, &format!("{}{subscribe}", own.concat())).expect("a policy");
}

/// A VaultStaticSecret that nothing but an event brings up to date within the time of a test.
fn instant(tenant: &Tenant<'_>, name: &str, spec: Value) -> Value {
    let mut object =
        tenant.static_secret(name, json!({ "refreshAfter": "1h", "syncConfig": { "instantUpdates": true } }));
    json_patch::merge(&mut object["spec"], &spec);
    object
}

#[track_caller]
fn wait_streaming(tenant: &Tenant<'_>, name: &str) {
    tenant.wait_condition(KIND, name, CONDITION, "True", "Started watching events");
}

/// Writes a value to `path`, and waits until an event has brought it to the Secret `name`.
#[track_caller]
fn put_by_event(tenant: &Tenant<'_>, path: &str, name: &str, value: &str) {
    let arrived = || tenant.value(name, "password").is_ok_and(|found| found == value);
    by_event(name, || tenant.put(path, json!({ "password": value })), arrived);
}

/// Waits until the operator has this many websockets open.
#[track_caller]
fn wait_streams(operator: &Operator, count: f64) {
    eventually("open websockets", || match operator.metric("vso_vault_event_streams") {
        Some(found) if found == count => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// How many websockets Vault itself has seen being opened.
fn subscriptions(cluster: &Cluster) -> usize {
    let log = std::fs::read_to_string(cluster.dir().join("logs/vault.log")).expect("the log of Vault");
    log.lines().filter(|line| line.contains("WebSocket is subscribed to messages")).count()
}

#[test]
fn what_is_written_arrives_by_event() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "instant");
    allow(&tenant);
    let operator = tenant.operator(&["--backoff-initial-interval=1h", "--backoff-max-interval=1h"]);
    tenant.put("v2", json!({ "password": "one" }));
    cluster.vault("POST", &format!("kv1/{}", tenant.path("v1")), Some(json!({ "password": "one" }))).expect("kv1");
    tenant.apply(&instant(&tenant, "v2", json!({})));
    tenant.apply(&instant(&tenant, "v1", json!({ "type": "kv-v1", "mount": "kv1" })));
    for name in ["v2", "v1"] {
        tenant.wait_value(name, "password", "one");
        wait_streaming(&tenant, name);
        tenant.wait_event(name, "EventWatcherStarted", "Started watching events");
    }
    wait_streams(&operator, 1.0);

    put_by_event(&tenant, "v2", "v2", "two");
    let write = || {
        let path = format!("kv1/{}", tenant.path("v1"));
        cluster.vault("POST", &path, Some(json!({ "password": "two" }))).expect("kv1");
    };
    by_event("a value of kv-v1", write, || tenant.value("v1", "password").is_ok_and(|value| value == "two"));

    // What is not there yet, and what is deleted, is tried again after an hour: or when an event says so.
    tenant.apply(&instant(&tenant, "late", json!({})));
    tenant.wait_failure("late", "VaultClientError", &["nothing is stored there"]);
    put_by_event(&tenant, "late", "late", "at last");
    tenant.wait_synced("late");

    tenant.put("gone", json!({ "password": "back" }));
    let deletion = |what: &str| {
        let path = format!("secret/{what}/{}", tenant.path("gone"));
        cluster.vault("POST", &path, Some(json!({ "versions": [1] }))).expect("it is");
    };
    deletion("delete");
    tenant.apply(&instant(&tenant, "gone", json!({})));
    tenant.wait_failure("gone", "VaultClientError", &["is deleted"]);
    let arrived = || tenant.value("gone", "password").is_ok_and(|value| value == "back");
    by_event("an undeleted version", || deletion("undelete"), arrived);

    // Metadata is a part of what templates see, and of `_raw`.
    let path = format!("secret/metadata/{}", tenant.path("v2"));
    let write = || {
        cluster.vault("POST", &path, Some(json!({ "custom_metadata": { "owner": "blue" } }))).expect("it is");
    };
    by_event("metadata in _raw", write, || tenant.value("v2", "_raw").is_ok_and(|raw| raw.contains("blue")));

    // Who does not want events any more has none, and the last one closes the socket.
    for name in ["v1", "late", "gone"] {
        tenant.kubectl(&["delete", KIND, name]).expect("it is deleted");
    }
    tenant.apply(&instant(&tenant, "v2", json!({ "syncConfig": { "instantUpdates": false } })));
    wait_streams(&operator, 0.0);
    eventually("no condition", || match tenant.condition(KIND, "v2", CONDITION) {
        Err(_) => Ok(()),
        Ok(condition) => Err(condition.to_string()),
    });
    tenant.assert_nothing_leaked(&operator, &["at last"]);
}

#[test]
fn the_sample_works_with_the_policy_that_it_names() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "instant-sample");
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/samples/secrets_v1beta1_vaultstaticsecret_instantupdates.yaml");
    let text = std::fs::read_to_string(file).expect("the sample");
    let text = text.replace("secret/data/apps/*", &format!("secret/data/{}/*", tenant.namespace));
    let text = text.replace("  path: apps/", &format!("  path: {}/", tenant.namespace));
    let policy = text.lines().skip_while(|line| !line.contains("path \"sys/")).take_while(|line| line.starts_with('#'));
    let policy = policy.map(|line| line.trim_start_matches('#')).collect::<Vec<_>>().join("\n");
    cluster.vault_policy(&tenant.namespace, &policy).expect("a policy");
    let here = cluster.dir().join(format!("{}.yaml", tenant.namespace));
    std::fs::write(&here, text).expect("a file");
    tenant.put("instant", json!({ "password": "one" }));
    let _operator = tenant.operator(&[]);
    tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
    wait_streaming(&tenant, "instant-sample");
    put_by_event(&tenant, "instant", "instant-sample", "two");
}

/// A node of a cluster that replicates, in front of a Vault that does not: its events have an index, and it is late
/// with the first read that asks for it.
#[test]
fn the_read_after_an_event_names_the_state_of_the_event() {
    let Some(cluster) = events() else { return };
    let front = ReplicaProxy::start(cluster.vault_addr(), "/team/a");
    let tenant = Tenant::at(cluster, "index", &front.url(), None);
    allow(&tenant);
    tenant.put("a", json!({ "password": "one" }));
    let operator = tenant.operator(&["--backoff-initial-interval=1h", "--backoff-max-interval=1h"]);
    tenant.apply(&instant(&tenant, "a", json!({})));
    wait_streaming(&tenant, "a");
    tenant.wait_value("a", "password", "one");
    assert_eq!(front.with_index(), [] as [String; 0], "no event, no index");
    tenant.put("a", json!({ "password": "two" }));
    tenant.wait_value("a", "password", "two");
    let path = format!("/v1/secret/data/{}", tenant.path("a"));
    // The proxy notes an answer after it has passed it on.
    let wanted = [format!("412 {path} {INDEX}"), format!("200 {path} {INDEX}")];
    eventually("both answers are noted", || match front.with_index() {
        found if found == wanted => Ok(()),
        found => Err(format!("{found:?}")),
    });
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    assert_eq!(operator.log().matches("not synced").count(), 0, "nobody has noticed");
}

/// Only the one that leads listens.
#[test]
fn who_stands_by_has_no_websocket() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "instant-ha");
    allow(&tenant);
    tenant.put("a", json!({ "password": "one" }));
    let mut first = tenant.operator(&[]);
    tenant.apply(&instant(&tenant, "a", json!({})));
    wait_streaming(&tenant, "a");
    let second = tenant.operator(&[]);
    assert_eq!(second.metric("vso_vault_event_streams"), Some(0.0));
    first.terminate();
    wait_streams(&second, 1.0);
    put_by_event(&tenant, "a", "a", "two");
}

#[test]
fn steady_state_with_a_stream_is_free() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "quiet");
    allow(&tenant);
    tenant.put("a", json!({ "password": "one" }));
    tenant.put("other", json!({ "password": "one" }));
    // The limit of a request is none of the stream.
    let timeout = Duration::from_secs(3);
    let connection = json!({ "address": cluster.vault_addr(), "timeout": format!("{timeout:?}") });
    tenant.apply(&tenant.object("VaultConnection", "vault", connection));
    let mut operator = tenant.operator(&[]);
    tenant.apply(&instant(&tenant, "a", json!({})));
    wait_streaming(&tenant, "a");
    // The read after the stream started is the last one.
    let reads = |count: &Count<'_>| count.reads().values().map(Vec::len).sum::<usize>();
    std::thread::sleep(timeout + Duration::from_secs(1));
    let count = Count::start(&tenant);
    for i in 0..20 {
        tenant.put("other", json!({ "password": i }));
    }
    assert_eq!(reads(&count), 0, "the events of other paths concern nobody");
    assert!(count.requests().is_empty(), "{}", test_support::audit::describe(&count.requests()));

    assert_eq!(operator.metric("vso_vault_event_streams"), Some(1.0));
    assert_eq!(operator.log().matches("events of Vault are followed").count(), 1, "it is the first");

    // A restart of the operator tells nobody what was known.
    operator.terminate();
    let count = Count::start(&tenant);
    let operator = tenant.operator(&[]);
    wait_streams(&operator, 1.0);
    tenant.put("a", json!({ "password": "two" }));
    tenant.wait_value("a", "password", "two");
    let statuses = count.requests().iter().filter(|e| e.resource == "vaultstaticsecrets").count();
    assert_eq!(statuses, 1, "only the new MAC: {}", test_support::audit::describe(&count.requests()));
}

#[test]
fn five_hundred_objects_share_a_websocket() {
    // Its own: the websockets of other tests would be counted too.
    if is_skipped() {
        return;
    }
    let cluster = with_events(VaultStorage::Memory);
    const OBJECTS: usize = 500;
    const WRITES: usize = 50;
    let tenant = Tenant::on(&cluster, "many");
    allow(&tenant);
    let names: Vec<String> = (0..OBJECTS).map(|i| format!("s{i}")).collect();
    names.iter().for_each(|name| tenant.put(name, json!({ "password": "one" })));
    let before = subscriptions(&cluster);
    let operator = tenant.operator(&[]);
    let api = test_support::kube_client::KubeClient::of(&cluster);
    api.create_all(names.iter().map(|name| instant(&tenant, name, json!({}))).collect());
    eventually("all follow", || {
        let objects = tenant.list("vaultstaticsecrets");
        let following = |o: &&Value| {
            let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
            conditions.filter(|c| c["type"] == CONDITION).any(|c| c["status"] == "True")
        };
        let count = objects.iter().filter(following).count();
        if count == OBJECTS { Ok(()) } else { Err(format!("{count}")) }
    });
    let opened = subscriptions(&cluster) - before;
    println!("{OBJECTS} objects: {opened} websocket(s) opened at the server");
    assert_eq!(opened, 1);
    assert_eq!(operator.metric("vso_vault_event_streams"), Some(1.0));

    // Vault 1.15.0 drops an event if the request that wrote has ended before the subscriber takes the event (its
    // `eventbus/bus.go`, `asyncChanNode.Process`): on a busy machine one of these may be lost before it is sent.
    const EVENT_LOST: Duration = Duration::from_secs(30);
    let mut lost = 0;
    let mut took: Vec<Duration> = names[..WRITES]
        .iter()
        .map(|name| {
            tenant.put(name, json!({ "password": "two" }));
            let mut written = Instant::now();
            while !tenant.value(name, "password").is_ok_and(|value| value == "two") {
                if written.elapsed() > EVENT_LOST {
                    lost += 1;
                    assert!(lost <= 1, "{name} does not arrive");
                    tenant.put(name, json!({ "password": "two" }));
                    written = Instant::now();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            written.elapsed()
        })
        .collect();
    took.sort();
    let percentile = |p: usize| took[(WRITES * p).div_ceil(100) - 1];
    println!(
        "from Vault's answer to a write until the Secret has it, {WRITES} of {OBJECTS} objects: p50 {:?}, p99 {:?}",
        percentile(50),
        percentile(99)
    );
    assert_eq!(subscriptions(&cluster) - before, 1, "still the first websocket");
}

#[test]
fn what_was_written_during_an_interruption_arrives() {
    if is_skipped() {
        return;
    }
    let cluster = with_events(VaultStorage::Raft);
    let proxy = cluster.proxy("vault", cluster.vault_addr()).expect("a proxy");
    let tenant = Tenant::at(&cluster, "gap", &proxy.url("http"), None);
    allow(&tenant);
    tenant.put("shared", json!({ "password": "one" }));
    let operator = tenant.operator(&FAST_RETRY);
    let names = ["a", "b", "c"];
    for name in names {
        tenant.apply(&instant(&tenant, name, json!({ "path": tenant.path("shared") })));
    }
    names.iter().for_each(|name| wait_streaming(&tenant, name));

    proxy.cut().expect("the proxy is cut");
    tenant.put("shared", json!({ "password": "in the gap" }));
    wait_streams(&operator, 0.0);
    let count = Count::start(&tenant);
    proxy.restore().expect("the proxy works");
    names.iter().for_each(|name| tenant.wait_value(name, "password", "in the gap"));
    let reads = count.reads();
    let reads: Vec<_> = reads.values().map(Vec::len).collect();
    // One for all when the stream is back. Before that each object is tried, at a time of its own within two seconds,
    // since its Vault answers again: those less than a quarter of a second apart share a read.
    assert!(matches!(*reads, [1..=3]), "{reads:?}");

    cluster.kill(Process::Vault).expect("Vault is killed");
    cluster.start_again(Process::Vault).expect("Vault starts");
    cluster.vault_unseal().expect("Vault is unsealed");
    tenant.put("shared", json!({ "password": "after the crash" }));
    names.iter().for_each(|name| tenant.wait_value(name, "password", "after the crash"));
    wait_streams(&operator, 1.0);
    put_by_event(&tenant, "shared", "a", "by event");
    names.iter().for_each(|name| tenant.wait_value(name, "password", "by event"));
    names.iter().for_each(|name| wait_streaming(&tenant, name));

    // A stream that nobody closes, and on which nothing comes any more.
    proxy.add_black_hole().expect("a fault");
    tenant.put("shared", json!({ "password": "unheard" }));
    wait_streams(&operator, 0.0);
    proxy.clear().expect("no fault");
    names.iter().for_each(|name| tenant.wait_value(name, "password", "unheard"));
    let events = tenant.list("events");
    let started = events.iter().filter(|e| e["reason"] == "EventWatcherStarted");
    assert!(started.count() <= 2 * names.len(), "nobody is told of each reconnect");
}

#[test]
fn a_server_without_events_is_polled() {
    let tenant = Tenant::new("no-events");
    tenant.put("a", json!({ "password": "one" }));
    let operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&instant(&tenant, "a", json!({ "refreshAfter": "1s" })));
    let (denied, none) = match server() {
        Server::Vault => (("Denied", "subscribe_event_types"), "Vault Enterprise"),
        Server::OpenBao => (("NotAvailable", "OpenBao has no event stream"), "unsupported path"),
    };
    let told = [denied.1, "permission denied", "sys/events/subscribe/kv*"];
    tenant.wait_condition_of(KIND, "a", (CONDITION, "False", Some(denied.0)), &told);
    tenant.wait_event("a", "EventWatcherError", denied.1);

    match server() {
        Server::Vault => allow(&tenant),
        // Its policies know nothing of events.
        Server::OpenBao => {
            let read = format!("path \"secret/data/{}/*\" {{ capabilities = [\"read\"] }}\n", tenant.namespace);
            let subscribe = "path \"sys/events/subscribe/kv*\" { capabilities = [\"read\"] }";
            tenant.cluster.vault_policy(&tenant.namespace, &(read + subscribe)).expect("a policy");
        }
    }
    tenant.kubectl(&["annotate", KIND, "a", "example.com/try=again"]).expect("it is");
    tenant.wait_condition_of(KIND, "a", (CONDITION, "False", Some("NotAvailable")), &[none]);
    tenant.wait_synced("a");

    let version = tenant.version(KIND, "a");
    let attempts = || operator.log().matches("no events of Vault").count();
    let before = attempts();
    tenant.put("a", json!({ "password": "two" }));
    tenant.wait_value("a", "password", "two");
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(attempts(), before, "no attempt follows a refusal for ten minutes");
    assert!(before <= 4, "{before} attempts");
    let object = tenant.get(KIND, "a").expect("the object");
    assert_eq!(
        object["status"]["conditions"].as_array().into_iter().flatten().filter(|c| c["type"] == CONDITION).count(),
        1
    );
    assert_ne!(tenant.version(KIND, "a"), version, "the new MAC");
    assert_eq!(operator.metric("vso_vault_event_streams"), Some(0.0));
}
