//! ClusterExternalSecrets and ClusterPushSecrets, with an operator that serves the whole cluster.

mod push_secrets;

use serde_json::{Value, json};
use testenv::{AuditEvent, Cluster, Options};

use super::{SERVED, object, vault_provider};
use test_support::audit::{Count, describe};
use test_support::{NO_ELECTION, Tenant, eventually, own};

/// What is left alone by an operator that serves the kind.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(3);
/// ESO's finalizer on a namespace that has an ExternalSecret of the object `all`.
const NAMESPACE_FINALIZER: &str = "externalsecrets.external-secrets.io/ces-all";

fn arguments() -> Vec<&'static str> {
    [SERVED, &["--cluster-external-secrets"], &NO_ELECTION].concat()
}

fn namespace(name: &str, labels: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}

fn apply(cluster: &Cluster, objects: &[Value]) {
    let all: Vec<String> = objects.iter().map(Value::to_string).collect();
    cluster.kubectl_apply(&all.join("\n---\n")).expect("they are accepted");
}

fn get(cluster: &Cluster, args: &[&str]) -> Result<Value, String> {
    let text = cluster.kubectl(&[&["get", "--output=json"], args].concat()).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// The object `all`. Members of `spec` win.
fn all(spec: Value) -> Value {
    let mut full = json!({
        "namespaceSelectors": [{ "matchLabels": { "fan": "yes" } }],
        "externalSecretMetadata": { "labels": { "made": "here" }, "annotations": { "note": "x" } },
        "externalSecretSpec": {
            "secretStoreRef": { "name": "shared", "kind": "ClusterSecretStore" },
            "refreshInterval": "1h",
            "data": [{ "secretKey": "password", "remoteRef": { "key": "fan/db", "property": "password" } }],
        },
    });
    json_patch::merge(&mut full, &spec);
    let (api_version, kind) = ("external-secrets.io/v1", "ClusterExternalSecret");
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "all" }, "spec": full })
}

/// Waits for the status of the ClusterExternalSecret `all`: the namespaces that have it, and those that do not.
#[track_caller]
fn wait_status(cluster: &Cluster, provisioned: &[&str], failed: &[&str]) -> Value {
    wait_status_of(cluster, "clusterexternalsecret", provisioned, failed)
}

