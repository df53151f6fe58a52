//! Faults: of the database, of Vault, of leases, tokens and policies. Credentials that work stay, and are never left
//! dead for longer than until the next renewal.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Options, Process, VaultStorage};

use test_support::engines::{RENEW_LEASES, engines_policy, read_and_write, revoke};
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually, own, shared};

use super::{Fixture, SHORT_LEASE_SECONDS, targets};
use crate::refusal::Refusal;

/// Makes the role unable to make users, while leases of its users are renewed.
fn break_role(rig: &Fixture<'_>, role: &str) {
    let path = format!("{}/roles/{role}", rig.database.mount);
    let broken = json!({ "db_name": "postgresql", "creation_statements": "CREATE NONSENSE", "default_ttl": "6s", "max_ttl": "1h" });
    rig.tenant.cluster.vault("POST", &path, Some(broken)).expect("a role");
}

#[test]
fn the_old_lease_is_renewed_while_new_credentials_cannot_be_had() {
    let tenant = Tenant::new("leaseheld");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", SHORT_LEASE_SECONDS, 3600);
    break_role(&rig, "next");
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");

    tenant.apply(&rig.object("db", &rig.database.creds("next"), targets()));
    rig.wait_condition("db", "SecretSynced", "False", "Vault failed on the request");
    rig.assert_kept(&old);
    assert_eq!((rig.credentials("db"), rig.lease_id("db")), (old, first.clone()));

    rig.database.role("next", SHORT_LEASE_SECONDS, 3600);
    let second = rig.wait_lease("db", &first);
    assert!(second.contains("/creds/next/"), "{second}");
    let obtained = rig.get("db")["status"]["lastRenewalTime"].as_i64();
    eventually("a renewal of the new lease", || {
        let status = rig.get("db")["status"].clone();
        if status["lastRenewalTime"].as_i64() > obtained { Ok(()) } else { Err(status.to_string()) }
    });
    rig.assert_kept(&rig.credentials("db"));
    assert_eq!(rig.lease_id("db"), second, "it is the new lease that is kept");
    assert_eq!(rig.restarts.restarts("app"), 1);
}

#[test]
fn a_template_that_fails_holds_the_old_credentials_and_leaks_no_lease() {
    let tenant = Tenant::new("leasetemplate");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", SHORT_LEASE_SECONDS, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.creds("app");
    tenant.apply(&rig.object("db", &path, json!({})));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");

    let template = json!({ "dsn": { "text": r#"{{ fail "no dsn today" }}"# } });
    let destination = json!({ "destination": { "transformation": { "templates": template } } });
    tenant.apply(&rig.object("db", &path, destination));
    rig.wait_condition("db", "SecretSynced", "False", "no dsn today");
    rig.assert_kept(&old);
    eventually("one lease", || match rig.database.lease_ids("app") {
        ids if ids == [first.clone()] => Ok(()),
        ids => Err(format!("{ids:?}")),
    });
    tenant.apply(&rig.object("db", &path, json!({})));
    rig.wait_lease("db", &first);
    rig.wait_synced("db");
}

#[test]
fn a_database_that_is_down_is_told_and_waited_for() {
    let cluster = own(Options::default());
    let tenant = Tenant::on(&cluster, "databasedown");
    let Some(rig) = Fixture::new(&cluster, &tenant) else { return };
    rig.database.role("app", 60, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");

    cluster.stop(Process::Postgresql).expect("PostgreSQL stops");
    let mut changed = targets();
    changed["renewalPercent"] = json!(50);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), changed));
    let path = rig.database.creds("app");
    rig.wait_condition("db", "SecretSynced", "False", &format!("Vault failed on the request, path=\"{path}\""));
    assert_eq!(rig.credentials("db"), old);
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    cluster.start_again(Process::Postgresql).expect("PostgreSQL starts");
    rig.wait_lease("db", &first);
    rig.wait_synced("db");
    assert!(rig.works("db") && rig.database.accepts(&old));
    rig.wait_restarts("app", 1);
}

#[test]
fn a_vault_that_is_sealed_for_less_than_the_lease_changes_nothing() {
    let cluster = own(Options { vault: VaultStorage::Raft, ..Options::default() });
    let tenant = Tenant::on(&cluster, "leasesealed");
    let Some(rig) = Fixture::new(&cluster, &tenant) else { return };
    rig.database.role("app", 90, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&NO_ELECTION);
    let mut spec = targets();
    spec["renewalPercent"] = json!(5);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), spec));
    let first = rig.wait_lease("db", "");
    let (secret, old) = (tenant.version("secret", "db"), rig.credentials("db"));

    for start in [false, true] {
        cluster.vault_seal().expect("Vault is sealed");
        if start {
            operator.kill();
            operator = tenant.operator(&NO_ELECTION);
        }
        rig.wait_condition("db", "LeaseRenewal", "False", "sealed");
        rig.wait_condition("db", "SecretSynced", "True", "");
        assert_eq!(tenant.version("secret", "db"), secret);
        cluster.vault_unseal().expect("Vault is unsealed");
        rig.wait_condition("db", "LeaseRenewal", "True", "");
        assert!(rig.database.accepts(&old));
        assert_eq!((rig.lease_id("db"), tenant.version("secret", "db")), (first.clone(), secret.clone()));
    }
    tenant.wait_event("db", "SecretLeaseRenewalError", "Could not renew lease, lease_id=");
    assert_eq!(rig.database.lease_ids("app"), [first]);
    assert_eq!(rig.restarts.restarts("app"), 0);
}

