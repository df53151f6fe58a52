//! Two hundred ExternalSecrets and their Secrets as ESO leaves them, made here by ESO's rules and under its names. The
//! operator finds all of it right: it writes nothing, and from then on it does what ESO would do.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{SecondsFormat, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Request;
use serde_json::{Value, json};
use sha3::{Digest as _, Sha3_224};

use super::{SERVED, row, store};
use test_support::audit::{Count, describe};
use test_support::kube_client::KubeClient;
use test_support::{Tenant, eventually};

const OBJECTS: usize = 200;
/// Secrets in Vault, each read by objects of every shape.
const SOURCES: usize = 10;
/// Requests under way at the same time.
const WIDTH: usize = 16;
/// ESO's manager of all but the Secrets.
const ESO: &str = "external-secrets";

/// What was there before ESO, and in which ways ESO treats a Secret.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// It belongs to the ExternalSecret.
    Owned,
    /// ESO has made it, and it belongs to no object.
    Free,
    /// It was there, with a key of its own.
    Merged,
}

/// An ExternalSecret, and what ESO has made of it.
struct Left {
    name: String,
    spec: Value,
    labels: Value,
    annotations: Value,
    target: Target,
    data: BTreeMap<String, String>,
    /// Members of the Secret that are not those of a plain one.
    secret: Value,
    /// Labels of the Secret. Without a template, they are those of the object.
    template_labels: Option<Value>,
}

fn source(i: usize) -> String {
    format!("db{}", i / 10 % SOURCES)
}

fn content(source: &str) -> Value {
    json!({
        "user": format!("user-{source}"), "password": "p\"w<&>", "port": 5432, "ratio": 1.5, "on": true, "none": null,
        "config": { "a": [1, "x"] },
    })
}

