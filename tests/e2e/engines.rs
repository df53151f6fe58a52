//! The secrets engines that other stories use, by themselves: what they give works, and stops to work when it is
//! revoked.

use std::time::Instant;

use serde_json::{Value, json};
use testenv::{Cluster, Options, Process, Server, Tool, Tools};

use test_support::engines::aws::AwsEngine;
use test_support::engines::database::{Database, Rotation};
use test_support::engines::kubernetes::KubernetesEngine;
use test_support::engines::{Lease, RENEW_LEASES, lease_ids, read_and_write, revoke, revoke_all};
use test_support::{Tenant, eventually, own, shared};

#[track_caller]
fn eventually_refused(what: &str, mut is_accepted: impl FnMut() -> bool) {
    eventually(what, || if is_accepted() { Err("it still works") } else { Ok(()) });
}

/// Status of a request with a token of this service account's login.
fn status(tenant: &Tenant<'_>, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    tenant.cluster.vault_raw(method, path, body, token).expect("Vault answers")
}

#[test]
fn the_database_engine_of_vault() {
    database_engine(Server::Vault);
}

#[test]
fn the_database_engine_of_openbao() {
    if Tools::default().has(Tool::OpenBao) {
        database_engine(Server::OpenBao);
    } else {
        eprintln!("skipped: no OpenBao; `cargo testenv build --optional` gets it");
    }
}

fn database_engine(server: Server) {
    let cluster = own(Options { server, ..Options::default() });
    let started = Instant::now();
    let Some(database) = Database::mount(&cluster, "database") else { return };
    eprintln!("{}: PostgreSQL and the engine are there after {:.1} s", server.name(), started.elapsed().as_secs_f32());
    leases_of_a_database(&cluster, &database);
    a_ttl_that_is_cut(&cluster, &database);
    static_roles(&cluster, &database);
    a_database_that_is_down(&cluster, &database);
}

fn leases_of_a_database(cluster: &Cluster, database: &Database<'_>) {
    database.role("app", 3600, 7200);
    let leases: Vec<Lease> = (0..3).map(|_| database.issue("app")).collect();
    let [first, second, third] = leases.as_slice() else { panic!("three leases") };
    assert_eq!((first.seconds, first.renewable), (3600, true));
    let wrong = json!({ "username": first.text("username"), "password": "wrong" });
    assert!(!database.accepts(&wrong));
    assert!(leases.iter().all(|lease| database.accepts(&lease.data)));
    assert_eq!(database.lease_ids("app").len(), 3);

    let renewed = first.renew(cluster, 1800).expect("it is renewed");
    assert_eq!((renewed.id.as_str(), renewed.seconds), (first.id.as_str(), 1800));
    first.revoke(cluster).expect("it is revoked");
    assert!(!database.accepts(&first.data));
    assert!(first.renew(cluster, 1800).is_err());
    // Behind the back of the holder.
    let id = database.lease_ids("app").into_iter().find(|id| *id == second.id).expect("the second");
    revoke(cluster, &id).expect("it is revoked");
    assert!(!database.accepts(&second.data) && database.accepts(&third.data));
    revoke_all(cluster, &database.creds("app")).expect("they are revoked");
    assert!(!database.accepts(&third.data));
    assert_eq!(database.lease_ids("app"), Vec::<String>::new());
}

fn a_ttl_that_is_cut(cluster: &Cluster, database: &Database<'_>) {
    database.role("short", 4, 6);
    let lease = database.issue("short");
    assert_eq!(lease.seconds, 4);
    let cut = eventually("a renewal that is cut", || match lease.renew(cluster, 4) {
        Ok(renewed) if renewed.seconds < 4 => Ok(renewed),
        Ok(renewed) => Err(format!("{} s", renewed.seconds)),
        Err(error) => Err(error.to_string()),
    });
    assert!(cut.warnings.to_string().contains("TTL"), "{}", cut.warnings);
    eventually_refused("the end of the lease", || database.accepts(&lease.data));
    eventually_refused("the end of its renewals", || lease.renew(cluster, 4).is_ok());
}

fn static_roles(cluster: &Cluster, database: &Database<'_>) {
    let read = |name: &str| {
        let answer = cluster.vault("GET", &database.static_creds(name), None).expect("credentials");
        assert_eq!(answer["lease_id"], "");
        answer["data"].clone()
    };
    database.static_role("daily", Rotation::Period(86_400));
    let before = read("daily");
    assert_eq!(before["username"], database.static_user("daily"));
    assert_eq!(before["rotation_period"], 86_400);
    assert!(database.accepts(&before));
    assert_eq!(read("daily")["password"], before["password"]);
    database.rotate("daily");
    let after = read("daily");
    assert!(database.accepts(&after) && !database.accepts(&before));

    database.static_role("often", Rotation::Period(5));
    let before = read("often");
    eventually("a rotation", || if database.accepts(&before) { Err("not yet") } else { Ok(()) });
    eventually("the new password", || if database.accepts(&read("often")) { Ok(()) } else { Err("not yet") });

    if cluster.server() == Server::OpenBao {
        // It has no schedules.
        return;
    }
    database.static_role("scheduled", Rotation::Schedule("* * * * *"));
    let scheduled = read("scheduled");
    assert!(database.accepts(&scheduled));
    assert_eq!(scheduled["rotation_schedule"], "* * * * *");
    assert!(scheduled["ttl"].as_u64().is_some_and(|ttl| ttl <= 60), "{scheduled}");
}

