//! The samples of config/samples/external-secrets, each applied as it stands there but for names of servers and roles,
//! and for paths in Vault.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use testenv::{Cluster, Options};

use super::{SERVED, object, vault_provider, wait_synced};
use test_support::auth_mounts::{app_role_mount, jwt_mount, new_secret_id, secret};
use test_support::engines::engines_policy;
use test_support::http_server::{Answer, Request, serve};
use test_support::kube_client::{KubeClient, decoded};
use test_support::{Operator, Tenant, eventually, own};

/// The server of the samples.
const VAULT: &str = "http://vault.example:8200";

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/external-secrets")
}

/// Applies a sample. Each of the replaced texts must be in it.
fn apply(tenant: &Tenant<'_>, file: &str, replaced: &[(&str, &str)]) {
    let mut text = fs::read_to_string(dir().join(file)).expect("the sample");
    for (old, new) in replaced {
        assert!(text.contains(old), "{old:?} is not in {file}");
        text = text.replace(old, new);
    }
    let here = tenant.cluster.dir().join(format!("{}-{file}", tenant.namespace));
    fs::write(&here, text).expect("a file");
    let here = here.to_str().expect("UTF-8");
    // Those that name a namespace are applied where they say.
    let answer = if fs::read_to_string(here).expect("a file").contains("  namespace: ") {
        tenant.cluster.kubectl(&["apply", "--filename", here])
    } else {
        tenant.kubectl(&["apply", "--filename", here])
    };
    answer.expect("the sample is accepted");
}

/// A tenant with the store of the samples, and an operator.
fn set_up(name: &str) -> (Tenant<'static>, Operator) {
    let tenant = Tenant::new(name);
    let list = format!("path \"secret/metadata/{}/*\" {{ capabilities = [\"list\"] }}", tenant.namespace);
    tenant.cluster.vault_policy(&engines_policy(&tenant.namespace), &list).expect("a policy");
    let operator = tenant.operator(SERVED);
    let role = format!("role: {}", tenant.namespace);
    apply(&tenant, "store.yaml", &[(VAULT, tenant.cluster.vault_addr()), ("role: app", &role)]);
    tenant.wait_condition_of("secretstore", "vault", ("Ready", "True", Some("Valid")), &["store validated"]);
    (tenant, operator)
}

/// Applies a sample with what it needs in Vault, and waits for its ExternalSecrets.
fn sample(tenant: &Tenant<'_>, file: &str, secrets: &[(&str, Value)], objects: &[&str]) {
    for (name, data) in secrets {
        tenant.put(name, data.clone());
    }
    apply(tenant, file, &[("key: apps/", &format!("key: {}/", tenant.namespace))]);
    objects.iter().for_each(|name| wait_synced(tenant, name));
}

