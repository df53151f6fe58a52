//! Instant updates: static roles that are rotated, and what leases make of events, on the event stream of a real Vault.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use testenv::{Cluster, Options, Server, Tool, Tools};

use test_support::audit::{Count, describe};
use test_support::engines::database::Rotation;
use test_support::engines::{RENEW_LEASES, REVOKE_LEASES};
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually, lacks, own, server, skipped};

use super::{Fixture, KIND};

const CONDITION: &str = "InstantUpdates";
/// A lease that is not renewed within the time of a test, in seconds.
const LONG_LEASE_SECONDS: u64 = 36_000;
/// In this time an event would have had its effect.
const WHILE_NOTHING_CONCERNS: Duration = Duration::from_secs(5);

/// The environment that the tests share whose Vault has events of databases, or `None` with a note why not.
fn events() -> Option<&'static Cluster> {
    static EVENTS: OnceLock<Cluster> = OnceLock::new();
    if lacks(Server::OpenBao, "event stream") {
        return None;
    }
    if !Tools::default().has(Tool::VaultDatabaseEvents) {
        skipped("no Vault with events of databases; `cargo testenv build --optional` builds one in about 8 min");
        return None;
    }
    let options = || Options { vault_events: Some(Tool::VaultDatabaseEvents), ..Options::default() };
    Some(EVENTS.get_or_init(|| own(options())))
}

/// What the role of a tenant needs to be told of the roles of a mount and of leases.
fn allow(tenant: &Tenant<'_>, mount: &str) {
    let subscribe = "subscribe_event_types = [\"*\"]";
    tenant.allow(&[
        &format!("path \"{mount}/*\" {{ capabilities = [\"read\", \"subscribe\"] {subscribe} }}"),
        &format!("path \"{mount}\" {{ capabilities = [\"subscribe\"] {subscribe} }}"),
        &format!("path \"sys/leases/*\" {{ capabilities = [\"subscribe\"] {subscribe} }}"),
        "path \"sys/events/subscribe/database*\" { capabilities = [\"read\"] }",
        "path \"sys/events/subscribe/lease*\" { capabilities = [\"read\"] }",
        RENEW_LEASES,
        REVOKE_LEASES,
    ]);
}

/// A VaultDynamicSecret that wants instant updates.
fn instant(rig: &Fixture<'_>, name: &str, path: &str, spec: Value) -> Value {
    let mut object = rig.object(name, path, json!({ "syncConfig": { "instantUpdates": true } }));
    json_patch::merge(&mut object["spec"], &spec);
    object
}

#[track_caller]
fn wait_streaming(rig: &Fixture<'_>, name: &str) {
    rig.wait_condition(name, CONDITION, "True", "Started watching events");
    rig.tenant.wait_event(name, "EventWatcherStarted", "Started watching events");
}

#[test]
fn a_static_role_that_is_rotated_by_hand_reaches_the_secret_at_once() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "instant-static");
    let Some(rig) = Fixture::new(cluster, &tenant) else { return };
    let mount = &rig.database.mount;
    allow(&tenant, mount);
    for role in ["daily", "other"] {
        rig.database.static_role(role, Rotation::Period(86_400));
    }
    rig.database.role("leased", LONG_LEASE_SECONDS, LONG_LEASE_SECONDS);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.static_creds("daily");
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    let spec = json!({ "allowStaticCreds": true, "rolloutRestartTargets": targets });
    tenant.apply(&instant(&rig, "db", &path, spec));
    let first = rig.wait_credentials("db", &json!({}));
    rig.wait_synced("db");
    wait_streaming(&rig, "db");
    let condition = tenant.condition(KIND, "db", "SecretSynced").expect("a condition");
    assert_eq!(condition["message"], "Secret synced", "nothing is said to have no effect");

    let rotate = |old: &Value, restarts: i64| {
        rig.database.rotate("daily");
        let new = rig.wait_credentials("db", old);
        rig.wait_restarts("app", restarts);
        new
    };
    let second = rotate(&first, 1);

    // What the read after the stream has started may still have to do is done by now.
    std::thread::sleep(WHILE_NOTHING_CONCERNS);
    let (count, marker) = (Count::start(&tenant), rig.marker());
    rig.database.rotate("other");
    rig.database.issue("leased");
    std::thread::sleep(WHILE_NOTHING_CONCERNS);
    assert_eq!(rig.requests(marker, &path), 0, "what happens to other roles concerns no object");
    let requests = count.requests();
    assert!(requests.is_empty(), "{}", describe(&requests));

    // The role is told of, and nothing was rotated.
    let (count, marker) = (Count::start(&tenant), rig.marker());
    let user = rig.database.static_user("daily");
    let role = json!({ "db_name": "postgresql", "username": user, "rotation_period": "86400s" });
    cluster.vault("POST", &format!("{mount}/static-roles/daily"), Some(role)).expect("Vault takes it");
    eventually("a read", || if rig.requests(marker, &path) > 0 { Ok(()) } else { Err("none") });
    std::thread::sleep(WHILE_NOTHING_CONCERNS);
    let writes: Vec<_> = count.requests().into_iter().filter(|event| event.is_write()).collect();
    assert!(writes.is_empty(), "{}", describe(&writes));
    assert_eq!((rig.credentials("db"), rig.restarts.restarts("app")), (second.clone(), 1));

    // Two in one second: the time in the answers differs by less than a second.
    rig.database.rotate("daily");
    rig.database.rotate("daily");
    let accepted = || {
        let found = rig.credentials("db");
        if found != second && rig.database.accepts(&found) { Ok(found) } else { Err("the last rotation is not there") }
    };
    let third = eventually("the last rotation", accepted);
    let passwords = [first, second, third].map(|all| all["password"].as_str().unwrap_or("").to_owned());
    tenant.assert_nothing_leaked(&operator, &passwords.each_ref().map(String::as_str));
}

