//! From the store to the Secret, and nothing more than that.

use std::time::Duration;

use serde_json::json;

use super::{SERVED, external_secret, row, store, wait_synced};
use test_support::audit::{Count, describe};
use test_support::{Tenant, eventually};

/// Longer than two intervals of one second.
const SOME_INTERVALS: Duration = Duration::from_secs(4);

#[test]
fn rows_and_maps_become_keys_and_follow_the_store() {
    let tenant = Tenant::new("es-sync");
    tenant.put("db", json!({ "user": "app", "password": "es-hunter2", "port": 5432, "nested": { "a": [1, "x"] } }));
    let operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    tenant.wait_condition_of("secretstore", "vault", ("Ready", "True", Some("Valid")), &["store validated"]);
    assert_eq!(tenant.get("secretstore", "vault").unwrap()["status"]["capabilities"], "ReadWrite");
    tenant.apply_all(&[
        external_secret(
            &tenant,
            "rows",
            json!({ "data": [
                row(&tenant, "PASSWORD", "db", "password"),
                row(&tenant, "port", "db", "port"),
                row(&tenant, "deep", "db", "nested.a.1"),
                { "secretKey": "all", "remoteRef": { "key": tenant.path("db") } },
            ]}),
        ),
        external_secret(
            &tenant,
            "whole",
            json!({
                "target": { "name": "other" },
                "dataFrom": [{ "extract": { "key": tenant.path("db") } }],
                "data": [row(&tenant, "user", "db", "password")],
            }),
        ),
    ]);
    for (secret, key, value) in [
        ("rows", "PASSWORD", "es-hunter2"),
        ("rows", "port", "5432"),
        ("rows", "deep", "x"),
        ("rows", "all", r#"{"nested":{"a":[1,"x"]},"password":"es-hunter2","port":5432,"user":"app"}"#),
        ("other", "password", "es-hunter2"),
        ("other", "port", "5432"),
        ("other", "nested", r#"{"a":[1,"x"]}"#),
        ("other", "user", "es-hunter2"),
    ] {
        tenant.wait_value(secret, key, value);
    }
    wait_synced(&tenant, "rows");
    let secret = tenant.get("secret", "rows").unwrap();
    let object = tenant.get("externalsecret", "rows").unwrap();
    assert_eq!(secret["type"], "Opaque");
    assert_eq!(secret["metadata"]["labels"]["reconcile.external-secrets.io/managed"], "true");
    assert!(secret["metadata"]["labels"]["reconcile.external-secrets.io/created-by"].is_string(), "{secret}");
    assert!(secret["metadata"]["annotations"]["reconcile.external-secrets.io/data-hash"].is_string(), "{secret}");
    let owner = &secret["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("ExternalSecret"), &json!(true)), "{secret}");
    assert_eq!(owner["uid"], object["metadata"]["uid"]);
    assert_eq!(secret["metadata"]["managedFields"][0]["manager"], "externalsecrets.external-secrets.io/rows");
    assert_eq!(object["status"]["binding"]["name"], "rows");
    assert!(object["status"]["refreshTime"].is_string() && object["status"]["syncedResourceVersion"].is_string());
    let condition = &object["status"]["conditions"][0];
    assert!(condition["observedGeneration"].is_null(), "ESO's schema has no such member: {condition}");

    tenant.put("db", json!({ "user": "app", "password": "es-hunter3", "port": 1, "nested": { "a": [2, "y"] } }));
    tenant.wait_value("rows", "PASSWORD", "es-hunter3");
    tenant.wait_value("other", "user", "es-hunter3");
    tenant.wait_event("rows", "Created", "secret created");
    tenant.wait_event("rows", "Updated", "secret updated");
    tenant.assert_nothing_leaked(&operator, &["es-hunter2", "es-hunter3"]);
}

#[test]
fn nothing_is_written_and_each_path_is_read_once_while_nothing_changes() {
    let tenant = Tenant::new("es-steady");
    for secret in ["a", "b"] {
        tenant.put(secret, json!({ "one": "1", "two": "2", "three": "3" }));
    }
    let mut operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let rows = |secret: &str| ["one", "two", "three"].map(|key| row(&tenant, key, secret, key));
    let names = ["x", "y", "z"];
    for name in names {
        let data: Vec<_> = rows("a").into_iter().take(2).chain(rows("b").into_iter().skip(2)).collect();
        let template = json!({ "template": { "data": { "url": "{{ .one }}:{{ .two }}" } } });
        tenant.apply(&external_secret(&tenant, name, json!({ "data": data, "target": template })));
    }
    // The login and the read of a VaultStaticSecret are those of the ExternalSecrets.
    let logins = Count::start(&tenant);
    tenant.apply(&tenant.static_secret("a", json!({})));
    names.iter().for_each(|name| wait_synced(&tenant, name));
    tenant.wait_synced("a");
    assert_eq!(logins.logins(), 0, "the ExternalSecrets have logged in before");

    let steady = Count::start(&tenant);
    std::thread::sleep(SOME_INTERVALS);
    let (requests, reads) = (steady.requests(), steady.reads());
    assert!(requests.is_empty(), "{}", describe(&requests));
    assert_eq!(steady.logins(), 0);
    assert_eq!(reads.len(), 2, "{reads:?}");
    for (path, times) in &reads {
        // An interval is up to a fifth shorter than it says.
        assert!((3..=7).contains(&times.len()), "{path}: {times:?}");
    }

    // A restart of the operator writes nothing either.
    let versions = || names.map(|name| (tenant.version("secret", name), tenant.version("externalsecret", name)));
    let before = versions();
    operator.kill();
    let _operator = tenant.operator(SERVED);
    std::thread::sleep(SOME_INTERVALS);
    assert_eq!(versions(), before);
}

#[test]
fn what_others_do_to_the_secret_is_repaired() {
    let tenant = Tenant::new("es-drift");
    tenant.put("db", json!({ "password": "right" }));
    let _operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let spec = json!({ "refreshInterval": "1h", "data": [row(&tenant, "password", "db", "password")] });
    tenant.apply(&external_secret(&tenant, "db", spec));
    tenant.wait_value("db", "password", "right");
    tenant
        .kubectl(&["patch", "secret", "db", "--type=merge", r#"--patch={"stringData":{"password":"wrong","x":"y"}}"#])
        .unwrap();
    tenant.wait_value("db", "password", "right");
    assert!(tenant.get("secret", "db").unwrap()["data"]["x"].is_null());
    tenant.kubectl(&["delete", "secret", "db"]).unwrap();
    tenant.wait_value("db", "password", "right");
    // A label asks for a refresh ahead of time.
    tenant.put("db", json!({ "password": "new" }));
    tenant.kubectl(&["annotate", "externalsecret", "db", "force-sync=1"]).unwrap();
    tenant.wait_value("db", "password", "new");

    // It goes with the ExternalSecret.
    tenant.kubectl(&["delete", "externalsecret", "db"]).unwrap();
    eventually("the Secret is gone", || match tenant.get("secret", "db") {
        Ok(secret) => Err(secret.to_string()),
        Err(_) => Ok(()),
    });
}

#[test]
fn what_a_template_draws_at_random_stays_over_a_restart_while_its_inputs_do() {
    let tenant = Tenant::new("es-random");
    tenant.put("db", json!({ "password": "es-hunter2" }));
    let mut operator = tenant.operator(SERVED);
    let template = json!({ "data": { "salted": "{{ .password }}-{{ randAlphaNum 20 }}-{{ now | unixEpoch }}" } });
    let spec = json!({ "target": { "template": template }, "data": [row(&tenant, "password", "db", "password")] });
    tenant.apply_all(&[store(&tenant), external_secret(&tenant, "made", spec)]);
    wait_synced(&tenant, "made");
    let made = tenant.value("made", "salted").expect("a value");
    assert!(made.starts_with("es-hunter2-"), "{made}");
    let versions = || (tenant.version("secret", "made"), tenant.version("externalsecret", "made"));
    let before = versions();
    operator.kill();
    operator = tenant.operator(SERVED);
    std::thread::sleep(SOME_INTERVALS);
    assert_eq!(versions(), before, "nothing has changed");
    // Neither does what another client writes beside the data.
    tenant.kubectl(&["annotate", "secret", "made", "team=a"]).expect("it is annotated");
    std::thread::sleep(SOME_INTERVALS);
    assert_eq!(tenant.value("made", "salted").expect("a value"), made);

    // What changes while no operator runs is noticed.
    operator.kill();
    tenant.put("db", json!({ "password": "es-hunter3" }));
    operator = tenant.operator(SERVED);
    eventually("the new password is in the Secret", || {
        let value = tenant.value("made", "salted").map_err(|error| error.to_string())?;
        if value.starts_with("es-hunter3-") { Ok(()) } else { Err("the former one".to_owned()) }
    });
    // What another client makes of the data is put right.
    let broken = r#"{"data":{"salted":"eA=="}}"#;
    tenant.kubectl(&["patch", "secret", "made", "--patch", broken]).expect("it is patched");
    eventually("the Secret is put right", || {
        let value = tenant.value("made", "salted").map_err(|error| error.to_string())?;
        if value.starts_with("es-hunter3-") { Ok(()) } else { Err("another one".to_owned()) }
    });
    tenant.assert_nothing_leaked(&operator, &["es-hunter2", "es-hunter3"]);
}