/// Keys and values of a Secret.
fn data(tenant: &Tenant<'_>, name: &str) -> Value {
    let secret = tenant.get("secret", name).expect("the Secret");
    let keys = secret["data"].as_object().cloned().unwrap_or_default();
    keys.keys().map(|key| (key.clone(), json!(decoded(&secret, key)))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn every_sample_has_a_test() {
    let this = include_str!("samples.rs");
    for entry in fs::read_dir(dir()).expect("the samples") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        assert!(this.contains(&format!("{name:?}")), "{name} is not applied by a test");
    }
}

#[test]
fn from_a_secret_of_vault_to_keys() {
    let (tenant, _operator) = set_up("es-samples");
    let login = json!({ "username": "app", "password": "right" });
    sample(&tenant, "property.yaml", &[("database", login)], &["database"]);
    assert_eq!(data(&tenant, "database-login"), json!({ "DATABASE_PASSWORD": "right" }));

    sample(&tenant, "workload.yaml", &[("mysql", json!({ "password": "p" }))], &["mysql"]);
    assert_eq!(data(&tenant, "mysql"), json!({ "database-password": "p" }));

    let login = json!({ "host": "registry.example.com", "username": "puller", "password": "p\"w" });
    sample(&tenant, "registry.yaml", &[("registry", login)], &["registry"]);
    assert_eq!(tenant.get("secret", "registry").unwrap()["type"], "kubernetes.io/dockerconfigjson");
    let made: Value = serde_json::from_str(&tenant.value("registry", ".dockerconfigjson").unwrap()).unwrap();
    let login = json!({ "username": "puller", "password": "p\"w", "auth": "cHVsbGVyOnAidw==" });
    assert_eq!(made, json!({ "auths": { "registry.example.com": login } }));

    let config = json!({ "auths": { "registry.example.com": { "auth": "YTpi" } } });
    sample(&tenant, "whole-secret.yaml", &[("dockerconfig", config.clone())], &["dockerconfig"]);
    assert_eq!(data(&tenant, "dockerconfig"), json!({ ".dockerconfigjson": config.to_string() }));

    let service = json!({ "endpoints": [{ "host": "a", "port": 1 }], "document": r#"{"user": "app", "level": 3}"# });
    sample(&tenant, "json.yaml", &[("service", service)], &["service"]);
    let endpoints = r#"[{"host":"a","port":1}]"#;
    assert_eq!(
        data(&tenant, "service"),
        json!({ "user": "app", "level": "3", "host": "a", "endpoints.json": endpoints })
    );
}

#[test]
fn many_keys_at_once() {
    let (tenant, _operator) = set_up("es-samples-maps");
    let defaults = json!({ "level": "info", "user": "app" });
    let overrides = json!({ "level": "debug", "certificate": "Y2VydGlmaWNhdGU=" });
    sample(&tenant, "extract.yaml", &[("defaults", defaults), ("overrides", overrides)], &["settings"]);
    let expected = json!({ "level": "debug", "user": "app", "certificate": "certificate", "first-level": "info" });
    assert_eq!(data(&tenant, "settings"), expected);

    let token = |name: &str| (format!("services/{name}"), json!({ "token": name }));
    let found = ["orders", "billing", "other"].map(token);
    found.iter().for_each(|(name, data)| tenant.put(name, data.clone()));
    let path = format!("path: {}/", tenant.namespace);
    apply(&tenant, "find.yaml", &[("path: apps/", &path)]);
    wait_synced(&tenant, "services");
    let expected = json!({ "orders": r#"{"token":"orders"}"#, "billing": r#"{"token":"billing"}"# });
    assert_eq!(data(&tenant, "services"), expected);

    let smtp = json!({ "smtp_user": "app", "smtp_password": "p" });
    let base = json!({ "config": { "a": "1", "b": "2" }, "local": { "b": "3" } });
    sample(&tenant, "rewrite.yaml", &[("smtp", smtp), ("base", base)], &["mail"]);
    assert_eq!(data(&tenant, "mail"), json!({ "MAIL_USER": "app", "MAIL_PASSWORD": "p", "a": "1", "b": "3" }));

    let app = json!({ "user": "app", "password": "a/b" });
    sample(&tenant, "template-from.yaml", &[("app", app)], &["app"]);
    assert_eq!(
        data(&tenant, "app"),
        json!({
            "application.properties": "db.user=app\ndb.password=a/b\n",
            "DB_USER": "app", "DB_URL": "postgres://app:a%2Fb@db/app",
        })
    );
    assert_eq!(tenant.get("secret", "app").unwrap()["metadata"]["labels"]["database-user"], "app");
}

#[test]
fn what_generators_make() {
    let (tenant, _operator) = set_up("es-samples-made");
    let role = tenant.namespace.as_str();
    let rules = format!("path \"auth/token/create/{role}\" {{ capabilities = [\"create\", \"update\"] }}");
    tenant.cluster.vault_policy(&engines_policy(role), &rules).unwrap();
    let of_role = json!({ "allowed_policies": "default", "orphan": true });
    tenant.cluster.vault("POST", &format!("auth/token/roles/{role}"), Some(of_role)).unwrap();
    let (login, path) = (format!("role: {role}\n"), format!("auth/token/create/{role}\n"));
    let server = (VAULT, tenant.cluster.vault_addr());
    apply(&tenant, "generators.yaml", &[server, ("role: app\n", &login), ("auth/token/create/app\n", &path)]);
    ["admin", "token"].iter().for_each(|name| wait_synced(&tenant, name));
    let made = data(&tenant, "admin");
    let length = |key: &str| made[key].as_str().map_or(0, str::len);
    assert_eq!((&made["username"], length("password"), length("installation")), (&json!("admin"), 32, 36));
    let token = json!({ "token": tenant.value("token", "token").unwrap() });
    tenant.cluster.vault("POST", "auth/token/lookup", Some(token)).expect("a token of Vault");
    // Made once and kept for good.
    tenant.kubectl(&["annotate", "externalsecret", "admin", "force-sync=1"]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(data(&tenant, "admin"), made);
}

#[test]
fn when_it_is_read_and_what_becomes_of_the_secret() {
    let (tenant, _operator) = set_up("es-samples-rules");
    sample(
        &tenant,
        "refresh.yaml",
        &[("key", json!({ "value": "1" }))],
        &["read-hourly", "read-once", "read-when-changed"],
    );
    tenant.put("key", json!({ "value": "2" }));
    let again = ["annotate", "--overwrite", "externalsecret", "--all", "force-sync=2"];
    tenant.kubectl(&again).unwrap();
    tenant.wait_value("read-when-changed", "key", "2");
    tenant.wait_value("read-hourly", "key", "2");
    assert_eq!(tenant.value("read-once", "key").unwrap(), "1");

    let secrets = [("shared", json!({ "token": "t" })), ("mirrored", json!({ "a": "b" }))];
    sample(&tenant, "policies.yaml", &secrets, &["merged", "orphan", "mirrored"]);
    assert_eq!(data(&tenant, "of-a-chart"), json!({ "kept": "as it is", "token": "t" }));
    tenant.cluster.vault("DELETE", &format!("secret/metadata/{}", tenant.path("mirrored")), None).unwrap();
    tenant.kubectl(&["annotate", "externalsecret", "mirrored", "force-sync=1"]).unwrap();
    let gone = ("Ready", "True", Some("SecretDeleted"));
    tenant.wait_condition_of("externalsecret", "mirrored", gone, &["secret deleted due to DeletionPolicy=Delete"]);
    assert!(tenant.get("secret", "mirrored").is_err());
    tenant.kubectl(&["delete", "externalsecret", "merged", "orphan"]).unwrap();
    assert_eq!(data(&tenant, "orphan"), json!({ "token": "t" }));
}

#[test]
fn logins_with_a_secret_id_and_with_a_token() {
    let (tenant, _operator) = set_up("es-samples-login");
    let path = format!("key: {}/", tenant.namespace);
    let server = (VAULT, tenant.cluster.vault_addr());
    let (mount, role_id) = app_role_mount(&tenant);
    tenant.apply(&secret("vault-approle", "id", &new_secret_id(&tenant, &mount)));
    tenant.put("by-approle", json!({ "password": "a" }));
    let role = ("00000000-0000-0000-0000-000000000000", role_id.as_str());
    let mount = format!("path: {mount}\n");
    apply(&tenant, "approle.yaml", &[("key: apps/", &path), server, role, ("path: approle\n", &mount)]);
    tenant.wait_value("by-approle", "password", "a");

    let mount = format!("path: {}\n", jwt_mount(&tenant));
    tenant.put("by-jwt", json!({ "password": "j" }));
    apply(&tenant, "jwt.yaml", &[("key: apps/", &path), server, ("path: jwt\n", &mount)]);
    tenant.wait_value("by-jwt", "password", "j");
}

/// Waits for a value in a Secret of the namespace `apps`.
#[track_caller]
fn wait_value(api: &KubeClient, secret: &str, key: &str, value: &str) {
    eventually(&format!("{key} of Secret {secret}"), || {
        let found = api.get("secret", "apps", secret).map_err(|e| e.to_string())?;
        if decoded(&found, key).as_deref() == Some(value) { Ok(()) } else { Err(found["data"].to_string()) }
    });
}

#[test]
fn stores_of_the_cluster_and_of_other_clusters() {
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "es-samples-cluster");
    let _operator = tenant.operator(&[SERVED, &["--cluster-external-secrets", "--cluster-push-secrets"]].concat());
    let api = KubeClient::of(&cluster);
    for namespace in ["apps", "source", "platform"] {
        cluster.kubectl(&["create", "namespace", namespace]).unwrap();
    }

    cluster.kubectl(&["create", "serviceaccount", "vault", "--namespace=platform"]).unwrap();
    let policy = "path \"secret/data/shared/*\" { capabilities = [\"read\"] }";
    cluster.vault_policy("shared", policy).unwrap();
    cluster.vault_kubernetes_role("shared", &["vault"], &["platform"], &["shared"], "1h").unwrap();
    cluster.vault_kv_put("secret/shared/app", json!({ "password": "s" })).unwrap();
    apply(&tenant, "cluster-store.yaml", &[(VAULT, cluster.vault_addr())]);
    wait_value(&api, "from-shared", "password", "s");
    apply(&tenant, "cluster-external-secret.yaml", &[]);
    cluster.kubectl(&["label", "namespace", "apps", "shared-secrets=yes"]).unwrap();
    wait_value(&api, "registry-login", "password", "s");

    copies(&cluster, &tenant, &api);
    pushes(&cluster, &tenant);
    pushes_from_many_namespaces(&cluster, &tenant);
    reads_below_a_path(&tenant, &api);
}

fn copies(cluster: &Cluster, tenant: &Tenant<'_>, api: &KubeClient) {
    let authority = fs::read_to_string(cluster.certificate_authority()).unwrap();
    let ca = format!("--from-literal=ca.crt={authority}");
    eventually("the ConfigMap that each namespace has", || {
        cluster.kubectl(&["get", "configmap", "kube-root-ca.crt", "--namespace=source"]).map_err(|e| e.to_string())
    });
    cluster
        .kubectl(&["create", "secret", "generic", "original", "--namespace=source", "--from-literal=password=o"])
        .unwrap();
    cluster.kubectl(&["label", "secret", "original", "--namespace=source", "for=apps"]).unwrap();
    let url = cluster.api_server_url();
    let server = ("# url: https://kubernetes.default\n", format!("url: {url}\n"));
    apply(tenant, "copy-namespace.yaml", &[(server.0, &server.1)]);
    wait_value(api, "copy", "password", "o");

    let token = cluster.service_account_token("source", "copier", &[]).unwrap();
    let token = format!("--from-literal=token={token}");
    cluster.kubectl(&["create", "secret", "generic", "platform-cluster", "--namespace=apps", &token, &ca]).unwrap();
    apply(tenant, "remote-cluster.yaml", &[("https://platform.example:6443", url)]);
    wait_value(api, "from-platform", "password", "o");
    wait_value(api, "from-platform", "original", r#"{"password":"o"}"#);
}

fn pushes(cluster: &Cluster, tenant: &Tenant<'_>) {
    let (url, authority) = (cluster.api_server_url(), fs::read_to_string(cluster.certificate_authority()).unwrap());
    // Another namespace stands for another cluster.
    for namespace in ["registry", "dev"] {
        cluster.kubectl(&["create", "namespace", namespace]).unwrap();
    }
    cluster.kubectl(&["create", "serviceaccount", "pusher", "--namespace=dev"]).unwrap();
    let binding =
        ["create", "rolebinding", "pusher", "--namespace=dev", "--clusterrole=admin", "--serviceaccount=dev:pusher"];
    cluster.kubectl(&binding).unwrap();
    let token = cluster.service_account_token("dev", "pusher", &[]).unwrap();
    let (token, ca) = (format!("--from-literal=token={token}"), format!("--from-literal=ca.crt={authority}"));
    let secret = ["create", "secret", "generic"];
    cluster.kubectl(&[&secret[..], &["dev-cluster", "--namespace=registry", &token, &ca]].concat()).unwrap();
    let harbor = ["harbor", "--namespace=registry", "--from-literal=user=robot", "--from-literal=password=p"];
    cluster.kubectl(&[&secret[..], &harbor].concat()).unwrap();
    let replaced = [("https://dev.example:6443", url), ("remoteNamespace: registry", "remoteNamespace: dev")];
    apply(tenant, "push-clusters.yaml", &replaced);
    eventually("the Secret is in the other cluster", || {
        let args = ["get", "secret", "harbor", "--namespace=dev", "--output=json"];
        let found: Value = serde_json::from_str(&cluster.kubectl(&args).map_err(|error| error.to_string())?).unwrap();
        let keys = ["user", "password", "url"].map(|key| decoded(&found, key).unwrap_or_default());
        let label = &found["metadata"]["labels"]["pushed-from"];
        if keys == ["robot", "p", "https://robot@harbor.example"] && label == "platform" {
            Ok(())
        } else {
            Err(found["metadata"].to_string())
        }
    });
}

fn pushes_from_many_namespaces(cluster: &Cluster, tenant: &Tenant<'_>) {
    let all = "capabilities = [\"create\", \"read\", \"update\", \"delete\"]";
    let rules = ["data", "metadata"].map(|of| format!("path \"secret/{of}/apps/*\" {{ {all} }}"));
    cluster.vault_policy("keep", &rules.join("\n")).unwrap();
    cluster.vault_kubernetes_role("keep", &["keeper"], &["apps"], &["keep"], "1h").unwrap();
    cluster.kubectl(&["create", "serviceaccount", "keeper", "--namespace=apps"]).unwrap();
    let account = json!({ "name": "keeper", "audiences": ["vault"] });
    let auth = json!({ "kubernetes": { "role": "keep", "serviceAccountRef": account } });
    let mut store = object(tenant, "SecretStore", "vault", vault_provider(tenant, json!({ "auth": auth })));
    store["metadata"]["namespace"] = json!("apps");
    cluster.kubectl_apply(&store.to_string()).unwrap();
    let database = ["database", "--namespace=apps", "--from-literal=user=u", "--from-literal=password=q"];
    cluster.kubectl(&[&["create", "secret", "generic"], &database[..]].concat()).unwrap();
    apply(tenant, "cluster-push-secret.yaml", &[]);
    cluster.kubectl(&["label", "namespace", "apps", "keep-in-vault=yes"]).unwrap();
    eventually("the Secret is in Vault", || {
        let mut found = cluster.vault("GET", "secret/data/apps/database", None).map_err(|error| error.to_string())?;
        let found = found["data"]["data"].take();
        if found == json!({ "user": "u", "password": "q" }) { Ok(()) } else { Err(found.to_string()) }
    });
}

#[test]
fn secrets_that_are_pushed_to_vault() {
    let (tenant, _operator) = set_up("es-samples-push");
    let all = "capabilities = [\"create\", \"read\", \"update\", \"delete\"]";
    let rules = ["data", "metadata"].map(|of| format!("path \"secret/{of}/{}/*\" {{ {all} }}", tenant.namespace));
    tenant.cluster.vault_policy(&engines_policy(&tenant.namespace), &rules.join("\n")).expect("a policy");
    let harbor = ["password=p", "db_user=u", "db_password=q"].map(|of| format!("--from-literal={of}"));
    let create = ["create", "secret", "generic", "harbor", &harbor[0], &harbor[1], &harbor[2]];
    tenant.kubectl(&create).unwrap();
    apply(&tenant, "push-vault.yaml", &[("remoteKey: apps/", &format!("remoteKey: {}/", tenant.namespace))]);
    tenant.wait_condition_of("pushsecret", "harbor-to-vault", ("Ready", "True", Some("Synced")), &[]);
    let held = |name: &str| {
        let path = format!("secret/data/{}", tenant.path(name));
        tenant.cluster.vault("GET", &path, None).expect("the secret")["data"]["data"].take()
    };
    assert_eq!(held("harbor"), json!({ "HARBOR_ADMIN_PASSWORD": "p" }));
    assert_eq!(held("harbor-database"), json!({ "db_user": "u", "db_password": "q" }));
    apply(&tenant, "push-generated.yaml", &[("remoteKey: apps/", &format!("remoteKey: {}/", tenant.namespace))]);
    tenant.wait_condition_of("pushsecret", "harbor-password", ("Ready", "True", Some("Synced")), &[]);
    assert_eq!(held("harbor-generated")["HARBOR_ADMIN_PASSWORD"].as_str().map(str::len), Some(32));
}

fn reads_below_a_path(tenant: &Tenant<'_>, api: &KubeClient) {
    let host = serve(Arc::new(|request: &Request| {
        let path = "/api/00000000-0000-0000-0000-000000000000/v1/secret/data/prod/app";
        if request.path == path && request.header("x-vault-token") == Some("00000000-token") {
            Answer::json(&json!({ "data": { "data": { "password": "k" }, "metadata": { "version": 1 } } }))
        } else {
            Answer::refusal(404, "not found")
        }
    }));
    let server = format!("http://{host}");
    apply(tenant, "static-token.yaml", &[("https://eu-west-par.okms.ovh.net", &server)]);
    wait_value(api, "from-okms", "password", "k");
}
