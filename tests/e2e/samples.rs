//! The use cases of config/samples/transformation, each applied as it stands there but for the namespace's path in
//! Vault.

use std::fs;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use test_support::{Operator, Tenant};

/// A tenant, its operator, and the sample with what it needs in Vault.
fn sample(tenant: &Tenant<'_>, file: &str, secrets: &[(&str, Value)]) {
    for (name, data) in secrets {
        tenant.put(name, data.clone());
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/transformation").join(file);
    let text = fs::read_to_string(path).expect("the sample");
    assert!(text.contains("  path: apps/"), "{file} reads nothing");
    let text = text.replace("  path: apps/", &format!("  path: {}/", tenant.namespace));
    let here = tenant.cluster.dir().join(format!("{}-{file}", tenant.namespace));
    fs::write(&here, text).expect("a file");
    tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
    for (name, _) in secrets {
        tenant.wait_synced(name);
    }
}

/// One tenant and one operator for the samples; each has names of its own.
fn set_up() -> &'static Tenant<'static> {
    static GROUND: OnceLock<(Tenant<'static>, Operator)> = OnceLock::new();
    let (tenant, _) = GROUND.get_or_init(|| {
        let tenant = Tenant::new("samples");
        let operator = tenant.operator(&[]);
        (tenant, operator)
    });
    tenant
}

/// Keys and values of a Secret; a value that is no text as `base64:...`.
fn data(tenant: &Tenant<'_>, secret: &str) -> Value {
    let secret = tenant.get("secret", secret).expect("the Secret");
    let entries = secret["data"].as_object().cloned().unwrap_or_default();
    let decoded = entries.into_iter().map(|(key, value)| {
        let bytes = STANDARD.decode(value.as_str().expect("text")).expect("base64");
        let shown = String::from_utf8(bytes).unwrap_or_else(|e| format!("base64:{}", STANDARD.encode(e.as_bytes())));
        (key, Value::from(shown))
    });
    Value::Object(decoded.collect())
}

#[test]
fn every_sample_has_a_test() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/transformation");
    let this = include_str!("samples.rs");
    for entry in fs::read_dir(dir).expect("the samples") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        assert!(this.contains(&format!("{name:?}")), "{name} is not applied by a test");
    }
}

#[test]
fn which_keys_go_into_the_secret() {
    let tenant = set_up();
    let mixed = json!({ "db_user": "app", "db_password": "p", "db_debug_token": "t", "admin_password": "a" });
    sample(tenant, "filters.yaml", &[("mixed", mixed)]);
    assert_eq!(data(tenant, "mixed"), json!({ "db_user": "app", "db_password": "p" }));
    sample(tenant, "exclude-raw.yaml", &[("plain", json!({ "user": "app" }))]);
    assert_eq!(data(tenant, "plain"), json!({ "user": "app" }));
}

#[test]
fn without_the_raw_answer_anywhere() {
    let tenant = Tenant::new("sample-raw");
    let _operator = tenant.operator(&["--global-transformation-options=exclude-raw"]);
    tenant.put("global", json!({ "user": "app" }));
    tenant.apply(&tenant.static_secret("global", json!({})));
    tenant.wait_synced("global");
    assert_eq!(data(&tenant, "global"), json!({ "user": "app" }));
}

#[test]
fn credentials_of_a_registry() {
    let tenant = set_up();
    let login = json!({ "host": "registry.example.com", "username": "puller", "password": "p<&>\"w" });
    sample(tenant, "dockerconfigjson.yaml", &[("registry", login)]);
    let found = tenant.get("secret", "registry").expect("the Secret");
    assert_eq!(found["type"], "kubernetes.io/dockerconfigjson");
    let auth = STANDARD.encode("puller:p<&>\"w");
    let expected = format!(
        r#"{{"auths":{{"registry.example.com":{{"auth":"{auth}","password":"p\u003c\u0026\u003e\"w","username":"puller"}}}}}}"#
    );
    assert_eq!(data(tenant, "registry"), json!({ ".dockerconfigjson": expected }));
}

