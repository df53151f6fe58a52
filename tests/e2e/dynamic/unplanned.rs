//! An object that has no plan, since what it refers to is gone or not allowed: its lease does not end for that.

use serde_json::{Value, json};

use test_support::audit::Count;
use test_support::{NO_ELECTION, Tenant, eventually};

use super::{Fixture, SHORT_LEASE_SECONDS};

const TRANSFORMATION: &str = "SecretTransformation";

/// Applies the object `db`, with leases that are soon renewed, and the SecretTransformation that it names, and gives
/// that.
fn apply_transformed(rig: &Fixture<'_>) -> Value {
    let tenant = rig.tenant;
    rig.database.role("app", SHORT_LEASE_SECONDS, 3600);
    let transformation = tenant.object(TRANSFORMATION, "dsn", json!({ "excludes": ["_raw"] }));
    let refs = json!([{ "name": "dsn" }]);
    let destination = json!({ "destination": { "transformation": { "transformationRefs": refs } } });
    tenant.apply(&transformation);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), destination));
    transformation
}

#[test]
fn a_lease_is_renewed_while_what_its_object_refers_to_is_gone() {
    let tenant = Tenant::new("leaseplan");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let transformation = apply_transformed(&rig);
    let mut operator = tenant.operator(&NO_ELECTION);
    let first = rig.wait_lease("db", "");
    let old = rig.credentials("db");

    rig.restarts.api.delete(TRANSFORMATION, &tenant.namespace, "dsn").expect("it is deleted");
    rig.wait_condition("db", "SecretSynced", "False", "SecretTransformation");
    rig.assert_kept(&old);
    // Another process knows only what the status says.
    operator.kill();
    let _operator = tenant.operator(&NO_ELECTION);
    rig.assert_kept(&old);
    rig.wait_condition("db", "LeaseRenewal", "True", "Successfully renewed lease");
    tenant.apply(&transformation);
    rig.wait_synced("db");
    assert_eq!((rig.lease_id("db"), rig.credentials("db")), (first.clone(), old.clone()));

    let count = Count::start(&tenant);
    rig.restarts.api.delete("VaultAuth", &tenant.namespace, "app").expect("it is deleted");
    rig.wait_condition("db", "SecretSynced", "False", "VaultAuth");
    rig.assert_kept(&old);
    // No login is made by a VaultAuth that is gone.
    // Of both processes.
    assert_eq!(tenant.revoke_tokens(), 2);
    rig.wait_condition("db", "LeaseRenewal", "False", "");
    assert_eq!(count.logins(), 0);
    tenant.apply(&tenant.object("VaultAuth", "app", tenant.auth_spec()));
    rig.wait_lease("db", &first);
    rig.wait_synced("db");
    assert!(rig.works("db"));
}

#[test]
fn a_lease_that_is_gone_while_no_other_can_be_had_is_told() {
    let tenant = Tenant::new("leasegone");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let transformation = apply_transformed(&rig);
    let _operator = tenant.operator(&NO_ELECTION);
    let first = rig.wait_lease("db", "");
    rig.restarts.api.delete(TRANSFORMATION, &tenant.namespace, "dsn").expect("it is deleted");
    rig.wait_condition("db", "SecretSynced", "False", "SecretTransformation");
    tenant.cluster.vault("POST", "sys/leases/revoke", Some(json!({ "lease_id": first }))).expect("it is revoked");
    rig.wait_condition("db", "LeaseRenewal", "False", "new credentials are needed");
    tenant.apply(&transformation);
    rig.wait_lease("db", &first);
    rig.wait_synced("db");
    assert!(rig.works("db"));
}

#[test]
fn a_lease_ends_when_the_login_is_not_allowed_any_more() {
    let tenant = Tenant::new("leasedenied");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", SHORT_LEASE_SECONDS, 3600);
    let namespace = &tenant.operator_namespace;
    let auth = |allowed: Value| {
        let mut auth = tenant.auth("shared", json!({ "allowedNamespaces": allowed }));
        auth["spec"]["vaultConnectionRef"] = json!(format!("{}/vault", tenant.namespace));
        auth["metadata"]["namespace"] = json!(namespace);
        auth
    };
    tenant.apply(&auth(json!([tenant.namespace])));
    let _operator = tenant.operator(&NO_ELECTION);
    let reference = json!({ "vaultAuthRef": format!("{namespace}/shared") });
    tenant.apply(&rig.object("db", &rig.database.creds("app"), reference));
    rig.wait_lease("db", "");
    let old = rig.credentials("db");
    tenant.apply(&auth(json!([])));
    rig.wait_condition("db", "SecretSynced", "False", "");
    eventually("the end of the lease", || if rig.database.accepts(&old) { Err("it works") } else { Ok(()) });
}
