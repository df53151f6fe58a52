//! The forms in which a Secret can be pushed.

use serde_json::{Value, json};

use super::{Pushing, data_of, entry, secret};
use test_support::eventually;

#[test]
fn a_secret_is_pushed_in_every_form() {
    let (pushing, _operator) = Pushing::new("ps-forms");
    let tenant = &pushing.tenant;
    let json_text = r#"{"deep":{"n":1000},"list":[1.5,"x"]}"#;
    let mut source = secret("source", json!({ "db_host": "h", "db_user": "u", "json": json_text, "at_U0040_x": "m" }));
    source["metadata"]["labels"] = json!({ "app": "shop", "app.kubernetes.io/managed-by": "Helm" });
    source["metadata"]["annotations"] = json!({ "note": "kept", "meta.helm.sh/release-name": "shop" });
    tenant.apply(&source);
    let key = |name: &str| pushing.key(name);

    // All of it, in a property, and a key that holds JSON; of keys as they were before the store took them.
    let data = json!([
        entry(None, &key("whole"), None),
        entry(None, &key("bundle"), Some("all")),
        entry(Some("json"), &key("json"), None),
        { "match": { "secretKey": "at@x", "remoteRef": { "remoteKey": key("reversed"), "property": "mail" } },
          "conversionStrategy": "ReverseUnicode" },
    ]);
    let to = json!({ "storeRef": { "name": "vault" }, "remoteKey": key("selected"), "match": { "regexp": "^db_" } });
    tenant.apply(&pushing.push_to("vault", "to-vault", json!({ "data": data, "dataTo": [to] })));
    let all = json!({ "db_host": "h", "db_user": "u", "json": json_text, "at_U0040_x": "m" });
    pushing.wait_vault("whole", all.clone());
    pushing.wait_vault("json", serde_json::from_str(json_text).unwrap());
    pushing.wait_vault("reversed", json!({ "mail": "m" }));
    pushing.wait_vault("selected", json!({ "db_host": "h", "db_user": "u" }));
    let bundle = pushing.in_vault("bundle").unwrap()["data"]["all"].take();
    assert_eq!(serde_json::from_str::<Value>(bundle.as_str().unwrap()).unwrap(), all);
    pushing.wait_synced("to-vault");
    // A number that Vault writes otherwise is no reason to write.
    let versions = || ["whole", "json"].map(|name| pushing.in_vault(name).unwrap()["metadata"]["version"].clone());
    assert_eq!(versions(), [1, 1]);
    let synced = || tenant.get("pushsecret", "to-vault").unwrap()["status"]["syncedResourceVersion"].take();
    let before = synced();
    tenant.kubectl(&["annotate", "pushsecret", "to-vault", "force-sync=1"]).unwrap();
    eventually("it was looked at", || match synced() {
        now if now != before => Ok(()),
        now => Err(now.to_string()),
    });
    assert_eq!(versions(), [1, 1]);

    // A copy has type, labels and annotations, without those that say whose it is.
    let labels = json!({ "team": "x" });
    let metadata = json!({
        "apiVersion": "kubernetes.external-secrets.io/v1alpha1", "kind": "PushSecretMetadata",
        "spec": { "labels": labels, "sourceMergePolicy": "Replace" },
    });
    let mut own = entry(None, "own", None);
    own["metadata"] = metadata;
    let data = json!([entry(None, "copy", None), own]);
    tenant.apply(&pushing.push_to("cluster", "to-cluster", json!({ "data": data })));
    pushing.wait_synced("to-cluster");
    let copy = pushing.in_cluster("copy").unwrap();
    assert_eq!(data_of(&copy), all);
    assert_eq!(copy["metadata"]["labels"], json!({ "app": "shop" }));
    let annotations = json!({ "note": "kept", "vso.secrets.hashicorp.com/pushed": "made" });
    assert_eq!((&copy["metadata"]["annotations"], &copy["type"]), (&annotations, &json!("Opaque")));
    assert_eq!(pushing.in_cluster("own").unwrap()["metadata"]["labels"], labels);

    // A template adds keys, and decides about the type.
    let template = json!({
        "type": "kubernetes.io/basic-auth",
        "data": { "username": "{{ .db_user }}", "password": "{{ .db_host | upper }}" },
        "metadata": { "labels": { "made": "by-template" } },
    });
    let data = json!([entry(None, "templated", None)]);
    tenant.apply(&pushing.push_to("cluster", "templates", json!({ "template": template, "data": data })));
    pushing.wait_synced("templates");
    let templated = pushing.in_cluster("templated").unwrap();
    assert_eq!(templated["type"], "kubernetes.io/basic-auth");
    let found = data_of(&templated);
    assert_eq!((&found["username"], &found["password"], &found["db_user"]), (&json!("u"), &json!("H"), &json!("u")));
    assert_eq!(templated["metadata"]["labels"], json!({ "app": "shop", "made": "by-template" }));
}

