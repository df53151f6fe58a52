//! Each way to read Vault, on a real server.

use serde_json::{Value, json};

use super::{
    SERVED, external_secret, object, row, store, store_of, token, user_of, vault_provider, wait_failure, wait_synced,
};
use test_support::Tenant;
use test_support::auth_mounts::secret;
use test_support::forwarder::Forwarder;
use test_support::http_server::{Answer, Request, serve};

const GOOD: &str = "es-vault-hunter2";

#[test]
fn both_versions_of_kv_are_read_with_and_without_a_mount() {
    let tenant = Tenant::new("es-kv");
    let here = tenant.namespace.clone();
    for password in ["first", "second"] {
        tenant.put("db", json!({ "password": password, "nested": { "list": [{ "name": "x", "id": 7 }] } }));
    }
    let metadata = json!({ "custom_metadata": { "owner": "team-a", "stage": "prod" } });
    let of_engine = format!("secret/metadata/{here}/db");
    tenant.cluster.vault("POST", &of_engine, Some(metadata)).expect("its metadata");
    let one = json!({ "password": "of-one" });
    tenant.cluster.vault("POST", &format!("kv1/{here}/db"), Some(one)).expect("a secret of KV v1");
    let rules = format!("path \"secret/metadata/{here}/*\" {{ capabilities = [\"read\"] }}");
    let token = token(&tenant, &rules);
    let auth = json!({ "kubernetes": null, "tokenSecretRef": { "name": "token", "key": "token" } });
    let of = |name: &str, members: Value| {
        let mut spec = vault_provider(&tenant, json!({ "auth": auth }));
        json_patch::merge(&mut spec["provider"]["vault"], &members);
        object(&tenant, "SecretStore", name, spec)
    };
    let operator = tenant.operator(SERVED);
    tenant.apply_all(&[
        secret("token", "token", &token),
        of("two", json!({})),
        of("no-mount", json!({ "path": null })),
        of("one", json!({ "path": "kv1", "version": "v1" })),
        of("one-no-mount", json!({ "path": null, "version": "v1" })),
    ]);
    let line = |name: &str, store: &str, key: String, members: Value| {
        let mut remote = json!({ "key": key, "property": "password" });
        json_patch::merge(&mut remote, &members);
        json!({ "secretKey": name, "remoteRef": remote, "sourceRef": { "storeRef": { "name": store } } })
    };
    let db = || format!("{here}/db");
    let rows = json!([
        line("two", "two", db(), json!({})),
        line("with-mount", "two", format!("secret/{here}/db"), json!({})),
        line("with-data", "two", format!("secret/data/{here}/db"), json!({})),
        line("version", "two", db(), json!({ "version": "1" })),
        line("no-mount", "no-mount", format!("secret/{here}/db"), json!({})),
        line("one", "one", db(), json!({})),
        line("one-no-mount", "one-no-mount", format!("kv1/{here}/db"), json!({})),
        line("query", "two", db(), json!({ "property": "nested.list.#(name==\"x\").id" })),
        line("owner", "two", db(), json!({ "property": "owner", "metadataPolicy": "Fetch" })),
        line("current", "two", db(), json!({ "property": "current_version", "metadataPolicy": "Fetch" })),
    ]);
    tenant.apply(&external_secret(&tenant, "rows", json!({ "secretStoreRef": { "name": "two" }, "data": rows })));
    for (key, value) in [
        ("two", "second"),
        ("with-mount", "second"),
        ("with-data", "second"),
        ("version", "first"),
        ("no-mount", "second"),
        ("one", "of-one"),
        ("one-no-mount", "of-one"),
        ("query", "7"),
        ("owner", "team-a"),
        ("current", "2"),
    ] {
        tenant.wait_value("rows", key, value);
    }
    // What cannot be is said.
    let deleted = json!({ "versions": [1] });
    tenant.cluster.vault("POST", &format!("secret/delete/{here}/db"), Some(deleted)).expect("version 1 is deleted");
    for (name, store, members, text) in [
        ("deleted", "two", json!({ "version": "1" }), "version 1 of \"secret/data/"),
        ("no-version", "two", json!({ "version": "9" }), "version 9 is not stored"),
        ("bad-version", "two", json!({ "version": "new" }), "is not the number of a version"),
        ("no-metadata", "one", json!({ "metadataPolicy": "Fetch" }), "with kv version v1"),
    ] {
        let data = [line("k", store, db(), members)];
        tenant.apply(&external_secret(&tenant, name, json!({ "secretStoreRef": { "name": store }, "data": data })));
        wait_failure(&tenant, name, &["could not get secret data from provider: ", text]);
    }
    tenant.assert_nothing_leaked(&operator, &["of-one", &token]);
}