#[test]
fn one_key_from_several_and_several_from_one() {
    let tenant = set_up();
    let database = json!({ "host": "db", "port": 5432, "username": "app", "password": "a/b c", "name": "orders" });
    sample(tenant, "one-key.yaml", &[("database", database)]);
    assert_eq!(
        data(tenant, "database"),
        json!({
            "host": "db", "port": "5432", "username": "app", "password": "a/b c", "name": "orders",
            "url": "postgres://app:a%2Fb+c@db:5432/orders",
        })
    );
    let config = r#"{"db":{"user":"app","ports":[5432,5433]},"debug":false}"#;
    sample(tenant, "json-split.yaml", &[("document", json!({ "config": config }))]);
    assert_eq!(
        data(tenant, "document"),
        json!({
            "user": "app", "first-port": "5432", "debug": "false",
            "db.json": "{\n  \"ports\": [\n    5432,\n    5433\n  ],\n  \"user\": \"app\"\n}",
        })
    );
}

#[test]
fn files_of_all_keys() {
    let tenant = set_up();
    let settings = json!({ "db_user": "app", "db_password": "p\"w d", "log_level": "info" });
    sample(tenant, "files.yaml", &[("settings", settings)]);
    assert_eq!(
        data(tenant, "settings"),
        json!({
            "application.properties": "db.password=p\"w d\ndb.user=app\nlog.level=info\n",
            ".env": "DB_PASSWORD=\"p\\\"w d\"\nDB_USER=\"app\"\nLOG_LEVEL=\"info\"\n",
        })
    );
    let pem = |kind: &str, text: &str| format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n");
    let (site, chain, key) = (pem("CERTIFICATE", "c2l0ZQ=="), pem("CERTIFICATE", "Y2E="), pem("PRIVATE KEY", "a2V5"));
    sample(tenant, "pem-bundle.yaml", &[("site", json!({ "certificate": site, "chain": chain, "key": key }))]);
    let pair = format!("{site}{chain}");
    assert_eq!(
        data(tenant, "site"),
        json!({ "tls.crt": pair, "tls.key": key, "bundle.pem": format!("{site}{chain}{key}") })
    );
}

#[test]
fn binary_in_and_out() {
    let tenant = set_up();
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let secret = json!({ "keystore.jks": STANDARD.encode(&bytes), "password": "changeit" });
    sample(tenant, "binary.yaml", &[("keystore", secret)]);
    assert_eq!(
        data(tenant, "keystore"),
        json!({
            "keystore.jks": format!("base64:{}", STANDARD.encode(&bytes)),
            "password": "changeit",
            "password.b64": "Y2hhbmdlaXQ=",
        })
    );
}

#[test]
fn labels_and_annotations_of_the_object() {
    let tenant = set_up();
    sample(tenant, "metadata.yaml", &[("service", json!({ "token": "t" }))]);
    let expected = "[shop]\nowner = team-blue\ntoken = t\nversion = 1\n";
    assert_eq!(data(tenant, "service"), json!({ "service.ini": expected }));
    tenant
        .kubectl(&["annotate", "--overwrite", "vaultstaticsecret", "service", "example.com/owner=red"])
        .expect("it is");
    tenant.wait_value("service", "service.ini", &expected.replace("team-blue", "red"));
}

#[test]
fn templates_that_two_objects_share() {
    let tenant = set_up();
    let login = |name: &str| json!({ "username": name, "password": "p w" });
    sample(tenant, "shared.yaml", &[("orders", login("orders")), ("billing", login("billing"))]);
    assert_eq!(
        data(tenant, "orders"),
        json!({
            "password": "p w",
            "postgres": "postgres://orders:p+w@db:5432/orders",
            "jdbc": "jdbc:postgresql://db:5432/orders?user=orders",
        })
    );
    let url = "postgres://billing:p+w@db:5432/billing";
    assert_eq!(data(tenant, "billing"), json!({ "username": "billing", "password": "p w", "DATABASE_URL": url }));
}
