//! `hack/check-migration`, and a Helm release that is taken over.

use std::process::Output;

use serde_json::{Value, json};
use testenv::{Cluster, Options};

use test_support::chart::{CHART, Result, path};

/// A release with the names, labels and selectors of VSO 1.4.1 (two containers, an HTTPS port), as far as an upgrade
/// meets them. Nothing runs: there are no replicas.
const RELEASE: &str = r"
apiVersion: v1
kind: ServiceAccount
metadata: { name: vso-vault-secrets-operator-controller-manager }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: vso-vault-secrets-operator-controller-manager }
spec:
  replicas: 0
  selector:
    matchLabels: &labels
      app.kubernetes.io/name: vault-secrets-operator
      app.kubernetes.io/instance: vso
      control-plane: controller-manager
  template:
    metadata: { labels: *labels }
    spec:
      serviceAccountName: vso-vault-secrets-operator-controller-manager
      containers:
        - name: kube-rbac-proxy
          image: quay.io/brancz/kube-rbac-proxy:v0.18.1
          ports: [{ name: https, containerPort: 8443, protocol: TCP }]
        - { name: manager, image: 'hashicorp/vault-secrets-operator:1.4.1', args: [--leader-elect] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: vso-vault-secrets-operator-manager-rolebinding }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: vso-vault-secrets-operator-manager-role }
subjects: [{ kind: ServiceAccount, name: vso-vault-secrets-operator-controller-manager, namespace: vso }]
---
apiVersion: v1
kind: Service
metadata: { name: vso-vault-secrets-operator-metrics-service }
spec:
  ports: [{ name: https, port: 8443, protocol: TCP, targetPort: https }]
  selector:
    app.kubernetes.io/name: vault-secrets-operator
    app.kubernetes.io/instance: vso
    control-plane: controller-manager
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: vso-vault-secrets-operator-csi }
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: { name: csi.vso.hashicorp.com }
spec:
  podInfoOnMount: true
  attachRequired: false
  requiresRepublish: false
  volumeLifecycleModes: [Ephemeral]
  tokenRequests: [{ audience: csi.vso.hashicorp.com }]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: vso-vault-secrets-operator-csi-node }
spec:
  selector:
    matchLabels: &driver
      app: vault-secrets-operator-csi
      app.kubernetes.io/name: vault-secrets-operator
      app.kubernetes.io/instance: vso
  template:
    metadata: { labels: *driver }
    spec:
      serviceAccountName: vso-vault-secrets-operator-csi
      containers: [{ name: driver, image: 'hashicorp/vault-secrets-operator-csi:1.0.3' }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: vso-vault-secrets-operator-viewer-csi }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: vso-vault-secrets-operator-csi-driver-role }
subjects: [{ kind: ServiceAccount, name: vso-vault-secrets-operator-csi, namespace: vso }]
";

/// What the CSI driver of the release is made of, as far as an upgrade could take it away.
const DRIVER: [&str; 4] = [
    "csidriver/csi.vso.hashicorp.com",
    "daemonset/vso-vault-secrets-operator-csi-node",
    "serviceaccount/vso-vault-secrets-operator-csi",
    "clusterrolebinding/vso-vault-secrets-operator-viewer-csi",
];

const DEPLOYMENT: &str = "deployment/vso-vault-secrets-operator-controller-manager";

/// A cluster that is to be taken over.
struct Taken(Cluster);

impl Taken {
    /// A cluster with the definitions and that release.
    fn start() -> Result<Self> {
        let cluster = Cluster::start(Options::default())?;
        let old = cluster.dir().join("old");
        std::fs::create_dir_all(old.join("templates"))?;
        let about = "apiVersion: v2\nname: vault-secrets-operator\nversion: 1.4.1\nappVersion: 1.4.1\n";
        std::fs::write(old.join("Chart.yaml"), about)?;
        std::fs::write(old.join("templates/all.yaml"), RELEASE)?;
        std::fs::write(old.join("values.yaml"), "controller: { replicas: 1 }\n")?;
        cluster.kubectl(&["create", "-f", &path("crds").to_string_lossy()])?;
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
        let values = path(CHART).join("ci/vso-14-defaults-values.yaml");
        let values = format!("--values={}", values.display());
        let driver = "--set=csi.enabled=true";
        cluster.helm(&["install", "vso", &old.to_string_lossy(), "-n=vso", "--create-namespace", &values, driver])?;
        Ok(Self(cluster))
    }

