//! What becomes of the Secret: each policy, and Secrets of others.

use serde_json::json;

use super::{SERVED, external_secret, row, store, wait_failure, wait_synced};
use test_support::{Tenant, eventually};

#[test]
fn each_creation_policy_does_what_it_says() {
    let tenant = Tenant::new("es-creation");
    tenant.put("db", json!({ "password": "right" }));
    let _operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let of = |name: &str, policy: &str| {
        let spec =
            json!({ "target": { "creationPolicy": policy }, "data": [row(&tenant, "password", "db", "password")] });
        external_secret(&tenant, name, spec)
    };
    for name in ["merge-there", "create-or-merge-there", "owner-there"] {
        tenant.kubectl(&["create", "secret", "generic", name, "--from-literal=own=1"]).unwrap();
    }
    tenant.apply_all(&[
        of("owner-there", "Owner"),
        of("orphan", "Orphan"),
        of("merge-there", "Merge"),
        of("merge-absent", "Merge"),
        of("create-or-merge-there", "CreateOrMerge"),
        of("create-or-merge-absent", "CreateOrMerge"),
        of("none", "None"),
    ]);
    for name in ["owner-there", "orphan", "merge-there", "create-or-merge-there", "create-or-merge-absent"] {
        tenant.wait_value(name, "password", "right");
        wait_synced(&tenant, name);
        let secret = tenant.get("secret", name).unwrap();
        let owned = !secret["metadata"]["ownerReferences"].is_null();
        assert_eq!(owned, name == "owner-there", "{secret}");
        let keeps = name.starts_with("merge") || name == "create-or-merge-there";
        assert_eq!(secret["data"]["own"].is_string(), keeps, "{secret}");
    }
    let missing = "secret will not be created due to CreationPolicy=Merge";
    tenant.wait_condition_of("externalsecret", "merge-absent", ("Ready", "True", Some("SecretMissing")), &[missing]);
    wait_synced(&tenant, "none");
    for name in ["merge-absent", "none"] {
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    // What is merged into appears later.
    tenant.kubectl(&["create", "secret", "generic", "merge-absent", "--from-literal=own=1"]).unwrap();
    tenant.wait_value("merge-absent", "password", "right");
    tenant.wait_value("merge-absent", "own", "1");
    // A key that is not wanted any more goes; those of others stay.
    let spec = json!({ "target": { "creationPolicy": "Merge" }, "data": [row(&tenant, "renamed", "db", "password")] });
    tenant.apply(&external_secret(&tenant, "merge-there", spec));
    tenant.wait_value("merge-there", "renamed", "right");
    let secret = tenant.get("secret", "merge-there").unwrap();
    assert!(secret["data"]["password"].is_null() && secret["data"]["own"].is_string(), "{secret}");
}

#[test]
fn what_the_store_loses_is_kept_or_goes_as_the_policy_says() {
    let tenant = Tenant::new("es-deletion");
    for name in ["retain", "delete", "merge"] {
        tenant.put(name, json!({ "password": "right" }));
    }
    let _operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let of = |name: &str, creation: &str, deletion: &str| {
        let target = json!({ "creationPolicy": creation, "deletionPolicy": deletion });
        external_secret(
            &tenant,
            name,
            json!({ "target": target, "data": [row(&tenant, "password", name, "password")] }),
        )
    };
    tenant.kubectl(&["create", "secret", "generic", "merge", "--from-literal=own=1"]).unwrap();
    tenant.apply_all(&[
        of("retain", "Owner", "Retain"),
        of("delete", "Owner", "Delete"),
        of("merge", "Merge", "Merge"),
    ]);
    for name in ["retain", "delete", "merge"] {
        tenant.wait_value(name, "password", "right");
        let metadata = format!("secret/metadata/{}", tenant.path(name));
        tenant.cluster.vault("DELETE", &metadata, None).unwrap();
    }
    wait_failure(&tenant, "retain", &["could not get secret data from provider: error processing spec.data[0]"]);
    tenant.wait_value("retain", "password", "right");
    let deleted = "secret deleted due to DeletionPolicy=Delete";
    tenant.wait_condition_of("externalsecret", "delete", ("Ready", "True", Some("SecretDeleted")), &[deleted]);
    assert!(tenant.get("secret", "delete").is_err());
    eventually("the key is gone", || {
        let secret = tenant.get("secret", "merge").unwrap();
        let fits = secret["data"]["password"].is_null() && secret["data"]["own"].is_string();
        if fits { Ok(()) } else { Err(secret.to_string()) }
    });
    tenant.put("delete", json!({ "password": "again" }));
    tenant.wait_value("delete", "password", "again");
}

#[test]
fn the_secret_of_the_former_name_goes_when_the_new_one_is_there() {
    let tenant = Tenant::new("es-renamed");
    tenant.put("db", json!({ "password": "right" }));
    let _operator = tenant.operator(SERVED);
    let into = |object: &str, target: &str| {
        let spec = json!({ "target": { "name": target }, "data": [row(&tenant, "password", "db", "password")] });
        external_secret(&tenant, object, spec)
    };
    tenant.apply_all(&[store(&tenant), into("moving", "before"), into("other", "taken")]);
    tenant.wait_value("before", "password", "right");
    tenant.wait_value("taken", "password", "right");
    // The new one cannot be made: what workloads use stays.
    tenant.apply(&into("moving", "taken"));
    wait_failure(&tenant, "moving", &["target is owned by another ExternalSecret"]);
    tenant.wait_value("before", "password", "right");
    tenant.apply(&into("moving", "after"));
    tenant.wait_value("after", "password", "right");
    wait_synced(&tenant, "moving");
    assert!(tenant.get("secret", "before").is_err(), "it is gone");
    assert_eq!(tenant.get("externalsecret", "moving").unwrap()["status"]["binding"]["name"], "after");
}

#[test]
fn a_secret_of_another_is_left_alone() {
    let tenant = Tenant::new("es-foreign");
    tenant.put("db", json!({ "password": "right" }));
    let _operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let spec = json!({ "target": { "name": "shared" }, "data": [row(&tenant, "password", "db", "password")] });
    tenant.apply(&external_secret(&tenant, "first", spec.clone()));
    tenant.wait_value("shared", "password", "right");
    tenant.apply(&external_secret(&tenant, "second", spec));
    wait_failure(&tenant, "second", &["target is owned by another ExternalSecret"]);
    let owner = tenant.get("secret", "shared").unwrap()["metadata"]["ownerReferences"][0]["name"].clone();
    assert_eq!(owner, "first");
    // The loss of the first ends the conflict.
    tenant.kubectl(&["delete", "externalsecret", "first"]).unwrap();
    wait_synced(&tenant, "second");

    // An immutable Secret is made once.
    let fixed = |immutable: bool| {
        let target = json!({ "immutable": immutable });
        external_secret(&tenant, "fixed", json!({ "target": target, "data": [row(&tenant, "key", "db", "password")] }))
    };
    tenant.apply(&fixed(true));
    tenant.wait_value("fixed", "key", "right");
    assert_eq!(tenant.get("secret", "fixed").unwrap()["immutable"], true);
    tenant.put("db", json!({ "password": "other" }));
    tenant.apply(&fixed(false));
    wait_failure(&tenant, "fixed", &["could not update secret, target is immutable"]);
    tenant.wait_value("fixed", "key", "right");
    tenant.apply(&fixed(true));
    wait_synced(&tenant, "fixed");
}
