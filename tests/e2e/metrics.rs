//! What a scrape of a working operator has, against `docs/metrics.md` and against Prometheus' own checker.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::external::{store, user_of};
use test_support::engines::kubernetes::KubernetesEngine;
use test_support::engines::pki::PkiEngine;
use test_support::{Operator, Tenant, eventually};

/// Name, type, labels.
type Described = BTreeMap<String, (String, BTreeSet<String>)>;

/// Has seen a success, a failure, a restart, a lease, a certificate, and a stored token: there is something to show of
/// everything.
fn busy(tenant: &Tenant<'_>) -> Operator {
    tenant.put("db", json!({ "password": "one" }));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let operator = tenant.operator(&["--client-cache-persistence-model=direct-unencrypted", "--external-secrets"]);
    let mut store = store(tenant);
    // Else its server is that of the VaultConnection.
    store["spec"]["provider"]["vault"]["headers"] = json!({ "X-Team": "a" });
    tenant.apply_all(&[store, user_of(tenant, "vault")]);
    tenant.wait_value("vault", "password", "one");
    let push = json!({
        "secretStoreRefs": [{ "name": "none" }], "selector": { "secret": { "name": "vault" } },
        "data": [{ "match": { "remoteRef": { "remoteKey": "x" } } }],
    });
    let mut push = tenant.object("PushSecret", "push", push);
    push["apiVersion"] = json!("external-secrets.io/v1alpha1");
    tenant.apply(&push);
    tenant.wait_condition_of("pushsecret", "push", ("Ready", "False", Some("Errored")), &["\"none\" not found"]);
    let targets = json!([{ "kind": "Deployment", "name": "app" }, { "kind": "Deployment", "name": "none" }]);
    tenant.apply(&tenant.static_secret("db", json!({ "rolloutRestartTargets": targets })));
    tenant.apply(&tenant.static_secret("none", json!({})));
    tenant.apply(&tenant.object(
        "SecretTransformation",
        "broken",
        json!({ "templates": { "a": { "name": "a", "text": "{{" } } }),
    ));
    let mount = format!("{}-kube", tenant.namespace);
    KubernetesEngine::mount(tenant.cluster, &mount).role("reader", "default");
    let pki = PkiEngine::mount(tenant);
    tenant.allow_leases(&[&mount, &pki.mount]);
    let leased = json!({
        "vaultAuthRef": "app", "mount": mount, "path": "creds/reader", "params": { "kubernetes_namespace": "default" },
        "destination": { "name": "leased", "create": true },
    });
    tenant.apply(&tenant.object("VaultDynamicSecret", "leased", leased));
    let issued = json!({
        "vaultAuthRef": "app", "mount": pki.mount, "role": "app", "commonName": "web.example.com",
        "destination": { "name": "issued", "create": true },
    });
    tenant.apply(&tenant.object("VaultPKISecret", "issued", issued));
    tenant.wait_condition("VaultPKISecret", "issued", "SecretSynced", "True", "");
    tenant.wait_condition("VaultDynamicSecret", "leased", "SecretSynced", "True", "");
    tenant.wait_value("db", "password", "one");
    tenant.wait_condition("vaultstaticsecret", "none", "SecretSynced", "False", "");
    tenant.put("db", json!({ "password": "two" }));
    tenant.wait_value("db", "password", "two");
    tenant.wait_event("db", "RolloutRestartFailed", "none");
    tenant.wait_condition("secrettransformation", "broken", "Ready", "False", "");
    let server = format!("server={} {}", tenant.cluster.server().name(), version(tenant));
    tenant.wait_condition("vaultconnection", "vault", "VaultPing", "True", &server);
    operator
}

/// Version of the server.
fn version(tenant: &Tenant<'_>) -> String {
    let status = tenant.cluster.vault("GET", "sys/seal-status", None).expect("its seal status");
    status["version"].as_str().expect("a version").to_owned()
}

