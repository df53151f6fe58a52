//! Writes that expect an object as it was: against the real API server, through the operator's own functions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use vso::api::VaultStaticSecret;
use vso::kubernetes::{ErrorKind, OwnedMetadata, Revision, SecretWriter, patch_status, remove_finalizer};

use test_support::kube_client::{KubeClient, encoded};
use test_support::{Tenant, eventually};

/// A name that is also a word of the API server's texts.
const NAME: &str = "testing-registry";
const FINALIZER: &str = "vaultstaticsecret.secrets.hashicorp.com/finalizer";

fn data(value: &str) -> BTreeMap<String, Vec<u8>> {
    [("password".to_owned(), value.as_bytes().to_vec())].into()
}

fn create(tenant: &Tenant<'_>, api: &KubeClient, name: &str, finalizers: &[&str]) -> VaultStaticSecret {
    let mut object = tenant.static_secret(name, json!({}));
    object["metadata"]["finalizers"] = json!(finalizers);
    serde_json::from_value(api.create(&object).expect("created")).expect("an object")
}

fn objects(client: kube::Client, tenant: &Tenant<'_>) -> kube::Api<VaultStaticSecret> {
    kube::Api::namespaced(client, &tenant.namespace)
}

#[test]
fn the_name_of_an_object_never_decides_what_an_error_means() {
    let tenant = Tenant::new("versions");
    let api = KubeClient::of(tenant.cluster);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": NAME, "namespace": tenant.namespace },
        "data": encoded(&[("password", "old")]),
    });
    let created = api.create(&secret).expect("created");
    let revision = |object: &Value| Revision {
        uid: object["metadata"]["uid"].as_str().expect("a UID").into(),
        resource_version: object["metadata"]["resourceVersion"].as_str().expect("a version").into(),
    };
    let namespace = tenant.namespace.as_str();
    let replace = |name: &str, revision: &Revision, value: &str| {
        api.run(|client| async move {
            SecretWriter::new(&client, namespace).replace(name, revision, None, &data(value)).await
        })
    };
    let first = revision(&created);
    let second = replace(NAME, &first, "new").expect("replaced");
    assert_eq!(replace(NAME, &first, "newer").unwrap_err().kind, ErrorKind::Conflict, "another version");
    api.delete("secret", &tenant.namespace, NAME).expect("deleted");
    assert_eq!(replace(NAME, &second, "newer").unwrap_err().kind, ErrorKind::NotFound, "gone");
    let successor = api.create(&secret).expect("created");
    assert_eq!(replace(NAME, &second, "newer").unwrap_err().kind, ErrorKind::Conflict, "a successor");
    assert_eq!(api.get("secret", &tenant.namespace, NAME).expect("it is there"), successor);

    // What the content is refused for is no conflict, whatever words are in the name.
    let other = "test-operation";
    let metadata = OwnedMetadata { labels: [].into(), annotations: [].into(), owner: owner(&tenant, &api) };
    let docker = [(".dockerconfigjson".to_owned(), b"hunter2".to_vec())].into();
    let refused = api.run(|client| {
        let (metadata, docker) = (&metadata, &docker);
        async move {
            let writer = SecretWriter::new(&client, namespace);
            writer.create(other, "kubernetes.io/dockerconfigjson", metadata, docker).await
        }
    });
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Invalid, "{refused}");
    let text = refused.to_string();
    assert!(text.contains("data[.dockerconfigjson]"), "{text}");
    assert!(!text.contains("'h'"), "a character of the value is in {text}");
}

fn owner(tenant: &Tenant<'_>, api: &KubeClient) -> Value {
    let object = create(tenant, api, "owner", &[]);
    json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret", "name": "owner",
        "uid": object.metadata.uid,
    })
}

#[test]
fn names_that_are_no_names_of_objects_are_sent_nowhere() {
    let tenant = Tenant::new("paths");
    let api = KubeClient::of(tenant.cluster);
    let namespace = tenant.namespace.as_str();
    for name in ["x?dryRun=All&y=", "x/status", "../secrets/x", "", "x%2Fy"] {
        let error = api.run(|client| async move { SecretWriter::new(&client, namespace).get(name).await });
        let error = error.expect_err(name);
        assert_eq!(error.kind, ErrorKind::Invalid, "{name}: {error}");
        let target = vso::api::RestartKind::Deployment;
        let error = api.run(|client| {
            let target = &target;
            async move { vso::kubernetes::Workloads::new(&client, namespace).get(target, name).await.err() }
        });
        assert_eq!(error.expect(name).kind, ErrorKind::Invalid, "{name}");
    }
}