#[test]
fn answers_that_are_cut_off_replace_nothing() {
    let proxy = shared().proxy("leasecut", shared().vault_addr()).expect("a proxy");
    let tenant = Tenant::at(shared(), "leasecut", &proxy.url("http"), None);
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 30, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&FAST_RETRY);
    let mut spec = targets();
    spec["renewalPercent"] = json!(5);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), spec.clone()));
    let first = rig.wait_lease("db", "");
    let (secret, old) = (tenant.version("secret", "db"), rig.credentials("db"));
    rig.wait_condition("db", "LeaseRenewal", "True", "");

    // The head of an answer, and a part of its body.
    proxy.add_limit(200).expect("answers are cut short");
    rig.wait_condition("db", "LeaseRenewal", "False", "");
    proxy.clear().expect("all comes through");
    rig.wait_condition("db", "LeaseRenewal", "True", "");
    assert_eq!((rig.lease_id("db"), tenant.version("secret", "db")), (first.clone(), secret.clone()));

    proxy.add_limit(200).expect("answers are cut short");
    spec["renewalPercent"] = json!(6);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), spec));
    rig.wait_condition("db", "SecretSynced", "False", "");
    assert_eq!((rig.lease_id("db"), tenant.version("secret", "db")), (first.clone(), secret));
    assert!(rig.database.accepts(&old));
    proxy.clear().expect("all comes through");
    rig.wait_lease("db", &first);
    rig.wait_synced("db");
    assert!(rig.works("db"));
    rig.wait_restarts("app", 1);
}

#[test]
fn a_lease_or_a_token_that_is_revoked_is_noticed_at_the_next_renewal() {
    let tenant = Tenant::new("leaserevoked");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 8, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");
    revoke(tenant.cluster, &first).expect("it is revoked");
    assert!(!rig.database.accepts(&old));
    let second = rig.wait_lease("db", &first);
    rig.wait_restarts("app", 1);
    assert!(rig.works("db"));

    // A token that has only just been given is not doubted.
    std::thread::sleep(Duration::from_secs(6));
    let old = rig.credentials("db");
    assert_eq!(tenant.revoke_tokens(), 1);
    eventually("the end of the credentials", || if rig.database.accepts(&old) { Err("they work") } else { Ok(()) });
    let dead = Instant::now();
    rig.wait_credentials("db", &old);
    // A lease of 8 s is renewed after 7 s at the latest. The machine may be slow.
    assert!(dead.elapsed() < Duration::from_secs(60), "{:?} without credentials", dead.elapsed());
    rig.wait_lease("db", &second);
    rig.wait_restarts("app", 2);
}

#[test]
fn without_the_right_to_renew_credentials_are_replaced_in_time() {
    let tenant = Tenant::new("norenewal");
    tenant.drop_default_policy();
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    tenant.allow(&[&read_and_write(&rig.database.mount)]);
    rig.database.role("app", 30, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({ "renewalPercent": 10 })));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");
    rig.wait_condition("db", "LeaseRenewal", "False", RENEW_LEASES);
    tenant.wait_event("db", "SecretLeaseRenewalError", RENEW_LEASES);
    rig.wait_lease("db", &first);
    assert!(rig.database.accepts(&old), "the old credentials are still good when the new ones are there");
    assert!(rig.works("db"));

    tenant.allow_leases(&[&rig.database.mount]);
    rig.wait_condition("db", "LeaseRenewal", "True", "Successfully renewed lease");
}