/// The shapes take turns.
fn left(tenant: &Tenant<'_>, i: usize) -> Left {
    let source = source(i);
    let user = format!("user-{source}");
    let data = |entries: &[(&str, &str)]| entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let rows = || json!([row(tenant, "USER", &source, "user"), row(tenant, "PORT", &source, "port")]);
    let plain = Left {
        name: format!("plain-{i}"),
        spec: json!({ "data": rows() }),
        labels: json!({ "team": "a" }),
        annotations: json!({ "note": "x y" }),
        target: Target::Owned,
        data: data(&[("USER", &user), ("PORT", "5432")]),
        secret: json!({}),
        template_labels: None,
    };
    match i % 10 {
        0 => plain,
        1 => Left {
            name: format!("extracted-{i}"),
            spec: json!({ "dataFrom": [{ "extract": { "key": tenant.path(&source) } }] }),
            labels: json!({}),
            annotations: json!({ "kubectl.kubernetes.io/last-applied-configuration": "{\"kind\":\"ExternalSecret\"}\n" }),
            data: data(&[
                ("user", &user),
                ("password", "p\"w<&>"),
                ("port", "5432"),
                ("ratio", "1.5"),
                ("on", "true"),
                ("none", ""),
                ("config", r#"{"a":[1,"x"]}"#),
            ]),
            ..plain
        },
        2 => {
            let login = format!(r#"{{"auths":{{"registry.example":{{"username":"{user}","password":"p\"w<&>"}}}}}}"#);
            let text =
                r#"{"auths":{"registry.example":{"username":"{{ .user }}","password":{{ .password | toRawJson }}}}}"#;
            Left {
                name: format!("registry-{i}"),
                spec: json!({
                    "data": [row(tenant, "user", &source, "user"), row(tenant, "password", &source, "password")],
                    "target": { "template": {
                        "type": "kubernetes.io/dockerconfigjson",
                        "metadata": { "labels": { "of": "{{ .user }}" } },
                        "data": { ".dockerconfigjson": text },
                    } },
                }),
                data: data(&[(".dockerconfigjson", &login)]),
                secret: json!({ "type": "kubernetes.io/dockerconfigjson" }),
                template_labels: Some(json!({ "of": user })),
                ..plain
            }
        }
        3 => Left {
            name: format!("orphan-{i}"),
            spec: json!({ "data": rows(), "target": { "creationPolicy": "Orphan" } }),
            target: Target::Free,
            ..plain
        },
        4 => Left {
            name: format!("merged-{i}"),
            spec: json!({ "data": rows(), "target": { "creationPolicy": "Merge" } }),
            target: Target::Merged,
            ..plain
        },
        5 => {
            let whole = format!(
                r#"{{"config":{{"a":[1,"x"]}},"none":null,"on":true,"password":"p\"w\u003c\u0026\u003e","port":5432,"ratio":1.5,"user":"{user}"}}"#
            );
            Left {
                name: format!("a-name-that-is-too-long-for-the-name-of-a-manager-{i}"),
                spec: json!({ "data": [{ "secretKey": "all.json", "remoteRef": { "key": tenant.path(&source) } }] }),
                data: data(&[("all.json", &whole)]),
                ..plain
            }
        }
        6 => {
            Left { name: format!("once-{i}"), spec: json!({ "data": rows(), "refreshPolicy": "CreatedOnce" }), ..plain }
        }
        7 => Left {
            name: format!("never-{i}"),
            spec: json!({ "data": rows(), "refreshInterval": "0", "target": { "name": format!("other-{i}") } }),
            ..plain
        },
        8 => Left {
            name: format!("fixed-{i}"),
            spec: json!({ "data": rows(), "target": { "immutable": true } }),
            secret: json!({ "immutable": true }),
            ..plain
        },
        _ => Left {
            name: format!("joined-{i}"),
            spec: json!({ "data": rows(), "refreshInterval": "1h", "target": { "creationPolicy": "CreateOrMerge" } }),
            target: Target::Free,
            ..plain
        },
    }
}

/// SHA3-224, as ESO writes it.
fn digest(text: &str) -> String {
    hex::encode(Sha3_224::digest(text))
}

/// A map as Go prints it.
fn printed<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> String {
    let entries: BTreeMap<_, _> = entries.collect();
    let all: Vec<_> = entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("map[{}]", all.join(" "))
}

fn hash_of_data(data: &BTreeMap<String, String>) -> String {
    let bytes = |text: &str| format!("[{}]", text.bytes().map(|b| b.to_string()).collect::<Vec<_>>().join(" "));
    digest(&printed(data.iter().map(|(key, value)| (key.as_str(), bytes(value)))))
}

fn manager(name: &str) -> String {
    let whole = format!("externalsecrets.external-secrets.io/{name}");
    match whole.len() {
        ..=63 => whole,
        _ => format!("externalsecrets.external-secrets.io/sha3/{}", digest(name)),
    }
}

/// A request as that manager.
async fn send(client: &kube::Client, method: &str, path: &str, manager: &str, body: &Value) -> kube::Result<Value> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let uri = format!("{path}?fieldManager={}", manager.replace('/', "%2F"));
    let request = Request::builder().method(method).uri(uri).header("content-type", kind);
    client.request(request.body(body.to_string().into_bytes()).expect("a request")).await
}

impl Left {
    fn target_name(&self) -> &str {
        self.spec["target"]["name"].as_str().unwrap_or(&self.name)
    }

    /// Labels and annotations of the object as ESO prints them.
    fn metadata(&self) -> String {
        let texts = |of: &Value| -> BTreeMap<String, String> { serde_json::from_value(of.clone()).expect("texts") };
        let (annotations, labels) = (texts(&self.annotations), texts(&self.labels));
        let map = |of: &BTreeMap<String, String>| printed(of.iter().map(|(k, v)| (k.as_str(), v.clone())));
        format!("{{annotations:{} labels:{}}}", map(&annotations), map(&labels))
    }

    /// The Secret that ESO has written for the object with this UID, with `foreign` keys beside its own.
    fn secret(&self, namespace: &str, uid: &Value, foreign: &BTreeMap<String, String>) -> Value {
        let mut data = self.data.clone();
        data.extend(foreign.clone());
        let (mut labels, mut annotations) = match &self.template_labels {
            Some(labels) => (labels.clone(), json!({})),
            None => (self.labels.clone(), self.annotations.clone()),
        };
        labels["reconcile.external-secrets.io/managed"] = json!("true");
        annotations["reconcile.external-secrets.io/data-hash"] = json!(hash_of_data(&data));
        let encoded: BTreeMap<_, _> = data.iter().map(|(key, value)| (key, STANDARD.encode(value))).collect();
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": encoded,
            "metadata": { "name": self.target_name(), "namespace": namespace, "annotations": annotations },
        });
        if self.target == Target::Owned {
            let owner = format!("{namespace}/{}", self.name);
            labels["reconcile.external-secrets.io/created-by"] = json!(digest(&owner));
            secret["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": self.name, "uid": uid,
                "controller": true, "blockOwnerDeletion": true,
            }]);
        }
        secret["metadata"]["labels"] = labels;
        json_patch::merge(&mut secret, &self.secret);
        secret
    }

    /// What a user and then ESO did.
    async fn make(self, client: kube::Client, namespace: String) -> kube::Result<()> {
        let mut spec = json!({ "secretStoreRef": { "name": "vault", "kind": "SecretStore" }, "refreshInterval": "1s" });
        json_patch::merge(&mut spec, &self.spec);
        let object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "spec": spec,
            "metadata": { "name": self.name, "labels": self.labels, "annotations": self.annotations },
        });
        let all = format!("/apis/external-secrets.io/v1/namespaces/{namespace}/externalsecrets");
        let one = format!("{all}/{}", self.name);
        let made = send(&client, "POST", &all, "kubectl-create", &object).await?;
        let held =
            json!({ "metadata": { "finalizers": ["externalsecrets.external-secrets.io/externalsecret-cleanup"] } });
        send(&client, "PATCH", &one, ESO, &held).await?;

        let secrets = format!("/api/v1/namespaces/{namespace}/secrets");
        let mine = manager(&self.name);
        let uid = &made["metadata"]["uid"];
        if self.target == Target::Merged {
            let foreign: BTreeMap<_, _> = [("own".to_owned(), "kept".to_owned())].into();
            let before = json!({
                "apiVersion": "v1", "kind": "Secret", "stringData": foreign, "metadata": { "name": self.target_name() },
            });
            send(&client, "POST", &secrets, "kubectl-create", &before).await?;
            let path = format!("{secrets}/{}", self.target_name());
            send(&client, "PUT", &path, &mine, &self.secret(&namespace, uid, &foreign)).await?;
        } else {
            send(&client, "POST", &secrets, &mine, &self.secret(&namespace, uid, &BTreeMap::new())).await?;
        }

        // Its last refresh was a moment ago, so that the next one is due in all but those of an hour.
        let refreshed = Utc::now() - chrono::TimeDelta::seconds(5);
        let time = refreshed.to_rfc3339_opts(SecondsFormat::Secs, true);
        let status = json!({ "status": {
            "binding": { "name": self.target_name() },
            "refreshTime": time,
            "syncedResourceVersion": format!("{}-{}", made["metadata"]["generation"], digest(&self.metadata())),
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced",
                "lastTransitionTime": time,
            }],
        } });
        send(&client, "PATCH", &format!("{one}/status"), ESO, &status).await?;
        Ok(())
    }
}