    fn check(&self) -> Result<(Option<i32>, String)> {
        let Output { status, stdout, .. } = self.check_release("vso")?;
        Ok((status.code(), String::from_utf8(stdout)?))
    }

    fn check_release(&self, release: &str) -> Result<Output> {
        Ok(self.0.command(path("hack/check-migration")).args([release, "vso"]).output()?)
    }

    fn get(&self, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.0.kubectl(&["get", "-n=vso", "-o=json", name])?)?)
    }

    fn deployment(&self) -> Result<Value> {
        self.get(DEPLOYMENT)
    }

    /// UIDs of the driver's objects.
    fn driver(&self) -> Result<Vec<Value>> {
        DRIVER.iter().map(|name| Ok(self.get(name)?["metadata"]["uid"].clone())).collect()
    }
}

/// The Deployment stays the object that it is, the sidecar goes, and a rollback brings all of it back.
#[test]
fn a_release_of_vso_is_taken_over_and_given_back() -> Result {
    let cluster = Taken::start()?;
    let before = cluster.deployment()?;
    let driver = cluster.driver()?;
    let chart = path(CHART);
    // No node, so neither pods nor hooks can run.
    let values = ["--reset-then-reuse-values", "--set=controller.replicas=0", "--no-hooks"];
    let notes = cluster.0.helm(&[&["upgrade", "vso", &chart.to_string_lossy(), "-n=vso"], &values[..]].concat())?;
    for said in
        ["controller.kubeRbacProxy: there is no such container", "controller.manager.image: names the image of VSO"]
    {
        assert!(notes.contains(said), "{said:?} is missing in\n{notes}");
    }
    let ours = cluster.deployment()?;
    assert_eq!(ours["metadata"]["uid"], before["metadata"]["uid"]);
    let containers = &ours["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(1));
    assert_eq!(containers[0]["name"], "manager");
    assert_eq!(containers[0]["image"], format!("localhost/vault-secrets-operator:{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(cluster.driver()?, driver, "the driver goes on running");

    cluster.0.helm(&["rollback", "vso", "1", "-n=vso", "--no-hooks"])?;
    let back = cluster.deployment()?;
    assert_eq!(back["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(back["spec"]["template"], before["spec"]["template"]);
    assert_eq!(cluster.driver()?, driver);
    Ok(())
}

#[test]
fn the_check_before_the_switch_finds_what_has_to_be_decided() -> Result {
    let cluster = Taken::start()?;
    let key = ["create", "secret", "generic", "vso-cc-storage-hmac-key", "-n=vso"];
    cluster.0.kubectl(&key)?;
    let (code, text) = cluster.check()?;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("LOOK"), "{text}");

    let Output { status, stderr, .. } = cluster.check_release("another")?;
    let text = String::from_utf8(stderr)?;
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("release: not found") && text.contains("helm list"), "{text}");

    cluster.0.kubectl(&["delete", "secret", "vso-cc-storage-hmac-key", "-n=vso"])?;
    let object = |kind: &str, name: &str, finalizers: &[&str], spec: Value| {
        let object = json!({
            "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind,
            "metadata": { "name": name, "namespace": "default", "finalizers": finalizers }, "spec": spec,
        });
        cluster.0.kubectl_apply(&object.to_string())
    };
    let spec = json!({ "mount": "kv", "path": "p", "type": "kv-v2", "destination": { "name": "d" } });
    object("VaultStaticSecret", "unsynced", &[], spec)?;
    let leased = json!({ "mount": "db", "path": "creds/app", "destination": { "name": "l" } });
    object("VaultDynamicSecret", "leased", &[], leased)?;
    let path_of_id =
        json!({ "method": "appRole", "mount": "approle", "appRole": { "roleId": "r", "secretIDPath": "/x" } });
    object("VaultAuth", "path", &[], path_of_id)?;
    let address = json!({ "address": "http://vault" });
    object("VaultConnection", "stuck", &["vaultconnection.secrets.hashicorp.com/finalizer"], address)?;
    cluster.0.kubectl(&["delete", "vaultconnection", "stuck", "--wait=false"])?;
    let (code, text) = cluster.check()?;
    assert_eq!(code, Some(1), "{text}");
    for found in [
        "VaultStaticSecret default/unsynced",
        "VaultDynamicSecret default/leased",
        "VaultAuth default/path",
        "VaultConnection default/stuck",
        "vso-cc-storage-hmac-key is missing",
    ] {
        assert!(text.contains(found), "{found:?} is missing in\n{text}");
    }
    Ok(())
}
