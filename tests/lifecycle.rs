//! The chart on a real node: install, upgrade with changed values, rollback and uninstall, with the hooks' Jobs as
//! running pods, and objects in five namespaces that carry the finalizers that VSO has left. Nothing stays behind, and
//! nothing is stuck in deletion. Without root there is no node, and the test says that it is skipped.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Cluster, Options, image, node};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NAMESPACE: &str = "vso";
const SPACES: [&str; 5] = ["team-1", "team-2", "team-3", "team-4", "team-5"];
const KINDS: &str = "vaultconnections,vaultauths,vaultstaticsecrets,hcpvaultsecretsapps";

#[test]
fn install_upgrade_rollback_and_uninstall_leave_nothing_behind() -> Result {
    if let Some(skip) = node::unavailable() {
        eprintln!("skipped: {skip}");
        return Ok(());
    }
    let cluster = Cluster::start(Options { node: true, ..Options::default() })?;
    let archive = cluster.dir().join("operator.tar");
    let tag = format!("localhost/vault-secrets-operator:{}", env!("CARGO_PKG_VERSION"));
    image::operator(Path::new(env!("CARGO_BIN_EXE_vault-secrets-operator")), &tag, &archive)?;
    cluster.import_image(&archive)?;
    let release = Release { cluster: &cluster, chart: root().join("charts/vault-secrets-operator") };

    let chart = release.chart.to_string_lossy().into_owned();
    release.helm(&["install", "vso", &chart, "--create-namespace"])?;
    for namespace in SPACES {
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    cluster.kubectl_apply(&ended_kind().to_string())?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    for namespace in SPACES {
        for object in objects(namespace) {
            cluster.kubectl_apply(&object.to_string())?;
        }
    }
    // As if the definition came from an older chart.
    let crd = "vaultauths.secrets.hashicorp.com";
    cluster.kubectl(&["label", "crd", crd, "older=true"])?;
    let description = "/spec/versions/0/schema/openAPIV3Schema/description";
    let older = json!([{ "op": "add", "path": description, "value": "older" }]).to_string();
    cluster.kubectl(&["patch", "crd", crd, "--type=json", "-p", &older])?;

    let changed = ["--set=controller.manager.logging.level=debug", "--set=externalSecrets.enabled=true"];
    release.helm(&[&["upgrade", "vso", &chart], &changed[..]].concat())?;
    let read = "jsonpath={.spec.versions[0].schema.openAPIV3Schema.description}";
    assert_ne!(cluster.kubectl(&["get", "crd", crd, "-o", read])?, "older", "the hook has not upgraded the CRDs");
    let left = release.finalizers("hcpvaultsecretsapps")?;
    assert!(left.is_empty(), "of a kind that ended: {left:?}");
    assert!(!release.finalizers(KINDS)?.is_empty(), "an upgrade is no uninstall");
    release.metrics_are_for_those_who_may()?;
    release.external_secrets_are_served()?;
    release.helm(&["test", "vso"])?;

    release.helm(&["rollback", "vso", "1"])?;
    let arguments = "jsonpath={.items[*].spec.template.spec.containers[*].args}";
    let arguments = cluster.kubectl(&["get", "deployments", "-n", NAMESPACE, "-o", arguments])?;
    assert!(arguments.contains("--zap-log-level=info"), "{arguments}");

    release.helm(&["uninstall", "vso"])?;
    cluster.kubectl(&["get", "clustersecretstore", "other"])?;
    let left = release.finalizers(KINDS)?;
    assert!(left.is_empty(), "{left:?}");
    let started = Instant::now();
    cluster.kubectl(&[&["delete", "namespace", "--timeout=60s"], &SPACES[..]].concat())?;
    eprintln!("delete of five namespaces: {:.1} s", started.elapsed().as_secs_f64());
    // Nothing of the release is left; the key of the content MACs and the Lease are the operator's and stay, as with
    // VSO.
    let kinds =
        "deployments,jobs,pods,services,serviceaccounts,configmaps,roles,rolebindings,clusterroles,clusterrolebindings";
    let left = cluster.kubectl(&["get", kinds, "-A", "-l", "app.kubernetes.io/instance=vso", "-o=name"])?;
    assert_eq!(left, "");
    Ok(())
}

struct Release<'a> {
    cluster: &'a Cluster,
    chart: PathBuf,
}