/// The store as ESO leaves one.
async fn leave_store(client: kube::Client, tenant: &Tenant<'_>) -> kube::Result<()> {
    let all = format!("/apis/external-secrets.io/v1/namespaces/{}/secretstores", tenant.namespace);
    send(&client, "POST", &all, "kubectl-create", &store(tenant)).await?;
    let status = json!({ "status": { "capabilities": "ReadWrite", "conditions": [{
        "type": "Ready", "status": "True", "reason": "Valid", "message": "store validated",
        "lastTransitionTime": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    }] } });
    send(&client, "PATCH", &format!("{all}/vault/status"), ESO, &status).await.map(drop)
}

/// Names and versions.
fn versions(tenant: &Tenant<'_>, kind: &str) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = tenant.list(kind).into_iter();
    all.map(|o| (text(&o["metadata"]["name"]), text(&o["metadata"]["resourceVersion"]))).collect()
}

#[test]
fn what_eso_has_left_is_taken_over_without_a_write() {
    let tenant = Tenant::new("es-takeover");
    (0..SOURCES).map(|i| source(10 * i)).for_each(|name| tenant.put(&name, content(&name)));
    // ESO knows neither.
    tenant.kubectl(&["delete", "vaultauth/app", "vaultconnection/vault"]).unwrap();
    let api = KubeClient::of(tenant.cluster);
    let all: Vec<_> = (0..OBJECTS).map(|i| left(&tenant, i)).collect();
    let (tenant_of_store, namespace) = (&tenant, tenant.namespace.clone());
    api.run(|client| async move {
        leave_store(client.clone(), tenant_of_store).await?;
        let made = all.into_iter().map(|left| left.make(client.clone(), namespace.clone()));
        futures_util::stream::iter(made).buffer_unordered(WIDTH).try_collect::<()>().await
    })
    .expect("all is as ESO leaves it");
    let before = ["secret", "externalsecret", "secretstore"].map(|kind| versions(&tenant, kind));
    assert!(before[0].len() >= OBJECTS && before[1].len() == OBJECTS, "{} Secrets", before[0].len());

    let count = Count::start(&tenant);
    let operator = tenant.operator(SERVED);
    // Each path is read again, and each Secret has been looked at, those of an hour, too: the operator is at work, and
    // not asleep.
    let requests = eventually("two intervals have passed for all", || {
        let overdue = operator.metric("vso_queue_overdue_objects{controller=\"externalsecret\"}");
        let reads = count.reads();
        let requests = count.requests();
        let seen = |name: &str| requests.iter().any(|e| e.verb == "get" && e.resource == "secrets" && e.name == name);
        let unseen: Vec<_> = before[0].keys().filter(|name| !seen(name)).collect();
        let is_read = reads.len() == SOURCES && reads.values().all(|times| times.len() > 2);
        if overdue == Some(0.0) && is_read && unseen.is_empty() {
            return Ok(requests);
        }
        let reads: Vec<_> = reads.values().map(Vec::len).collect();
        Err(format!("overdue: {overdue:?}; reads: {reads:?}; no look at {unseen:?}"))
    });
    let own = |e: &testenv::AuditEvent| e.namespace == tenant.namespace;
    let writes: Vec<_> = requests.into_iter().filter(|e| e.is_write() && own(e)).collect();
    assert!(writes.is_empty(), "{}", describe(&writes));
    let after = ["secret", "externalsecret", "secretstore"].map(|kind| versions(&tenant, kind));
    assert_eq!(after, before);

    what_changes_is_written_as_by_eso(&tenant);
    what_is_deleted_goes(&tenant);
    eventually("the store that is missing shows", || {
        match operator.metric("vso_objects_not_synced{reason=\"SecretSyncedError\"}") {
            Some(count) if count > 0.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

fn what_changes_is_written_as_by_eso(tenant: &Tenant<'_>) {
    let mut changed = content("db0");
    changed["user"] = json!("new");
    tenant.put("db0", changed);
    for secret in ["plain-0", "merged-4", "orphan-3"] {
        tenant.wait_value(secret, "USER", "new");
    }
    let whole = "a-name-that-is-too-long-for-the-name-of-a-manager-5";
    eventually("the long name", || {
        let value = tenant.value(whole, "all.json").map_err(|e| e.to_string())?;
        if value.contains(r#""user":"new""#) { Ok(()) } else { Err(value) }
    });
    for (secret, name) in [("plain-0", "plain-0"), ("merged-4", "merged-4"), (whole, whole)] {
        let found = tenant.get("secret", secret).unwrap();
        let entries: BTreeMap<String, String> = serde_json::from_value(found["data"].clone()).unwrap();
        let decoded = entries.into_iter().map(|(k, v)| (k, String::from_utf8(STANDARD.decode(v).unwrap()).unwrap()));
        let hash = hash_of_data(&decoded.collect());
        assert_eq!(found["metadata"]["annotations"]["reconcile.external-secrets.io/data-hash"], hash, "{secret}");
        let managers: Vec<_> = found["metadata"]["managedFields"].as_array().unwrap().iter().collect();
        let names: Vec<_> = managers.iter().filter_map(|m| m["manager"].as_str()).collect();
        let expected = manager(name);
        assert!(names.iter().all(|n| *n == expected || *n == "kubectl-create"), "{secret}: {names:?}");
    }
    assert_eq!(tenant.value("merged-4", "own").unwrap(), "kept");
    for untouched in ["once-6", "other-7", "fixed-8", "joined-9"] {
        assert_eq!(tenant.value(untouched, "USER").unwrap(), "user-db0", "{untouched}");
    }
}

/// ESO holds them by finalizers.
fn what_is_deleted_goes(tenant: &Tenant<'_>) {
    for (kind, name) in [("externalsecret", "plain-0"), ("externalsecret", "orphan-3"), ("secretstore", "vault")] {
        tenant.kubectl(&["delete", kind, name, "--timeout=30s"]).unwrap();
    }
    eventually("the owned Secret goes with it", || match tenant.get("secret", "plain-0") {
        Ok(secret) => Err(secret["metadata"].to_string()),
        Err(_) => Ok(()),
    });
    assert_eq!(tenant.value("orphan-3", "USER").unwrap(), "new");
    assert!(tenant.get("secretstore", "vault").is_err(), "the store is gone");
}
