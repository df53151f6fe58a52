use crate::resolve::tests::world;

use super::*;

fn object(members: Value) -> VaultPKISecret {
    let mut spec = json!({ "mount": "pki", "role": "app", "destination": { "name": "d", "create": true } });
    json_patch::merge(&mut spec, &members);
    serde_json::from_value(json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultPKISecret",
        "metadata": { "namespace": "app", "name": "o", "uid": "u", "generation": 1 }, "spec": spec,
    }))
    .unwrap()
}

fn plan(members: Value) -> Result<Plan<PkiRequest>, PlanError> {
    pki_secret(&object(members), &world())
}

#[test]
fn paths_are_those_of_the_engine() {
    let paths = |members| {
        let plan = plan(members).unwrap();
        let issuer = plan.source.issuer.map(|check| check.path);
        (plan.path, plan.source.origin.mount, issuer)
    };
    let own = |path: &str, mount: &str, issuer: Option<&str>| {
        (path.to_owned(), Some(mount.to_owned()), issuer.map(str::to_owned))
    };
    assert_eq!(paths(json!({})), own("pki/issue/app", "pki", None));
    for issuer in ["old", "/old/", "old/issue", "old/issue/"] {
        let found = paths(json!({ "issuerRef": issuer, "issuerRefreshAfter": "1h" }));
        assert_eq!(found, own("pki/issuer/old/issue/app", "pki", Some("pki/issuer/old/json")), "{issuer}");
    }
    let found = paths(json!({ "mount": "/team/pki/", "role": "/a.b-c_d/", "issuerRefreshAfter": "1h" }));
    assert_eq!(found, own("team/pki/issue/a.b-c_d", "team/pki", Some("team/pki/issuer/default/json")));
    assert_eq!(paths(json!({ "issuerRefreshAfter": "0s" })).2, None);
}

#[test]
fn only_what_is_set_is_asked_for() {
    let body = |members| plan(members).unwrap().source.body;
    let always = json!({ "exclude_cn_from_sans": false, "remove_roots_from_chain": true });
    assert_eq!(body(json!({})), always);
    assert_eq!(body(json!({ "notAfter": "", "ttl": "", "altNames": [] })), always, "OpenBao refuses an empty time");
    let all = body(json!({
        "commonName": "c", "altNames": ["a", "b"], "ipSans": ["1.2.3.4"], "uriSans": ["u:1", "u:2"], "otherSans": ["o"],
        "userIDs": ["x", "y"], "ttl": "90d", "notAfter": "2030-01-01T00:00:00Z", "format": "der",
        "privateKeyFormat": "pkcs8", "excludeCNFromSans": true,
    }));
    let expected = json!({
        "common_name": "c", "alt_names": "a,b", "ip_sans": "1.2.3.4", "uri_sans": "u:1,u:2", "other_sans": "o",
        "user_ids": "x,y", "ttl": "90d", "not_after": "2030-01-01T00:00:00Z", "format": "der",
        "private_key_format": "pkcs8", "exclude_cn_from_sans": true, "remove_roots_from_chain": true,
    });
    assert_eq!(all, expected);
}

#[test]
fn what_cannot_work_is_said() {
    let tls =
        |templates: Value| json!({ "destination": { "type": TLS_TYPE, "transformation": { "templates": templates } } });
    for (members, text) in [
        (json!({ "mount": "/" }), "spec.mount must be set"),
        (json!({ "role": "" }), "spec.role must be set"),
        (json!({ "role": "a/b" }), "spec.role must be a name"),
        (json!({ "role": ".." }), "spec.role must be a name"),
        (json!({ "role": "a?b" }), "spec.role must be a name"),
        (json!({ "issuerRef": "../roles" }), "spec.issuerRef must be a name"),
        (json!({ "expiryOffset": "long" }), ".spec.expiryOffset"),
        (json!({ "expiryOffset": "-1s" }), ".spec.expiryOffset"),
        (json!({ "issuerRefreshAfter": "x" }), ".spec.issuerRefreshAfter"),
        (json!({ "destination": { "name": "" } }), "empty name"),
        (json!({ "keystores": { "jks": { "passwordSecretRef": { "name": "p" } } } }), "spec.keystores.jks"),
        (tls(json!({ "tls.crt": { "text": "x" } })), "no template makes tls.key"),
        (tls(json!({ "other": { "text": "x" } })), "no template makes tls.crt and tls.key"),
    ] {
        let error = plan(members).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(text), "{error:?}, not {text:?}");
    }
    assert!(!plan(tls(json!({ "tls.crt": { "text": "x" }, "tls.key": { "text": "x" } }))).unwrap().source.tls);
    assert!(plan(json!({ "destination": { "type": TLS_TYPE } })).unwrap().source.tls);
    assert!(plan(json!({ "destination": { "type": TLS_TYPE, "create": false } })).unwrap().source.tls);
    assert!(!plan(json!({})).unwrap().source.tls);
}

#[test]
fn the_digest_changes_with_what_the_secret_holds_and_with_nothing_else() {
    let digest = |members| plan(members).unwrap().source.digest;
    let first = digest(json!({}));
    // It stands in the status: another text, and every certificate is issued anew after an upgrade.
    assert_eq!(first, "e0ff0faa90412943eb5dcd5bdcee4f0983381ff3398265e4ddb24d4a2123e79a");
    for same in [
        json!({ "expiryOffset": "1h" }),
        json!({ "revoke": true, "clear": true, "issuerRefreshAfter": "1h" }),
        json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "d" }] }),
        json!({ "destination": { "labels": { "a": "b" }, "annotations": { "c": "d" }, "overwrite": true } }),
        json!({ "mount": "pki/", "role": "/app" }),
    ] {
        assert_eq!(digest(same.clone()), first, "{same}");
    }
    let others = [
        json!({ "namespace": "n" }),
        json!({ "mount": "other" }),
        json!({ "role": "other" }),
        json!({ "issuerRef": "i" }),
        json!({ "commonName": "c" }),
        json!({ "altNames": ["a", "b"] }),
        json!({ "altNames": ["a"] }),
        json!({ "ipSans": ["a"] }),
        json!({ "ttl": "1h" }),
        json!({ "format": "der" }),
        json!({ "excludeCNFromSans": true }),
        json!({ "destination": { "name": "other" } }),
        json!({ "destination": { "type": TLS_TYPE } }),
        json!({ "destination": { "transformation": { "excludeRaw": true } } }),
        json!({ "destination": { "transformation": { "includes": ["a"] } } }),
        json!({ "destination": { "transformation": { "excludes": ["a"] } } }),
        json!({ "destination": { "transformation": { "templates": { "k": { "text": "t" } } } } }),
        json!({ "keystores": { "jks": { "passwordSecretRef": { "name": "p", "key": "k" } } } }),
    ];
    let mut seen = std::collections::BTreeSet::from([first]);
    for other in others {
        assert!(seen.insert(digest(other.clone())), "{other}");
    }
}
