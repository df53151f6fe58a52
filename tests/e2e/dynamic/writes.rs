//! Writes that are not answered, are refused or come to no Secret: no lease is revoked that is in use, none is
//! forgotten, and nothing is asked for again and again.

use serde_json::json;

use test_support::api_proxy::{ApiProxy, Matching};
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually, shared};

use super::{Fixture, KIND, SHORT_LEASE_SECONDS, targets};
use crate::refusal::Refusal;

#[test]
fn credentials_whose_write_was_not_answered_are_kept_where_they_have_arrived() {
    let proxy = ApiProxy::start(shared());
    let tenant = Tenant::at(shared(), "leaseanswer", shared().vault_addr(), Some(&proxy.url()));
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets()));
    let first = rig.wait_lease("db", "");
    rig.wait_synced("db");
    let old = rig.credentials("db");

    let lost = proxy.hold_answer(Matching { method: "PATCH", path: "/secrets/db", nth: 0 });
    rig.restarts.patch(KIND, "db", json!({ "metadata": { "annotations": { "stamp": "1" } } }));
    lost.wait_reached();
    let new = rig.wait_credentials("db", &old);
    lost.lose();
    let second = rig.wait_lease("db", &first);
    rig.wait_synced("db");
    rig.wait_restarts("app", 1);
    assert_eq!((rig.credentials("db"), rig.lease_id("db")), (new.clone(), second.clone()));
    assert!(rig.database.accepts(&new), "the lease of what is in the Secret was revoked");
    let (mut found, mut known) = (rig.database.lease_ids("app"), vec![first, second]);
    found.sort();
    known.sort();
    assert_eq!(found, known);
}

#[test]
fn a_secret_of_a_former_name_that_cannot_be_deleted_costs_no_credentials() {
    let tenant = Tenant::new("leaseorphan");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    for (name, spec) in [("alone", json!({})), ("db", targets())] {
        tenant.apply(&rig.object(name, &rig.database.creds("app"), spec));
        let first = rig.wait_lease(name, "");
        rig.wait_synced(name);

        let refusal = Refusal::of_deletion(&tenant, name);
        let renamed = format!("{name}-renamed");
        rig.restarts.patch(KIND, name, json!({ "spec": { "destination": { "name": renamed } } }));
        let second = rig.wait_lease(name, &first);
        rig.wait_condition(name, "SecretSynced", "True", "could not be deleted yet");
        rig.restarts.several_refreshes();
        assert_eq!(rig.lease_id(name), second, "it is tried again, with the credentials that there are");
        drop(refusal);
        eventually("the former Secret is deleted", || {
            let object = rig.get(name);
            let is_applied = object["status"]["lastGeneration"] == object["metadata"]["generation"];
            if is_applied && tenant.get("secret", name).is_err() { Ok(()) } else { Err(object["status"].to_string()) }
        });
        assert_eq!(rig.lease_id(name), second);
        assert!(rig.works(&renamed));
    }
    rig.wait_restarts("app", 1);
    assert_eq!(rig.database.lease_ids("app").len(), 4);
}

#[test]
fn a_lease_is_renewed_while_its_secret_is_missing() {
    let tenant = Tenant::new("leasemissing");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", SHORT_LEASE_SECONDS, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db", "namespace": tenant.namespace },
    });
    tenant.apply(&secret);
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({ "destination": { "create": false } })));
    let first = rig.wait_lease("db", "");
    rig.wait_synced("db");
    let old = rig.credentials("db");
    tenant.kubectl(&["delete", "secret", "db"]).expect("it is deleted");
    rig.wait_condition("db", "SecretSynced", "False", "create=false");
    rig.assert_kept(&old);
    assert_eq!(rig.lease_id("db"), first);
}
