//! `revokeReplacedLeases`: old credentials live until the workloads run with the new ones.

use serde_json::json;

use test_support::engines::database::Database;
use test_support::engines::{REVOKE_LEASES, read_and_write};
use test_support::{NO_ELECTION, Tenant, eventually};

use super::{Fixture, KIND, retiring};
use crate::namespaces;

/// There is no node on which new pods could start: the rollout is complete when there are to be none.
fn complete_rollout(rig: &Fixture<'_>) {
    rig.restarts.patch("Deployment", "app", json!({ "spec": { "replicas": 0 } }));
}

/// Changes an annotation of the object: other credentials are asked for.
fn force(rig: &Fixture<'_>, name: &str, stamp: &str) {
    rig.restarts.patch("VaultDynamicSecret", name, json!({ "metadata": { "annotations": { "stamp": stamp } } }));
}

fn replaced(rig: &Fixture<'_>, name: &str) -> usize {
    rig.get(name)["status"]["replacedLeases"].as_array().map_or(0, Vec::len)
}

#[test]
fn old_leases_are_revoked_when_the_rollout_is_complete() {
    let tenant = Tenant::new("replaced");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.creds("app");
    tenant.apply(&rig.object("db", &path, retiring()));
    tenant.apply(&rig.object("alone", &path, json!({ "revokeReplacedLeases": true })));
    let (first, alone) = (rig.wait_lease("db", ""), rig.wait_lease("alone", ""));
    let (old, lonely) = (rig.credentials("db"), rig.credentials("alone"));
    for name in ["db", "alone"] {
        force(&rig, name, "1");
    }
    rig.wait_lease("db", &first);
    rig.wait_lease("alone", &alone);
    let condition = rig.wait_condition("db", "RolloutComplete", "False", "the old credentials end at 20");
    assert!(condition["message"].as_str().is_some_and(|text| text.contains("Deployment app")), "{condition}");
    assert!(rig.database.accepts(&old) && rig.works("db"));
    assert_eq!((replaced(&rig, "db"), replaced(&rig, "alone")), (1, 0));

    // Over a restart of the operator, too.
    operator.kill();
    let _operator = tenant.operator(&NO_ELECTION);
    rig.restarts.several_refreshes();
    assert!(rig.database.accepts(&old));
    complete_rollout(&rig);
    rig.wait_condition("db", "RolloutComplete", "True", "");
    eventually("the end of the old lease", || if rig.database.accepts(&old) { Err("it works") } else { Ok(()) });
    tenant.wait_event("db", "SecretLeaseRevoke", &format!("Lease revoked: {first}"));
    assert_eq!(replaced(&rig, "db"), 0);
    assert!(rig.works("db") && rig.database.accepts(&lonely), "without targets nothing is revoked");
}

#[test]
fn an_old_lease_is_revoked_in_the_namespace_that_it_is_in() {
    let Some(tenant) = namespaces::set_up("moved-lease") else { return };
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let [blue, green] = ["blue", "green"].map(|name| {
        let namespace = format!("{}-{name}", tenant.namespace);
        namespaces::make(&tenant, "", &namespace, json!({}));
        let database = Database::mount_in(&format!("{namespace}/"), tenant.cluster, "db").expect("PostgreSQL is here");
        database.role("app", 600, 3600);
        (namespace, database)
    });
    let mut rules = vec![read_and_write(&rig.database.mount), REVOKE_LEASES.to_owned()];
    for (namespace, database) in [&blue, &green] {
        let leases = format!("path \"{namespace}/sys/leases/revoke\" {{ capabilities = [\"update\"] }}");
        rules.extend([read_and_write(&database.mount), leases]);
    }
    tenant.allow(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    complete_rollout(&rig);
    let _operator = tenant.operator(&NO_ELECTION);
    let mut spec = retiring();
    spec["revoke"] = json!(true);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), spec));
    let mut lease = rig.wait_lease("db", "");
    // From the topmost one to another, to one beside it, and back.
    for (namespace, mount) in [(&*blue.0, "db"), (&*green.0, "db"), ("", &*rig.database.mount)] {
        let old = rig.credentials("db");
        rig.restarts.patch(KIND, "db", json!({ "spec": { "namespace": namespace, "mount": mount } }));
        lease = rig.wait_lease("db", &lease);
        assert!(rig.works("db"), "{namespace}");
        eventually("the end of the old lease", || if rig.database.accepts(&old) { Err("it works") } else { Ok(()) });
    }
}

#[test]
fn a_rollout_that_outlives_the_old_lease_is_not_called_complete() {
    let tenant = Tenant::new("outlived");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 15, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), retiring()));
    let first = rig.wait_lease("db", "");
    force(&rig, "db", "1");
    rig.wait_lease("db", &first);
    rig.wait_condition("db", "RolloutComplete", "False", "the old credentials end at 20");
    rig.wait_condition("db", "RolloutComplete", "False", "the old credentials have ended at 20");
    complete_rollout(&rig);
    rig.wait_condition("db", "RolloutComplete", "True", "");
    assert_eq!(replaced(&rig, "db"), 0);
}

#[test]
fn leases_whose_users_are_not_told_any_more_are_left_to_end() {
    let tenant = Tenant::new("untold");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    for name in ["untargeted", "unwanted"] {
        tenant.apply(&rig.object(name, &rig.database.creds("app"), retiring()));
    }
    for (name, change) in
        [("untargeted", json!({ "rolloutRestartTargets": [] })), ("unwanted", json!({ "revokeReplacedLeases": false }))]
    {
        let first = rig.wait_lease(name, "");
        let old = rig.credentials(name);
        force(&rig, name, "1");
        let second = rig.wait_lease(name, &first);
        rig.wait_condition(name, "RolloutComplete", "False", "the old credentials end at 20");
        rig.restarts.patch("VaultDynamicSecret", name, json!({ "spec": change }));
        rig.wait_lease(name, &second);
        complete_rollout(&rig);
        // A look at a rollout is made every three seconds.
        rig.restarts.several_refreshes();
        assert!(rig.database.accepts(&old) && rig.works(name), "{name}: its old pods may still run");
        assert_eq!(replaced(&rig, name), 0, "{name}");
        rig.wait_condition(name, "RolloutComplete", "True", "left to end by themselves");
        rig.restarts.patch("Deployment", "app", json!({ "spec": { "replicas": 1 } }));
    }
}

#[test]
fn an_old_lease_that_is_revoked_while_no_others_can_be_had_is_told() {
    let tenant = Tenant::new("replacedfails");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), retiring()));
    let first = rig.wait_lease("db", "");
    force(&rig, "db", "1");
    rig.wait_lease("db", &first);
    rig.wait_condition("db", "RolloutComplete", "False", "the old credentials end at 20");
    rig.restarts.patch(KIND, "db", json!({ "spec": { "path": "creds/absent" } }));
    rig.wait_condition("db", "SecretSynced", "False", "creds/absent");
    complete_rollout(&rig);
    rig.wait_condition("db", "RolloutComplete", "True", "");
    tenant.wait_event("db", "SecretLeaseRevoke", &format!("Lease revoked: {first}"));
    assert_eq!(replaced(&rig, "db"), 0);
    rig.wait_condition("db", "SecretSynced", "False", "creds/absent");
    assert!(rig.works("db"));
}