#[test]
fn a_status_is_written_to_the_object_that_it_speaks_of_and_to_no_successor() {
    let tenant = Tenant::new("successor");
    let api = KubeClient::of(tenant.cluster);
    let status = json!({ "lastGeneration": 7 });
    let write = |object: &VaultStaticSecret| {
        let status = status.clone();
        api.run(|client| {
            let objects = objects(client, &tenant);
            async move { patch_status(&objects, object, status).await }
        })
    };
    let first = create(&tenant, &api, "db", &[]);
    let label = json!({ "metadata": { "labels": { "other": "client" } } });
    api.patch("vaultstaticsecret", &tenant.namespace, "db", &label).expect("patched");
    let written = write(&first).expect("another version of the object is still the object");
    assert_eq!(written.status.map(|status| status.last_generation), Some(7));

    api.delete("vaultstaticsecret", &tenant.namespace, "db").expect("deleted");
    assert_eq!(write(&first).unwrap_err().kind, ErrorKind::NotFound, "gone");
    create(&tenant, &api, "db", &[]);
    assert_eq!(write(&first).unwrap_err().kind, ErrorKind::NotFound, "a successor");
    let successor = api.get("vaultstaticsecret", &tenant.namespace, "db").expect("it is there");
    assert!(successor["status"].is_null(), "{}", successor["status"]);
}

#[test]
fn a_finalizer_is_taken_off_although_the_object_has_changed() {
    let tenant = Tenant::new("finalizers");
    let api = KubeClient::of(tenant.cluster);
    let object = create(&tenant, &api, "db", &[FINALIZER]);
    let moved = json!({ "metadata": { "finalizers": ["example.com/first", FINALIZER] } });
    api.patch("vaultstaticsecret", &tenant.namespace, "db", &moved).expect("patched");
    api.run(|client| {
        let (objects, object) = (objects(client, &tenant), &object);
        async move { remove_finalizer(&objects, object, FINALIZER).await }
    })
    .expect("taken off");
    let left = api.get("vaultstaticsecret", &tenant.namespace, "db").expect("it is there");
    assert_eq!(left["metadata"]["finalizers"], json!(["example.com/first"]));
}

#[test]
fn an_object_that_is_replaced_during_a_slow_read_passes_nothing_on_to_its_successor() {
    let cluster = test_support::shared();
    let proxy = cluster.proxy("replaced", cluster.vault_addr()).expect("a proxy");
    let tenant = Tenant::at(cluster, "replaced", &proxy.url("http"), None);
    let api = KubeClient::of(cluster);
    tenant.put("one", json!({ "password": "one" }));
    tenant.put("two", json!({ "password": "two" }));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[]);
    let object = |name: &str, source: &str| {
        let targets = json!([{ "kind": "Deployment", "name": "app" }]);
        let path = tenant.path(source);
        tenant.static_secret(name, json!({ "path": path, "rolloutRestartTargets": targets, "refreshAfter": "1h" }))
    };
    // The login is made for another object.
    tenant.apply(&object("other", "one"));
    tenant.wait_synced("other");
    proxy.add_latency(3000).expect("latency");
    api.create(&object("db", "one")).expect("created");
    std::thread::sleep(Duration::from_secs(1));
    api.delete("vaultstaticsecret", &tenant.namespace, "db").expect("deleted");
    api.create(&object("db", "two")).expect("created");
    eventually("the successor has a status", || match &tenant.get("vaultstaticsecret", "db")?["status"] {
        Value::Null => anyhow::bail!("none"),
        _ => Ok(()),
    });
    assert_eq!(tenant.value("db", "password").ok().as_deref(), Some("two"), "synced before its first read");
    tenant.wait_synced("db");
    assert_eq!(tenant.generation("deployment", "app"), 1, "a first sync restarts nothing");
}