impl Release<'_> {
    /// Runs helm and says how long it took.
    fn helm(&self, arguments: &[&str]) -> Result<String> {
        let started = Instant::now();
        let always = ["--namespace", NAMESPACE];
        let wait: &[&str] = if arguments[0] == "test" { &[] } else { &["--wait"] };
        let output = self.cluster.helm(&[arguments, &always, wait, &["--timeout=3m"]].concat());
        eprintln!("helm {}: {:.1} s", arguments[0], started.elapsed().as_secs_f64());
        output.map_err(|error| {
            let pods = self.cluster.kubectl(&["get", "pods", "-A"]).unwrap_or_default();
            let logs = self.cluster.kubectl(&["logs", "-n", NAMESPACE, "-l", "job-name", "--tail=20"]);
            format!("{error:#}\n{pods}\n{}", logs.unwrap_or_default()).into()
        })
    }

    /// Objects of these kinds that still have finalizers.
    fn finalizers(&self, kinds: &str) -> Result<Vec<String>> {
        let list: Value = serde_json::from_str(&self.cluster.kubectl(&["get", kinds, "-A", "-o=json"])?)?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        assert!(items.len() >= SPACES.len(), "the objects are gone");
        let held = items.iter().filter(|item| item["metadata"]["finalizers"].is_array());
        Ok(held.map(|item| format!("{} {}", item["kind"], item["metadata"]["namespace"])).collect())
    }

    /// The upgrade has brought the definitions and the rights. The rollback takes the rights away, and no object.
    fn external_secrets_are_served(&self) -> Result {
        let store = json!({
            "apiVersion": "external-secrets.io/v1beta1", "kind": "ClusterSecretStore", "metadata": { "name": "other" },
            "spec": { "provider": { "fake": { "data": [] } } },
        });
        self.cluster.kubectl_apply(&store.to_string())?;
        let reason = "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}";
        until("the store says that its provider is not served", || {
            let said = self.cluster.kubectl(&["get", "clustersecretstore", "other", "-o", reason])?;
            Ok((said == "InvalidProviderConfig").then_some(()))
        })
    }

    /// The roles of the chart are enough for the operator to tell, and `metrics-reader` is what a scraper needs.
    fn metrics_are_for_those_who_may(&self) -> Result {
        let reader = "vso-vault-secrets-operator-metrics-reader";
        for account in ["scraper", "nobody"] {
            self.cluster.kubectl(&["create", "serviceaccount", account, "-n", NAMESPACE])?;
        }
        let subject = format!("--serviceaccount={NAMESPACE}:scraper");
        let role = format!("--clusterrole={reader}");
        self.cluster.kubectl(&["create", "clusterrolebinding", "scraper", &role, &subject])?;
        // The authorizer learns of the binding by a watch, and the operator remembers what it was told for a minute.
        let scraper = format!("--as=system:serviceaccount:{NAMESPACE}:scraper");
        until("the scraper may read metrics", || {
            Ok(self
                .cluster
                .kubectl(&["auth", "can-i", "get", "/metrics", &scraper])
                .ok()
                .filter(|said| said.trim() == "yes"))
        })?;
        let address = until("one pod", || self.address())?;
        for (account, expected) in [("scraper", "200"), ("nobody", "403")] {
            let token = self.cluster.service_account_token(NAMESPACE, account, &[])?;
            let mut curl = self.cluster.command("curl");
            curl.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H"]);
            let output = curl
                .arg(format!("Authorization: Bearer {token}"))
                .arg(format!("https://{address}:8443/metrics"))
                .output()?;
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{account}");
        }
        Ok(())
    }

    /// Of the operator's pod, when the one before the upgrade is gone: it may end a little later than helm waits.
    fn address(&self) -> Result<Option<String>> {
        let of_operator = ["get", "pods", "-n", NAMESPACE, "-l", "control-plane=controller-manager", "-o=json"];
        let list: Value = serde_json::from_str(&self.cluster.kubectl(&of_operator)?)?;
        Ok(match list["items"].as_array().map(Vec::as_slice) {
            Some([pod]) if pod["metadata"]["deletionTimestamp"].is_null() => {
                pod["status"]["podIP"].as_str().map(str::to_owned)
            }
            _ => None,
        })
    }
}

/// Looks again and again, for a minute at the longest.
fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!("{what}: not within a minute").into())
}

/// One object of each kind, with the finalizer that VSO puts on it.
fn objects(namespace: &str) -> Vec<Value> {
    let object = |kind: &str, finalizer: &str, spec: Value| {
        json!({
            "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind,
            "metadata": {
                "name": "left", "namespace": namespace,
                "finalizers": [format!("{finalizer}.secrets.hashicorp.com/finalizer")],
            },
            "spec": spec,
        })
    };
    let login = json!({ "role": "app", "serviceAccount": "app" });
    vec![
        object("VaultConnection", "vaultconnection", json!({ "address": "http://127.0.0.1:1" })),
        object("VaultAuth", "vaultauth", json!({ "method": "kubernetes", "mount": "kubernetes", "kubernetes": login })),
        object(
            "VaultStaticSecret",
            "vaultstaticsecret",
            json!({ "mount": "kv", "path": "p", "type": "kv-v2", "destination": { "name": "d", "create": true } }),
        ),
        object("HCPVaultSecretsApp", "hcpvaultsecretsapp", json!({})),
    ]
}

/// What an older VSO has left.
fn ended_kind() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "hcpvaultsecretsapps.secrets.hashicorp.com" },
        "spec": {
            "group": "secrets.hashicorp.com", "scope": "Namespaced",
            "names": { "kind": "HCPVaultSecretsApp", "plural": "hcpvaultsecretsapps" },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
