//! Leases that cannot be revoked. A login may not: each lease that is left behind is told, with the line of the policy
//! that is missing. An engine cannot: Vault goes on trying, and the operator does not wait for it.

use serde_json::json;

use test_support::engines::{RENEW_LEASES, REVOKE_LEASES, read_and_write};
use test_support::{FAST_RETRY, NO_ELECTION, Tenant};

use super::{Fixture, retiring};
use crate::refusal::Refusal;

#[test]
fn leases_that_may_not_be_revoked_are_told() {
    let tenant = Tenant::new("unrevoked");
    tenant.drop_default_policy();
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    tenant.allow(&[&read_and_write(&rig.database.mount), RENEW_LEASES]);
    rig.database.role("app", 600, 3600);
    let mut deployment = tenant.workload("Deployment", "app");
    deployment["spec"]["replicas"] = json!(0);
    tenant.apply(&deployment);
    let _operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.creds("app");

    // Credentials that do not get into their Secret.
    let refusal = Refusal::of_secret(&tenant, "orphan");
    tenant.apply(&rig.object("orphan", &path, json!({})));
    rig.wait_condition("orphan", "SecretSynced", "False", "not now");
    tenant.wait_event("orphan", "SecretLeaseRevoke", REVOKE_LEASES);
    drop(refusal);

    // Credentials that others have taken the place of.
    tenant.apply(&rig.object("old", &path, retiring()));
    let first = rig.wait_lease("old", "");
    rig.restarts.patch("VaultDynamicSecret", "old", json!({ "metadata": { "annotations": { "stamp": "1" } } }));
    rig.wait_lease("old", &first);
    rig.wait_condition("old", "RolloutComplete", "False", REVOKE_LEASES);
    tenant.wait_event("old", "SecretLeaseRevoke", REVOKE_LEASES);
    tenant.wait_event("old", "SecretLeaseRevoke", &first);
}

#[test]
fn a_lease_that_its_engine_cannot_revoke_holds_nothing_up() {
    let tenant = Tenant::new("unrevoking");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    rig.database.break_revocation("app");
    let _operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let spec = json!({ "revoke": true });
    tenant.apply(&rig.object("db", &rig.database.creds("app"), spec));
    let first = rig.wait_lease("db", "");
    rig.wait_synced("db");

    // Credentials that do not get into their Secret.
    let refusal = Refusal::of_secret(&tenant, "db");
    rig.restarts.patch("VaultDynamicSecret", "db", json!({ "metadata": { "annotations": { "stamp": "1" } } }));
    rig.wait_condition("db", "SecretSynced", "False", "not now");
    rig.restarts.several_refreshes();
    drop(refusal);
    rig.wait_lease("db", &first);
    rig.wait_synced("db");
    assert!(rig.works("db"));
    tenant.kubectl(&["delete", super::RESOURCE, "db", "--timeout=30s"]).expect("it goes");
    rig.database.role("app", 600, 3600);
}