fn documented() -> Described {
    let text = include_str!("../../docs/metrics.md");
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.trim_end_matches('`').to_owned();
            let type_ = cells.next()?.to_owned();
            let labels = cells.next()?.split(',').map(|label| label.trim().trim_matches('`').to_owned());
            Some((name, (type_, labels.filter(|label| !label.is_empty()).collect())))
        })
        .collect()
}

fn scraped(text: &str) -> Described {
    let mut found = Described::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, type_) = rest.split_once(' ').expect("a name and a type");
            found.insert(name.to_owned(), (type_.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let names =
                labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name.to_owned());
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let name = if found.contains_key(name) { name } else { bare.expect("part of a histogram") };
            let of = found.get_mut(name).expect("the type comes first");
            of.1.extend(names.filter(|label| label != "le"));
        }
    }
    found
}

#[test]
fn a_scrape_has_what_the_documentation_lists() {
    let tenant = Tenant::new("metrics");
    let operator = busy(&tenant);
    // There are no objects of the cluster where a namespace is served.
    let of_cluster = ["clustersecretstore_", "clusterexternalsecret_", "clusterpushsecret_"];
    let documented = documented().into_iter().filter(|(name, _)| !of_cluster.iter().any(|kind| name.starts_with(kind)));
    assert_eq!(documented.collect::<Described>(), scraped(&operator.metrics()));
}