#[test]
fn a_static_role_that_gets_a_shorter_period_is_followed_from_then_on() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "instant-period");
    let Some(rig) = Fixture::new(cluster, &tenant) else { return };
    allow(&tenant, &rig.database.mount);
    rig.database.static_role("app", Rotation::Period(86_400));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&instant(&rig, "db", &rig.database.static_creds("app"), json!({ "allowStaticCreds": true })));
    let daily = rig.wait_credentials("db", &json!({}));
    wait_streaming(&rig, "db");
    // Without an event it would be seen after a day.
    let user = rig.database.static_user("app");
    let role = json!({ "db_name": "postgresql", "username": user, "rotation_period": "15s" });
    let path = format!("{}/static-roles/app", rig.database.mount);
    cluster.vault("POST", &path, Some(role)).expect("Vault takes it");
    let first = rig.wait_credentials("db", &daily);
    rig.wait_credentials("db", &first);
    assert_eq!(rig.get("db")["status"]["staticCredsMetaData"]["rotationPeriod"], 15);
}

#[test]
fn no_event_of_the_engine_costs_the_credentials_of_a_lease() {
    let Some(cluster) = events() else { return };
    let tenant = Tenant::on(cluster, "instant-lease");
    let Some(rig) = Fixture::new(cluster, &tenant) else { return };
    let mount = &rig.database.mount;
    allow(&tenant, mount);
    for role in ["app", "static"] {
        rig.database.role(role, LONG_LEASE_SECONDS, LONG_LEASE_SECONDS);
    }
    let operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&instant(&rig, "db", &rig.database.creds("app"), json!({})));
    // It follows the events of the engine, which tell of the credentials that are made for it.
    tenant.apply(&instant(&rig, "wrong", &rig.database.creds("static"), json!({ "allowStaticCreds": true })));
    let first = rig.wait_lease("db", "");
    let wrong = rig.wait_lease("wrong", "");
    for name in ["db", "wrong"] {
        rig.wait_synced(name);
        wait_streaming(&rig, name);
    }

    let others = rig.database.issue("app");
    rig.database.role("app", LONG_LEASE_SECONDS / 2, LONG_LEASE_SECONDS);
    rig.database.issue("static");
    others.revoke(cluster).expect("it is revoked");
    std::thread::sleep(WHILE_NOTHING_CONCERNS);
    assert_eq!((rig.lease_id("db"), rig.lease_id("wrong")), (first.clone(), wrong.clone()));
    assert_eq!((rig.database.lease_ids("app").len(), rig.database.lease_ids("static").len()), (1, 2));

    let new = rig.credentials("db");
    cluster.vault("DELETE", &format!("{mount}/roles/app"), None).expect("it is deleted");
    std::thread::sleep(WHILE_NOTHING_CONCERNS);
    assert_eq!(rig.credentials("db"), new, "a role that is gone takes no credentials away");
    assert_eq!(rig.database.lease_ids("app").len(), 1);
    assert_eq!((rig.lease_id("wrong"), rig.database.lease_ids("static").len()), (wrong, 2));
    assert_eq!(operator.metric("vso_vault_event_streams"), Some(2.0), "one for each topic");
}

#[test]
fn without_events_rotations_and_leases_are_followed_as_ever() {
    let tenant = Tenant::new("instant-none");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.static_role("daily", Rotation::Period(86_400));
    rig.database.role("app", LONG_LEASE_SECONDS, LONG_LEASE_SECONDS);
    let _operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let spec = json!({ "allowStaticCreds": true, "refreshAfter": "2s" });
    tenant.apply(&instant(&rig, "static", &rig.database.static_creds("daily"), spec));
    tenant.apply(&instant(&rig, "leased", &rig.database.creds("app"), json!({})));
    let password = rig.wait_credentials("static", &json!({}));
    rig.wait_lease("leased", "");
    let (reason, texts) = match server() {
        Server::Vault => ("Denied", ["sys/events/subscribe/database*", "sys/events/subscribe/lease*"]),
        Server::OpenBao => ("NotAvailable", ["OpenBao has no event stream"; 2]),
    };
    for (name, text) in ["static", "leased"].into_iter().zip(texts) {
        tenant.wait_condition_of(KIND, name, (CONDITION, "False", Some(reason)), &[text, "permission denied"]);
        tenant.wait_event(name, "EventWatcherError", text);
    }
    if server() == Server::Vault {
        allow(&tenant, &rig.database.mount);
        for name in ["static", "leased"] {
            tenant.kubectl(&["annotate", super::RESOURCE, name, "example.com/try=again"]).expect("it is");
            tenant.wait_condition_of(KIND, name, (CONDITION, "False", Some("NotAvailable")), &["Vault Enterprise"]);
            rig.wait_synced(name);
        }
    }
    rig.database.rotate("daily");
    rig.wait_credentials("static", &password);
    assert!(rig.works("leased"));
}