#[test]
fn secrets_are_found_by_path_name_and_tags_and_rewritten() {
    let tenant = Tenant::new("es-found");
    let here = tenant.namespace.clone();
    for (name, stage) in [("app/db", "prod"), ("app/cache", "test"), ("app/deep/er", "prod"), ("other", "prod")] {
        tenant.put(name, json!({ "k": name }));
        let metadata = json!({ "custom_metadata": { "stage": stage, "team": "a" } });
        tenant.cluster.vault("POST", &format!("secret/metadata/{here}/{name}"), Some(metadata)).expect("its metadata");
    }
    let rules = format!(
        "path \"secret/metadata/{here}/*\" {{ capabilities = [\"read\", \"list\"] }}\n\
         path \"secret/metadata/{here}\" {{ capabilities = [\"list\"] }}"
    );
    let token = token(&tenant, &rules);
    let _operator = tenant.operator(SERVED);
    let auth = json!({ "tokenSecretRef": { "name": "token", "key": "token" } });
    tenant.apply_all(&[secret("token", "token", &token), store_of(&tenant, "vault", auth)]);
    let find = |members: Value| {
        let mut find = json!({ "path": here });
        json_patch::merge(&mut find, &members);
        find
    };
    let strip = json!({ "regexp": { "source": "^[^/]+/", "target": "" } });
    let cases = [
        ("all", find(json!({})), json!([strip]), vec!["app_cache", "app_db", "app_deep_er", "other"]),
        (
            "folder",
            find(json!({ "path": format!("{here}/app") })),
            json!([strip]),
            vec!["app_cache", "app_db", "app_deep_er"],
        ),
        (
            "name",
            find(json!({ "name": { "regexp": "/app/(db|cache)$" } })),
            json!([strip]),
            vec!["app_cache", "app_db"],
        ),
        (
            "tags",
            find(json!({ "tags": { "stage": "prod", "team": "a" } })),
            json!([strip]),
            vec!["app_db", "app_deep_er", "other"],
        ),
        ("none", find(json!({ "tags": { "stage": "nothing" } })), json!([strip]), vec![]),
        (
            "transform",
            find(json!({ "name": { "regexp": "other$" } })),
            json!([{ "transform": { "template": "{{ .value | upper | replace \"/\" \"_\" | trunc -5 }}" } }]),
            vec!["OTHER"],
        ),
        ("merge", find(json!({ "name": { "regexp": "other$" } })), json!([{ "merge": {} }]), vec!["k"]),
    ];
    for (name, find, rewrite, _) in &cases {
        // A slash is no part of a key, so the last step of all is that it goes.
        let mut steps = rewrite.as_array().expect("a list").clone();
        if steps.contains(&strip) {
            steps.push(json!({ "regexp": { "source": "/", "target": "_" } }));
        }
        let spec = json!({ "dataFrom": [{ "find": find, "rewrite": steps }], "target": { "deletionPolicy": "Merge" } });
        tenant.apply(&external_secret(&tenant, name, spec));
    }
    for (name, _, _, keys) in &cases {
        wait_synced(&tenant, name);
        let secret = tenant.get("secret", name).expect("the Secret");
        let found: Vec<String> = secret["data"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        assert_eq!(found, *keys, "{name}");
    }
    assert_eq!(tenant.value("merge", "k").expect("a value"), "other");
    // Without a mount there is nothing to list.
    let auth = json!({ "tokenSecretRef": { "name": "token", "key": "token" } });
    let mut no_mount = store_of(&tenant, "no-mount", auth);
    no_mount["spec"]["provider"]["vault"].as_object_mut().expect("an object").remove("path");
    tenant.apply(&no_mount);
    let spec = json!({ "secretStoreRef": { "name": "no-mount" }, "dataFrom": [{ "find": { "path": here } }] });
    tenant.apply(&external_secret(&tenant, "no-mount", spec));
    wait_failure(
        &tenant,
        "no-mount",
        &["could not get secret data from provider: ", "find needs spec.provider.vault.path"],
    );
}

#[test]
fn values_are_decoded_and_keys_converted_as_the_entry_says() {
    let tenant = Tenant::new("es-decode");
    tenant.put(
        "db",
        json!({ "base64": "aGk=", "url": "_-8=", "plain": "plain!", "a/b": "slash", "null": "AAA=", "auto": "aGk=" }),
    );
    let _operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let line = |name: &str, property: &str, members: Value| {
        let mut line = row(&tenant, name, "db", property);
        json_patch::merge(&mut line["remoteRef"], &members);
        line
    };
    let decoding = |strategy: &str| json!({ "decodingStrategy": strategy });
    let rows = json!([
        line("base64", "base64", decoding("Base64")),
        line("none", "base64", decoding("None")),
        line("auto", "auto", decoding("Auto")),
        line("auto-plain", "plain", decoding("Auto")),
    ]);
    tenant.apply(&external_secret(&tenant, "rows", json!({ "data": rows })));
    for (key, value) in [("base64", "hi"), ("none", "aGk="), ("auto", "hi"), ("auto-plain", "plain!")] {
        tenant.wait_value("rows", key, value);
    }
    let extract = |members: Value| {
        let mut extract = json!({ "key": tenant.path("db") });
        json_patch::merge(&mut extract, &members);
        json!({ "dataFrom": [{ "extract": extract }] })
    };
    tenant.apply(&external_secret(&tenant, "default", extract(json!({}))));
    tenant.wait_value("default", "a_b", "slash");
    tenant.apply(&external_secret(&tenant, "unicode", extract(json!({ "conversionStrategy": "Unicode" }))));
    tenant.wait_value("unicode", "a_U002f_b", "slash");
    let zero =
        json!({ "data": [line("k", "null", json!({ "decodingStrategy": "Base64", "nullBytePolicy": "Fail" }))] });
    tenant.apply(&external_secret(&tenant, "zero", zero));
    wait_failure(&tenant, "zero", &["could not get secret data from provider: ", "the value contains a null byte"]);
    let ignored = line("k", "null", json!({ "decodingStrategy": "Base64", "nullBytePolicy": "Ignore" }));
    tenant.apply(&external_secret(&tenant, "ignored", json!({ "data": [ignored] })));
    tenant.wait_value("ignored", "k", "\0\0");
    let wrong = json!({ "data": [line("k", "plain", decoding("Base64"))] });
    tenant.apply(&external_secret(&tenant, "wrong", wrong));
    wait_failure(&tenant, "wrong", &["could not get secret data from provider: ", "illegal base64 data"]);
}

#[test]
fn headers_and_a_path_before_the_api_are_sent() {
    let tenant = Tenant::new("es-headers");
    let host = serve(std::sync::Arc::new(|request: &Request| {
        let good =
            request.header("x-team") == Some("blue") && request.header("x-vault-token") == Some("es-pat-hunter2");
        let namespace = request.header("x-vault-namespace") == Some("team/a");
        match request.path.as_str() {
            "/api/v1/secret/data/db" if good && namespace => Answer::json(&json!({
                "data": { "data": { "password": GOOD }, "metadata": { "version": 1 } },
            })),
            _ => Answer::refusal(403, r#"{"errors":["permission denied"]}"#),
        }
    }));
    let operator = tenant.operator(SERVED);
    tenant.apply(&secret("token", "token", "es-pat-hunter2"));
    let auth = json!({ "tokenSecretRef": { "name": "token", "key": "token" } });
    let mut with = store_of(&tenant, "with", auth);
    let vault = &mut with["spec"]["provider"]["vault"];
    vault["server"] = json!(format!("http://{host}/api"));
    vault["headers"] = json!({ "X-Team": "blue" });
    vault["namespace"] = json!("team/a/");
    let mut without = with.clone();
    without["metadata"]["name"] = json!("without");
    without["spec"]["provider"]["vault"]["headers"] = json!({ "X-Team": "red" });
    tenant.apply_all(&[with, without]);
    for name in ["with", "without"] {
        let line = json!({ "secretKey": "password", "remoteRef": { "key": "db", "property": "password" } });
        let spec = json!({ "secretStoreRef": { "name": name }, "data": [line] });
        tenant.apply(&external_secret(&tenant, name, spec));
    }
    tenant.wait_value("with", "password", GOOD);
    wait_failure(&tenant, "without", &["could not get secret data from provider: ", "permission denied"]);
    tenant.assert_nothing_leaked(&operator, &[GOOD, "es-pat-hunter2"]);

    // The real server behind a path of a gateway.
    let upstream = tenant.cluster.vault_addr().trim_start_matches("http://").to_owned();
    let gateway = Forwarder::of_http("127.0.0.1:0", &upstream, "/gateway/vault");
    tenant.put("db", json!({ "password": GOOD }));
    let server = format!("http://127.0.0.1:{}/gateway/vault", gateway.port);
    let spec = vault_provider(&tenant, json!({ "server": server }));
    tenant.apply_all(&[object(&tenant, "SecretStore", "behind", spec), user_of(&tenant, "behind")]);
    tenant.wait_value("behind", "password", GOOD);
}