#[test]
fn another_login_replaces_the_credentials_and_a_label_does_not() {
    let tenant = Tenant::new("leaseauth");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");
    rig.wait_synced("db");

    let mut labelled = tenant.auth("app", json!({}));
    labelled["metadata"]["labels"] = json!({ "team": "blue" });
    let version = tenant.version("VaultDynamicSecret", "db");
    tenant.apply(&labelled);
    rig.restarts.several_refreshes();
    assert_eq!(tenant.version("VaultDynamicSecret", "db"), version);

    let namespace = &tenant.namespace;
    let auth = |role: &str| {
        let kubernetes = json!({ "role": role, "serviceAccount": "app", "audiences": ["vault"] });
        tenant.auth("app", json!({ "kubernetes": kubernetes }))
    };
    // There is no such role: what is in the Secret is good until its lease ends.
    tenant.apply(&auth(&format!("{namespace}-absent")));
    rig.wait_condition("db", "LeaseRenewal", "False", "invalid role name");
    assert_eq!((rig.lease_id("db"), rig.credentials("db")), (first.clone(), old.clone()));
    assert!(rig.database.accepts(&old));

    let role = format!("{namespace}-two");
    let policies = [namespace.clone(), engines_policy(namespace)];
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    tenant.cluster.vault_kubernetes_role(&role, &["app"], &[namespace], &policies, "1h").expect("a role");
    tenant.apply(&auth(&role));
    let second = rig.wait_lease("db", &first);
    tenant.wait_event("db", "SecretRotated", "sync_reason=\"VaultClientConfigChanged\"");
    rig.wait_condition("db", "LeaseRenewal", "True", "");
    rig.wait_restarts("app", 1);
    rig.restarts.several_refreshes();
    assert_eq!(rig.lease_id("db"), second, "replaced once");
}

#[test]
fn a_crash_before_the_secret_is_written_leaks_no_lease() {
    let tenant = Tenant::new("crashsecret");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    let (old, version) = (rig.credentials("db"), tenant.version("secret", "db"));

    let refusal = Refusal::of_secret(&tenant, "db");
    force(&rig);
    rig.wait_condition("db", "SecretSynced", "False", "not now");
    operator.kill();
    assert_eq!(tenant.version("secret", "db"), version);
    drop(refusal);
    operator = tenant.operator(&NO_ELECTION);
    let pending = rig.get("db")["status"]["pendingLease"]["id"].as_str().map(str::to_owned);
    rig.wait_synced("db");
    eventually("no pending lease", || match &rig.get("db")["status"]["pendingLease"] {
        Value::Null => Ok(()),
        other => Err(other.to_string()),
    });
    // The change that was asked for is not known to the new process, and the credentials are good.
    assert_eq!((rig.lease_id("db"), rig.credentials("db")), (first.clone(), old));
    eventually("one lease", || match rig.database.lease_ids("app") {
        ids if ids == [first.clone()] => Ok(()),
        ids => Err(format!("{ids:?}, pending was {pending:?}")),
    });
    assert_eq!(rig.restarts.restarts("app"), 0);
    drop(operator);
}

/// Changes an annotation of the object: VSO asks for new credentials then.
fn force(rig: &Fixture<'_>) {
    let stamp = format!("{:?}", Instant::now());
    rig.restarts.patch("VaultDynamicSecret", "db", json!({ "metadata": { "annotations": { "stamp": stamp } } }));
}

#[test]
fn a_crash_after_the_secret_is_written_repeats_nothing() {
    let tenant = Tenant::new("crashstatus");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    rig.database.role("other", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");

    let refusal = Refusal::of_lease(&tenant, "db");
    force(&rig);
    let new = rig.wait_credentials("db", &old);
    rig.wait_restarts("app", 1);
    operator.kill();
    assert_eq!(rig.lease_id("db"), first, "the status could not be written");
    let version = tenant.version("secret", "db");
    drop(refusal);
    operator = tenant.operator(&NO_ELECTION);
    let second = rig.wait_lease("db", &first);
    rig.restarts.several_refreshes();
    assert_eq!((rig.credentials("db"), tenant.version("secret", "db")), (new.clone(), version));
    assert!(rig.get("db")["status"]["pendingLease"].is_null());
    assert_eq!(rig.restarts.restarts("app"), 1);
    let mut ids = rig.database.lease_ids("app");
    ids.sort();
    let mut known = [first, second.clone()];
    known.sort();
    assert_eq!(ids, known, "no lease that the status does not know");

    // The same, and the spec changes before the next start.
    let refusal = Refusal::of_lease(&tenant, "db");
    force(&rig);
    rig.wait_credentials("db", &new);
    rig.wait_restarts("app", 2);
    operator.kill();
    drop(refusal);
    tenant.apply(&rig.object("db", &rig.database.creds("other"), targets()));
    let _operator = tenant.operator(&NO_ELECTION);
    eventually("credentials of the other role", || {
        let id = rig.lease_id("db");
        if id.contains("/creds/other/") && rig.works("db") { Ok(()) } else { Err(id) }
    });
    rig.wait_synced("db");
    rig.wait_restarts("app", 3);
}