#[test]
fn what_happened_is_counted() {
    let tenant = Tenant::new("metrics-counts");
    let operator = busy(&tenant);
    let at_least_one = [
        format!("vso_client_operations_total{{operation=\"login\",vault_connection=\"{}/vault\"}}", tenant.namespace),
        format!("vso_client_operations_total{{operation=\"read\",vault_connection=\"{}/vault\"}}", tenant.namespace),
        format!(
            "vso_client_operations_errors_total{{operation=\"read\",vault_connection=\"{}/vault\"}}",
            tenant.namespace
        ),
        format!(
            "vso_vault_server_info{{product=\"{}\",vault_connection=\"{}/vault\",version=\"{}\"}}",
            tenant.cluster.server().name(),
            tenant.namespace,
            version(&tenant)
        ),
        "vso_rollout_restarts_total{result=\"success\"}".to_owned(),
        "vso_rollout_restarts_total{result=\"error\"}".to_owned(),
        "vso_objects_not_synced{reason=\"VaultClientError\"}".to_owned(),
        "controller_runtime_reconcile_errors_total{controller=\"vaultstaticsecret\"}".to_owned(),
        "externalsecret_provider_api_calls_count{call=\"ReadSecretData\",provider=\"HashiCorp/Vault\",".to_owned(),
        format!("externalsecret_sync_calls_total{{name=\"vault\",namespace=\"{}\"}}", tenant.namespace),
        format!("externalsecret_reconcile_duration{{name=\"vault\",namespace=\"{}\"}}", tenant.namespace),
        format!(
            "secretstore_status_condition{{condition=\"Ready\",name=\"vault\",namespace=\"{}\",status=\"True\"}}",
            tenant.namespace
        ),
        format!(
            "pushsecret_status_condition{{condition=\"Ready\",name=\"push\",namespace=\"{}\",status=\"False\"}}",
            tenant.namespace
        ),
        "leader_election_master_status{name=\"b0d477c0.hashicorp.com\"}".to_owned(),
        "rest_client_requests_total{code=\"201\",".to_owned(),
    ];
    let text = operator.metrics();
    let value = |text: &str, start: &str| {
        let line = text.lines().find(|line| line.starts_with(start))?;
        line.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    for start in &at_least_one {
        assert!(value(&text, start).is_some_and(|v| v >= 1.0), "{start} in\n{text}");
    }
    let transformation = |name: &str| {
        format!(
            "controller_resource_status{{controller=\"secrettransformation\",name=\"{name}\",namespace=\"{}\"}}",
            tenant.namespace
        )
    };
    assert_eq!(value(&text, &transformation("broken")), Some(0.0), "{text}");
    assert_eq!(value(&text, "vso_queue_overdue_objects{controller=\"vaultstaticsecret\"}"), Some(0.0));

    tenant.kubectl(&["delete", "secrettransformation", "broken"]).unwrap();
    tenant.kubectl(&["delete", "vaultstaticsecret", "none", "db"]).unwrap();
    tenant.kubectl(&["delete", "vaultconnection", "vault"]).unwrap();
    eventually("series of objects that are gone are gone", || {
        let text = operator.metrics();
        let (requests, server) = (at_least_one[0].clone(), "vso_vault_server_info{".to_owned());
        // Of the object that was deleted: others may lack the connection by now.
        let not_synced = "vso_objects_not_synced{reason=\"VaultClientError\"}".to_owned();
        let gone = [transformation("broken"), not_synced, requests, server];
        match gone.iter().find(|start| value(&text, start).is_some()) {
            Some(left) => Err(format!("{left} is left")),
            None => Ok(()),
        }
    });
}

#[test]
fn prometheus_finds_nothing_wrong() {
    let tenant = Tenant::new("metrics-lint");
    let operator = busy(&tenant);
    let command = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = command else {
        println!("skipped: no promtool (Debian package prometheus)");
        return;
    };
    promtool.stdin.take().expect("piped").write_all(operator.metrics().as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // Upstream's names, kept for the dashboards that use them.
    let known = [
        "vso_client_cache_hits",
        "vso_client_cache_misses",
        "vso_client_clone_cache_hits",
        "vso_client_clone_cache_misses",
    ];
    let new: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("vso_runtime_config label names should be"))
        .filter(|line| !known.iter().any(|name| line.starts_with(&format!("{name} counter metrics should have"))))
        .collect();
    assert!(new.is_empty(), "{}", new.join("\n"));
}

/// `kubectl get --raw` at the metrics endpoint: whoever has a token speaks HTTPS.
fn scrape(tenant: &Tenant<'_>, port: u16, path: &str, token: &str) -> Result<String, String> {
    let server = format!("--server=https://127.0.0.1:{port}");
    let token = format!("--token={token}");
    let args = ["get", "--raw", path, &server, &token, "--insecure-skip-tls-verify"];
    tenant.cluster.kubectl(&args).map_err(|e| e.to_string())
}

#[test]
fn over_https_only_those_who_may_see_metrics() {
    let tenant = Tenant::new("metrics-https");
    let account = "op-vault-secrets-operator-controller-manager";
    let subject =
        |namespace: &str, name: &str| json!([{ "kind": "ServiceAccount", "name": name, "namespace": namespace }]);
    let apply = |object: &serde_json::Value| tenant.cluster.kubectl_apply(&object.to_string()).expect("accepted");
    let bind = |name: &str, role: &str, subjects: serde_json::Value| {
        apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("{}-{name}", tenant.namespace) },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": subjects,
        }));
    };
    bind("delegator", "system:auth-delegator", subject(&tenant.operator_namespace, account));
    for name in ["prometheus", "nobody"] {
        tenant.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } }));
    }
    let role = format!("{}-metrics", tenant.namespace);
    apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": role },
        "rules": [{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }],
    }));
    bind("metrics", &role, subject(&tenant.namespace, "prometheus"));
    let token = |name: &str| tenant.kubectl(&["create", "token", name]).expect("a token").trim().to_owned();

    let operator = tenant.operator(&["--metrics-secure"]);
    let port = operator.metrics_port();
    let text = scrape(&tenant, port, "/metrics", &token("prometheus")).expect("metrics");
    assert!(text.contains("vso_build_info{"), "{text}");
    let refused = scrape(&tenant, port, "/metrics", &token("nobody")).expect_err("no rights");
    assert!(refused.contains("orbidden"), "{refused}");
    let refused = scrape(&tenant, port, "/metrics", "not-a-token").expect_err("no token");
    assert!(refused.contains("nauthorized") || refused.contains("logged in"), "{refused}");
    let refused = scrape(&tenant, port, "/other", &token("prometheus")).expect_err("there is nothing else");
    assert!(!refused.contains("orbidden"), "no token is reviewed for it: {refused}");
    assert!(test_support::http_get(port, "/metrics").is_err(), "plain HTTP is not answered");
}
