//! The end of an object: its lease is revoked where that is wanted, and nothing hangs on a Vault that does not do it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Options, Process};

use test_support::engines::{RENEW_LEASES, REVOKE_LEASES, read_and_write};
use test_support::{NO_ELECTION, Tenant, eventually, own};

use super::{Fixture, RESOURCE};

const FINALIZER: &str = "vaultdynamicsecret.secrets.hashicorp.com/finalizer";

fn delete(tenant: &Tenant<'_>, name: &str) {
    tenant.kubectl(&["delete", RESOURCE, name, "--wait=false"]).expect("it is deleted");
}

#[track_caller]
fn wait_gone(tenant: &Tenant<'_>, name: &str) {
    eventually("the end of the object", || match tenant.get("VaultDynamicSecret", name) {
        Ok(object) => Err(object["metadata"].to_string()),
        Err(_) => Ok(()),
    });
}

#[test]
fn a_lease_is_revoked_with_its_object_where_that_is_wanted() {
    let tenant = Tenant::new("leasedeleted");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.creds("app");
    tenant.apply(&rig.object("revoked", &path, json!({ "revoke": true })));
    tenant.apply(&rig.object("kept", &path, json!({})));
    let (revoked, kept) = (rig.wait_lease("revoked", ""), rig.wait_lease("kept", ""));
    let (gone, good) = (rig.credentials("revoked"), rig.credentials("kept"));
    assert_eq!(rig.get("revoked")["metadata"]["finalizers"], json!([FINALIZER]));
    assert_eq!(rig.get("kept")["metadata"]["finalizers"], Value::Null);

    for name in ["revoked", "kept"] {
        delete(&tenant, name);
        wait_gone(&tenant, name);
    }
    tenant.wait_event("revoked", "SecretLeaseRevoke", &format!("Lease revoked: {revoked}"));
    eventually("the end of the lease", || if rig.database.accepts(&gone) { Err("it works") } else { Ok(()) });
    assert!(rig.database.accepts(&good));
    assert_eq!(rig.database.lease_ids("app"), [kept]);
}

#[test]
fn a_vault_that_is_gone_holds_an_object_up_for_about_a_minute() {
    let cluster = own(Options::default());
    let tenant = Tenant::on(&cluster, "leasegone");
    let Some(rig) = Fixture::new(&cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({ "revoke": true })));
    let lease = rig.wait_lease("db", "");
    cluster.kill(Process::Vault).expect("Vault is killed");
    let started = Instant::now();
    delete(&tenant, "db");
    wait_gone(&tenant, "db");
    let took = started.elapsed();
    assert!(took > Duration::from_secs(30), "{took:?}: a Vault that restarts is waited for");
    tenant.wait_event("db", "SecretLeaseRevoke", &format!("{lease} lives until it ends by itself"));
}

#[test]
fn without_the_right_to_revoke_an_object_goes_and_says_so() {
    let tenant = Tenant::new("norevocation");
    tenant.drop_default_policy();
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    tenant.allow(&[&read_and_write(&rig.database.mount), RENEW_LEASES]);
    rig.database.role("app", 600, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({ "revoke": true })));
    let lease = rig.wait_lease("db", "");
    delete(&tenant, "db");
    wait_gone(&tenant, "db");
    tenant.wait_event("db", "SecretLeaseRevoke", REVOKE_LEASES);
    assert_eq!(rig.database.lease_ids("app"), [lease]);
}

#[test]
fn a_lease_is_revoked_though_the_vault_auth_has_gone_before() {
    let tenant = Tenant::new("leaseauthgone");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({ "revoke": true })));
    let lease = rig.wait_lease("db", "");
    rig.wait_synced("db");
    // As when a release is uninstalled, or a namespace deleted: kinds are deleted in the order of their names.
    tenant.kubectl(&["delete", "vaultauth", "app"]).expect("it is deleted");
    rig.wait_condition("db", "SecretSynced", "False", "VaultAuth");
    delete(&tenant, "db");
    wait_gone(&tenant, "db");
    tenant.wait_event("db", "SecretLeaseRevoke", &format!("Lease revoked: {lease}"));
    eventually("no lease", || match rig.database.lease_ids("app") {
        ids if ids.is_empty() => Ok(()),
        ids => Err(format!("{ids:?}")),
    });
}