/// Waits for the status of the object `all` of a kind.
#[track_caller]
fn wait_status_of(cluster: &Cluster, kind: &str, provisioned: &[&str], failed: &[&str]) -> Value {
    let mut found = Value::Null;
    eventually(&format!("{provisioned:?} have it, {failed:?} do not"), || {
        let status = get(cluster, &[kind, "all"])?["status"].clone();
        let names = |list: &Value, member: Option<&str>| -> Vec<String> {
            let name = |entry: &Value| member.map_or(entry, |member| &entry[member]).as_str().unwrap_or("").to_owned();
            list.as_array().into_iter().flatten().map(name).collect()
        };
        let ready = if failed.is_empty() { "True" } else { "False" };
        if names(&status["provisionedNamespaces"], None) == provisioned
            && names(&status["failedNamespaces"], Some("namespace")) == failed
            && status["conditions"][0]["status"] == ready
        {
            found = status;
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    found
}

/// Waits until a namespace has an ExternalSecret of that name, or has none.
#[track_caller]
fn wait_made(cluster: &Cluster, namespace: &str, name: &str, is_there: bool) {
    wait_there(cluster, "externalsecret", namespace, name, is_there);
}

/// Waits until a namespace has an object of that kind and name, or has none.
#[track_caller]
fn wait_there(cluster: &Cluster, kind: &str, namespace: &str, name: &str, is_there: bool) {
    eventually(&format!("{kind} {namespace}/{name} is there: {is_there}"), || {
        match get(cluster, &[kind, name, "--namespace", namespace]) {
            Ok(_) if is_there => Ok(()),
            Err(error) if !is_there && error.contains("NotFound") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

fn patch(cluster: &Cluster, object: &[&str], patch: &Value) {
    cluster.kubectl(&[&["patch"], object, &["--type=merge", &format!("--patch={patch}")]].concat()).expect("a patch");
}

/// Changes what was made, waits until that is undone, and deletes it.
fn change_and_delete(cluster: &Cluster, made: &[&str]) {
    patch(cluster, made, &json!({ "spec": { "refreshInterval": "5m" }, "metadata": { "labels": { "x": "y" } } }));
    eventually("it is repaired", || {
        let made = get(cluster, made)?;
        let is_right = made["spec"]["refreshInterval"] == "1h0m0s" && made["metadata"]["labels"]["x"].is_null();
        if is_right { Ok(()) } else { Err(made.to_string()) }
    });
    cluster.kubectl(&[&["delete"], made].concat()).unwrap();
}

fn writes<'a>(events: &'a [AuditEvent], verb: &str, resource: &str) -> Vec<&'a AuditEvent> {
    events.iter().filter(|event| event.verb == verb && event.resource == resource && event.is_write()).collect()
}

#[test]
fn an_external_secret_in_each_namespace_that_is_meant() {
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "fan");
    cluster.vault_kv_put("secret/fan/db", json!({ "password": "fan-hunter2" })).expect("a secret");
    let rules = "path \"secret/data/fan/*\" { capabilities = [\"read\"] }";
    cluster.vault_policy(&test_support::engines::engines_policy(&tenant.namespace), rules).expect("a policy");
    let account = json!({ "name": "app", "namespace": tenant.namespace, "audiences": ["vault"] });
    let auth = json!({ "kubernetes": { "role": tenant.namespace, "serviceAccountRef": account } });
    let mut store = object(&tenant, "ClusterSecretStore", "shared", vault_provider(&tenant, json!({ "auth": auth })));
    store["metadata"].as_object_mut().expect("metadata").remove("namespace");
    let names = ["fan-a", "fan-b", "fan-c"];
    let meant = names.map(|name| namespace(name, json!({ "fan": "yes" })));
    apply(&cluster, &[&meant[..], &[namespace("fan-other", json!({})), store]].concat());
    let mut operator = tenant.operator(&arguments());

    makes_one_in_each(&cluster, &tenant);
    repairs_what_others_do(&cluster);
    follows_the_spec_and_the_namespaces(&cluster, &tenant);
    leaves_what_is_anothers(&cluster);
    tells_of_a_selector_that_makes_no_sense(&cluster);

    // A restart of the operator writes nothing.
    operator.kill();
    let count = Count::start(&tenant);
    let operator = tenant.operator(&arguments());
    std::thread::sleep(SETTLED);
    let requests = count.requests();
    assert!(!requests.iter().any(AuditEvent::is_write), "{}", describe(&requests));

    frees_namespaces_of_the_finalizer_of_eso(&cluster);
    tenant.assert_nothing_leaked(&operator, &["fan-hunter2"]);
}

fn makes_one_in_each(cluster: &Cluster, tenant: &Tenant<'_>) {
    let count = Count::start(tenant);
    apply(cluster, &[all(json!({}))]);
    let status = wait_status(cluster, &["fan-a", "fan-b", "fan-c"], &[]);
    assert_eq!(status["externalSecretName"], "all");
    assert_eq!(status["conditions"], json!([{ "type": "Ready", "status": "True" }]), "as ESO has it");
    for namespace in ["fan-a", "fan-b", "fan-c"] {
        eventually(&format!("the Secret of {namespace}"), || {
            let secret = get(cluster, &["secret", "all", "--namespace", namespace])?;
            match test_support::kube_client::decoded(&secret, "password") {
                Some(found) if found == "fan-hunter2" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }
    let owner = get(cluster, &["clusterexternalsecret", "all"]).unwrap();
    let made = get(cluster, &["externalsecret", "all", "--namespace=fan-a"]).unwrap();
    assert_eq!(made["metadata"]["labels"], json!({ "made": "here" }));
    assert_eq!(made["metadata"]["annotations"], json!({ "note": "x" }));
    let mut spec = owner["spec"]["externalSecretSpec"].clone();
    spec["refreshInterval"] = json!("1h0m0s");
    assert_eq!(made["spec"], spec, "with the defaults of the schema, and durations as ESO writes them");
    let expected = json!([{
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterExternalSecret", "name": "all",
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    assert_eq!(made["metadata"]["ownerReferences"], expected);
    assert!(owner["metadata"]["finalizers"].is_null());

    std::thread::sleep(SETTLED);
    let requests = count.requests();
    assert_eq!(writes(&requests, "create", "externalsecrets").len(), 3, "{}", describe(&requests));
    assert!(writes(&requests, "update", "externalsecrets").is_empty(), "{}", describe(&requests));
    assert!(writes(&requests, "patch", "namespaces").is_empty(), "no finalizer: {}", describe(&requests));
    let steady = Count::start(tenant);
    std::thread::sleep(SETTLED);
    let requests = steady.requests();
    assert!(requests.is_empty(), "{}", describe(&requests));
    let columns = cluster.kubectl(&["get", "ces", "all"]).unwrap();
    let (header, row) = columns.split_once('\n').unwrap();
    let cells =
        |line: &str| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells(header), ["NAME", "STORE", "REFRESH INTERVAL", "READY"]);
    assert_eq!(cells(row), ["all", "shared", "True"]);
}

fn repairs_what_others_do(cluster: &Cluster) {
    change_and_delete(cluster, &["externalsecret", "all", "--namespace=fan-a"]);
    wait_made(cluster, "fan-a", "all", true);
    wait_status(cluster, &["fan-a", "fan-b", "fan-c"], &[]);
}

fn follows_the_spec_and_the_namespaces(cluster: &Cluster, tenant: &Tenant<'_>) {
    // A person asks for a refresh of all.
    cluster.kubectl(&["annotate", "ces", "all", "external-secrets.io/force-sync=1"]).unwrap();
    eventually("it is handed on", || {
        let made = get(cluster, &["externalsecret", "all", "--namespace=fan-b"])?;
        let found = &made["metadata"]["annotations"]["external-secrets.io/force-sync"];
        if found == "1" { Ok(()) } else { Err(made.to_string()) }
    });
    // A namespace comes, another is not meant any more, a third one is deleted.
    apply(cluster, &[namespace("fan-d", json!({ "fan": "yes" }))]);
    wait_status(cluster, &["fan-a", "fan-b", "fan-c", "fan-d"], &[]);
    cluster.kubectl(&["label", "namespace", "fan-c", "fan-"]).unwrap();
    wait_status(cluster, &["fan-a", "fan-b", "fan-d"], &[]);
    wait_made(cluster, "fan-c", "all", false);
    cluster.kubectl(&["delete", "namespace", "fan-d", "--timeout=60s"]).expect("nothing holds it up");
    wait_status(cluster, &["fan-a", "fan-b"], &[]);
    // Another name, and one more namespace by its name.
    let count = Count::start(tenant);
    apply(cluster, &[all(json!({ "externalSecretName": "renamed", "namespaces": ["fan-other", "fan-none"] }))]);
    let status = wait_status(cluster, &["fan-a", "fan-b", "fan-other"], &[]);
    assert_eq!(status["externalSecretName"], "renamed");
    for namespace in ["fan-a", "fan-b"] {
        wait_made(cluster, namespace, "renamed", true);
        wait_made(cluster, namespace, "all", false);
    }
    let requests = count.requests();
    assert_eq!(writes(&requests, "create", "externalsecrets").len(), 3, "{}", describe(&requests));
    assert_eq!(writes(&requests, "delete", "externalsecrets").len(), 2, "{}", describe(&requests));
    // The former version has the former way to select.
    let mut former =
        all(json!({ "namespaceSelectors": null, "namespaceSelector": { "matchLabels": { "fan": "yes" } } }));
    former["apiVersion"] = json!("external-secrets.io/v1beta1");
    apply(cluster, &[former]);
    wait_status(cluster, &["fan-a", "fan-b"], &[]);
    wait_made(cluster, "fan-other", "renamed", false);
}

fn leaves_what_is_anothers(cluster: &Cluster) {
    let spec = all(json!({}))["spec"]["externalSecretSpec"].clone();
    let meta = json!({ "name": "all", "namespace": "fan-c" });
    let foreign =
        json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": meta, "spec": spec });
    apply(cluster, &[foreign]);
    cluster.kubectl(&["label", "namespace", "fan-c", "fan=yes"]).unwrap();
    let status = wait_status(cluster, &["fan-a", "fan-b"], &["fan-c"]);
    assert_eq!(status["failedNamespaces"][0]["reason"], "external secret already exists in namespace");
    assert_eq!(status["conditions"][0]["message"], "one or more namespaces failed");
    let made = get(cluster, &["externalsecret", "all", "--namespace=fan-c"]).unwrap();
    assert!(made["metadata"]["ownerReferences"].is_null(), "{made}");
    cluster.kubectl(&["delete", "externalsecret", "all", "--namespace=fan-c"]).unwrap();
    wait_status(cluster, &["fan-a", "fan-b", "fan-c"], &[]);
}

fn tells_of_a_selector_that_makes_no_sense(cluster: &Cluster) {
    let expression = json!([{ "key": "fan", "operator": "Is", "values": ["yes"] }]);
    apply(cluster, &[all(json!({ "namespaceSelectors": [{ "matchExpressions": expression }] }))]);
    let status = wait_status(cluster, &["fan-a", "fan-b", "fan-c"], &["unknown"]);
    let text = "\"Is\" is not a valid label selector operator";
    assert!(status["failedNamespaces"][0]["reason"].as_str().unwrap().contains(text), "{status}");
    ["fan-a", "fan-b", "fan-c"].iter().for_each(|namespace| wait_made(cluster, namespace, "all", true));
    apply(cluster, &[all(json!({}))]);
    wait_status(cluster, &["fan-a", "fan-b", "fan-c"], &[]);
}

fn frees_namespaces_of_the_finalizer_of_eso(cluster: &Cluster) {
    let held = json!({ "metadata": { "finalizers": [NAMESPACE_FINALIZER] } });
    let finalizers = |namespace: &str| -> Result<Value, String> {
        Ok(get(cluster, &["namespace", namespace])?["metadata"]["finalizers"].clone())
    };
    let wait_free = |namespace: &str| {
        eventually(&format!("{namespace} is free"), || match finalizers(namespace)? {
            Value::Null => Ok(()),
            found => Err(found.to_string()),
        });
    };
    ["fan-a", "fan-b", "fan-c", "fan-other"].iter().for_each(|name| patch(cluster, &["namespace", name], &held));
    // Where it is not meant, where it is not meant any more, and in deletion.
    wait_free("fan-other");
    cluster.kubectl(&["label", "namespace", "fan-c", "fan-"]).unwrap();
    wait_free("fan-c");
    cluster.kubectl(&["delete", "namespace", "fan-b", "--timeout=60s"]).expect("nothing holds it up");
    assert_eq!(finalizers("fan-a").unwrap(), json!([NAMESPACE_FINALIZER]), "ESO may serve it again");
    // With the object that it is for.
    let of_object =
        json!({ "metadata": { "finalizers": ["externalsecrets.external-secrets.io/clusterexternalsecret-cleanup"] } });
    patch(cluster, &["clusterexternalsecret", "all"], &of_object);
    cluster.kubectl(&["delete", "clusterexternalsecret", "all", "--timeout=60s"]).expect("nothing holds it up");
    wait_free("fan-a");
    wait_made(cluster, "fan-a", "all", false);
    // ESO has left it behind, and the object is gone.
    patch(cluster, &["namespace", "fan-c"], &held);
    cluster.kubectl(&["delete", "namespace", "fan-c", "--timeout=60s"]).expect("nothing holds it up");
}

/// `FAN_OUT_NAMESPACES` sets how many.
#[test]
fn a_fleet_of_namespaces_costs_one_write_each() {
    let namespaces = std::env::var("FAN_OUT_NAMESPACES").ok().and_then(|text| text.parse().ok()).unwrap_or(100usize);
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "fan-fleet");
    let name = |i: usize| format!("fleet-{i:05}");
    for chunk in (0..namespaces).collect::<Vec<_>>().chunks(500) {
        let some: Vec<Value> = chunk.iter().map(|i| namespace(&name(*i), json!({ "fan": "yes" }))).collect();
        apply(&cluster, &some);
    }
    let mut operator = tenant.operator(&arguments());
    let ready = |wanted: usize| {
        eventually(&format!("{wanted} namespaces have it"), || {
            let status = get(&cluster, &["clusterexternalsecret", "all"])?["status"].clone();
            let found = status["provisionedNamespaces"].as_array().map_or(0, Vec::len);
            let is_ready = found == wanted && status["conditions"][0]["status"] == "True";
            if is_ready { Ok(()) } else { Err(format!("{found}")) }
        });
    };
    let count = Count::start(&tenant);
    let began = std::time::Instant::now();
    // They have no store: what becomes of the ExternalSecrets is not what is counted.
    apply(&cluster, &[all(json!({}))]);
    ready(namespaces);
    let took = began.elapsed();
    std::thread::sleep(SETTLED);
    let requests = count.requests();
    let created = writes(&requests, "create", "externalsecrets").len();
    let status = writes(&requests, "patch", "clusterexternalsecrets").len();
    println!("{namespaces} namespaces: {created} creations, {status} writes of the status, {took:?}");
    assert_eq!(created, namespaces);
    assert!((1..=5).contains(&status), "{status} writes of the status");
    let of_all = |events: &[AuditEvent]| -> Vec<AuditEvent> {
        let one = |event: &&AuditEvent| event.resource == "clusterexternalsecrets" || event.subresource.is_empty();
        let ours = |event: &&AuditEvent| event.resource != "events" && event.resource != "secrets";
        events.iter().filter(one).filter(ours).cloned().collect()
    };
    let reads: Vec<_> = of_all(&requests).into_iter().filter(|event| !event.is_write()).collect();
    assert!(reads.is_empty(), "{}", describe(&reads));

    operator.kill();
    let count = Count::start(&tenant);
    let _operator = tenant.operator(&arguments());
    std::thread::sleep(SETTLED);
    let requests = of_all(&count.requests());
    println!("after a restart: {} requests", requests.len());
    assert!(requests.is_empty(), "{}", describe(&requests));
    // One namespace more is one write more.
    let count = Count::start(&tenant);
    apply(&cluster, &[namespace("fleet-more", json!({ "fan": "yes" }))]);
    ready(namespaces + 1);
    let requests = count.requests();
    let created = writes(&requests, "create", "externalsecrets").len();
    assert_eq!((created, writes(&requests, "patch", "clusterexternalsecrets").len()), (1, 1));
}