fn a_database_that_is_down(cluster: &Cluster, database: &Database<'_>) {
    let lease = database.issue("app");
    cluster.stop(Process::Postgresql).expect("PostgreSQL stops");
    assert!(Lease::read(cluster, &database.creds("app")).is_err());
    assert!(lease.renew(cluster, 1800).is_err());
    assert!(lease.revoke(cluster).is_err());
    cluster.vault("GET", "sys/health", None).expect("Vault serves");
    cluster.start_again(Process::Postgresql).expect("PostgreSQL starts");
    assert!(database.accepts(&lease.data));
    lease.renew(cluster, 1800).expect("it is renewed");
    assert!(database.accepts(&database.issue("app").data));
}

#[test]
fn the_kubernetes_engine() {
    let cluster = shared();
    let tenant = Tenant::new("engine-kubernetes");
    let engine = KubernetesEngine::mount(cluster, &format!("kubernetes-{}", tenant.namespace));
    engine.role("app", &tenant.namespace);
    let lease = engine.issue("app", &tenant.namespace);
    // The API server takes a moment to notice the role.
    let accepted = eventually("the rights of the account", || engine.accepts(&lease.data));
    assert!(accepted);
    // It gives nothing that could be renewed.
    assert!(!lease.renewable && lease.renew(cluster, 600).is_err());
    assert_eq!(lease_ids(cluster, &engine.creds("app")).expect("a list"), std::slice::from_ref(&lease.id));
    let account = lease.text("service_account_name");
    tenant.get("serviceaccount", account).expect("the account");
    lease.revoke(cluster).expect("it is revoked");
    tenant.get("serviceaccount", account).expect_err("the account is gone");
    // The API server remembers a token for some seconds.
    eventually_refused("the end of the token", || engine.accepts(&lease.data).unwrap_or(true));
}

#[test]
fn the_aws_engine() {
    let cluster = shared();
    let Some(engine) = AwsEngine::mount(cluster, "aws-engine") else { return };
    engine.user_role("user", 60, 120);
    let user = engine.issue("user");
    assert_eq!((user.seconds, user.renewable), (60, true));
    assert!(engine.accepts(&user.data));
    let wrong = json!({ "access_key": user.text("access_key"), "secret_key": "wrong" });
    assert!(!engine.accepts(&wrong));
    user.renew(cluster, 60).expect("it is renewed");
    user.revoke(cluster).expect("it is revoked");
    assert!(!engine.accepts(&user.data));
    assert_eq!(engine.aws.count("DeleteUser "), 1, "{:#?}", engine.aws.log());

    engine.session_role("session");
    engine.federation_role("federation");
    engine.aws.shorten_sessions(5);
    for role in ["session", "federation"] {
        let lease = engine.issue(role);
        assert!(!lease.renewable && lease.seconds <= 5);
        lease.renew(cluster, 60).expect_err("it cannot be renewed");
        assert!(lease.data["session_token"].is_string());
        // That a lease is revoked takes nothing away from a session.
        lease.revoke(cluster).expect("it is revoked");
        assert!(engine.accepts(&lease.data));
        eventually_refused("the end of a session", || engine.accepts(&lease.data));
    }
}

#[test]
fn what_a_role_may_do_with_leases() {
    let tenant = Tenant::new("engine-policies");
    tenant.drop_default_policy();
    let mount = format!("database-{}", tenant.namespace);
    let Some(database) = Database::mount(tenant.cluster, &mount) else { return };
    database.role("app", 3600, 7200);
    let jwt = tenant.cluster.service_account_token(&tenant.namespace, "app", &["vault"]).expect("a token");
    let body = json!({ "role": tenant.namespace, "jwt": jwt });
    let (code, login) = status(&tenant, "", "POST", "auth/kubernetes/login", Some(body));
    assert_eq!(code, 200, "{login}");
    let token = login["auth"]["client_token"].as_str().expect("a token");
    let read = || status(&tenant, token, "GET", &database.creds("app"), None);
    let renew = |id: &Value| status(&tenant, token, "PUT", "sys/leases/renew", Some(json!({ "lease_id": id }))).0;
    let revoke = |id: &Value| status(&tenant, token, "PUT", "sys/leases/revoke", Some(json!({ "lease_id": id }))).0;

    assert_eq!(read().0, 403);
    let creds = read_and_write(&mount);
    tenant.allow(&[&creds]);
    let (code, lease) = read();
    assert_eq!(code, 200);
    let id = &lease["lease_id"];
    assert_eq!((renew(id), revoke(id)), (403, 403));
    tenant.allow(&[&creds, RENEW_LEASES]);
    assert_eq!((renew(id), revoke(id)), (200, 403));
    tenant.allow_leases(&[&mount]);
    assert_eq!((renew(id), revoke(id)), (200, 204));
    eventually_refused("the end of the lease", || database.accepts(&lease["data"]));
}