#[test]
fn stores_and_secrets_are_selected_by_labels() {
    let (pushing, _operator) = Pushing::new("ps-labels");
    let tenant = &pushing.tenant;
    let labelled = |name: &str, data: Value| {
        let mut object = secret(name, data);
        object["metadata"]["labels"] = json!({ "push": "yes" });
        object
    };
    tenant.apply_all(&[labelled("one", json!({ "a": "1" })), secret("other", json!({ "b": "no" }))]);
    let selector = json!({ "secret": { "name": null, "selector": { "matchLabels": { "push": "yes" } } } });
    let stores = json!([{ "labelSelector": { "matchExpressions": [{ "key": "push", "operator": "Exists" }] } }]);
    let data = json!([entry(Some("a"), "together", Some("a")), entry(Some("b"), "together", Some("b"))]);
    let spec = json!({ "selector": selector, "secretStoreRefs": stores, "data": data });
    tenant.apply(&pushing.push("by-labels", spec));
    // A store appears by its label, and so does a Secret.
    tenant.kubectl(&["label", "secretstore", "cluster", "push=1"]).unwrap();
    pushing.wait_failure("by-labels", &["secret key b does not exist"]);
    pushing.wait_cluster("together", json!({ "a": "1" }));
    tenant.apply(&labelled("two", json!({ "b": "2" })));
    pushing.wait_cluster("together", json!({ "a": "1", "b": "2" }));
    pushing.wait_synced("by-labels");
    tenant.apply(&labelled("three", json!({ "b": "3" })));
    pushing.wait_failure("by-labels", &["several Secrets would be pushed there: three, two"]);
}

#[test]
fn what_exists_stays_where_the_policy_says_so() {
    let (pushing, _operator) = Pushing::new("ps-exists");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "new", "b": "new" }));
    tenant.put("there", json!({ "a": "old" }));
    let create = ["create", "secret", "generic", "there", "--namespace", &pushing.target, "--from-literal=a=old"];
    tenant.cluster.kubectl(&create).unwrap();
    let key = pushing.key("there");
    let policy = json!({ "updatePolicy": "IfNotExists", "deletionPolicy": "Delete" });
    let with = |data: Value| {
        let mut spec = policy.clone();
        spec["data"] = data;
        spec
    };
    let in_vault = with(json!([entry(Some("a"), &key, Some("a")), entry(Some("b"), &pushing.key("new"), Some("b"))]));
    let in_cluster = with(json!([entry(Some("a"), "there", Some("a")), entry(Some("b"), "there", Some("b"))]));
    tenant.apply_all(&[
        pushing.push_to("vault", "to-vault", in_vault),
        pushing.push_to("cluster", "to-cluster", in_cluster),
    ]);
    pushing.wait_vault("new", json!({ "b": "new" }));
    pushing.wait_cluster("there", json!({ "a": "old", "b": "new" }));
    for name in ["to-vault", "to-cluster"] {
        let text = "PushSecret synced successfully. Existing secrets in providers unchanged.";
        tenant.wait_condition_of("pushsecret", name, ("Ready", "True", Some("Synced")), &[text]);
    }
    assert_eq!(pushing.synced("to-vault"), json!({ "SecretStore/vault": [format!("{}/b", pushing.key("new"))] }));
    tenant.kubectl(&["delete", "pushsecret", "to-vault", "to-cluster", "--timeout=120s"]).unwrap();
    assert_eq!(pushing.in_vault("there").unwrap()["data"], json!({ "a": "old" }));
    assert!(pushing.in_vault("new").is_err());
    assert_eq!(data_of(&pushing.in_cluster("there").unwrap()), json!({ "a": "old" }));
}

#[test]
fn kv_version_1_keeps_the_mark_beside_the_data() {
    let (pushing, _operator) = Pushing::new("ps-kv1");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    let provider = super::vault_provider(tenant, json!({ "path": "kv1", "version": "v1" }));
    tenant.apply(&super::object(tenant, "SecretStore", "first", provider));
    let spec = json!({ "deletionPolicy": "Delete", "data": [entry(None, &pushing.key("db"), None)] });
    tenant.apply(&pushing.push_to("first", "to-kv1", spec));
    pushing.wait_synced("to-kv1");
    let path = format!("kv1/{}", tenant.path("db"));
    let held = tenant.cluster.vault("GET", &path, None).unwrap()["data"].take();
    assert_eq!(held, json!({ "a": "1", "custom_metadata": { "managed-by": "external-secrets" } }));
    pushing.source(json!({ "a": "2" }));
    eventually("the rotation arrives", || {
        let held = tenant.cluster.vault("GET", &path, None).map_err(|error| error.to_string())?["data"].take();
        if held["a"] == "2" { Ok(()) } else { Err(held.to_string()) }
    });
    tenant.kubectl(&["delete", "pushsecret", "to-kv1", "--timeout=120s"]).unwrap();
    assert!(tenant.cluster.vault("GET", &path, None).is_err());
}
