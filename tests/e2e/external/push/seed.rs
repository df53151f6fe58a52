//! The tutorial on Secrets that live in several clusters: a Secret of the cluster Platform is copied to another
//! namespace there, and pushed to the clusters Dev and Prod, so that these do not depend on Platform.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testenv::{AuditEvent, Cluster, Marker, Options, Process};

use super::super::SERVED;
use test_support::audit::{Count, describe};
use test_support::{NO_ELECTION, Tenant, eventually, own};

const SECRET: &str = "harbor-credentials";

fn apply(cluster: &Cluster, manifest: &str) {
    cluster.kubectl_apply(manifest).expect("it is accepted");
}

fn get(cluster: &Cluster, kind: &str, name: &str, namespace: &str) -> Result<Value, String> {
    let args = ["get", kind, name, "--namespace", namespace, "--output=json"];
    let found = cluster.kubectl(&args).map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&found).unwrap())
}

fn value(cluster: &Cluster, secret: &str, namespace: &str, key: &str) -> Result<String, String> {
    let secret = get(cluster, "secret", secret, namespace)?;
    let encoded = secret["data"][key].as_str().ok_or_else(|| format!("no key {key}"))?;
    Ok(String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap())
}

#[track_caller]
fn wait_password(cluster: &Cluster, secret: &str, namespace: &str, password: &str) {
    eventually(&format!("{secret} in {namespace} is {password}"), || {
        match value(cluster, secret, namespace, "password") {
            Ok(found) if found == password => Ok(()),
            Ok(found) => Err(found),
            Err(error) => Err(error),
        }
    });
}

fn namespace(cluster: &Cluster, name: &str) {
    apply(cluster, &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string());
}

/// The first step of the tutorial: who pushes, and what it may do in the target.
fn prepare_target(cluster: &Cluster) {
    namespace(cluster, "registry");
    apply(
        cluster,
        r#"
apiVersion: v1
kind: ServiceAccount
metadata:
  name: eso-service-account
  namespace: registry
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  namespace: registry
  name: eso-role
rules:
- apiGroups: [""]
  resources:
  - secrets
  verbs:
  - get
  - list
  - watch
  - create
  - update
  - delete
  - patch
- apiGroups:
  - authorization.k8s.io
  resources:
  - selfsubjectrulesreviews
  verbs:
  - create
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: eso-role-binding
  namespace: registry
subjects:
  - kind: ServiceAccount
    name: eso-service-account
    namespace: registry
roleRef:
  kind: Role
  name: eso-role
  apiGroup: rbac.authorization.k8s.io
"#,
    );
    new_token(cluster, "eso-token");
}

/// Has Kubernetes make a token of the account.
fn new_token(cluster: &Cluster, name: &str) {
    apply(
        cluster,
        &format!(
            r#"
apiVersion: v1
kind: Secret
metadata:
  name: {name}
  namespace: registry
  annotations:
    kubernetes.io/service-account.name: "eso-service-account"
type: kubernetes.io/service-account-token
"#
        ),
    );
}

/// Copies the token to Platform, as the tutorial does by hand: as a Secret of type Opaque.
fn copy_token(from: &Cluster, name: &str, platform: &Cluster, as_name: &str) {
    let token = eventually("there is a token", || value(from, name, "registry", "token"));
    let ca = value(from, name, "registry", "ca.crt").unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": as_name, "namespace": "registry" }, "type": "Opaque",
        "stringData": { "token": token, "ca.crt": ca },
    });
    apply(platform, &secret.to_string());
}

/// The second step: the store of a target, and what is pushed there.
fn push_to(platform: &Cluster, target: &Cluster, name: &str) {
    apply(
        platform,
        &format!(
            r#"
apiVersion: external-secrets.io/v1beta1
kind: SecretStore
metadata:
  name: registry-secret-store-{name}
  namespace: registry
spec:
  provider:
    kubernetes:
      remoteNamespace: registry
      server:
        url: {url}
        caProvider:
          type: Secret
          name: eso-token-{name}
          key: ca.crt
      auth:
        token:
          bearerToken:
            name: eso-token-{name}
            key: token
---
apiVersion: external-secrets.io/v1alpha1
kind: PushSecret
metadata:
  name: push-{SECRET}-to-{name}
  namespace: registry
spec:
  updatePolicy: Replace
  deletionPolicy: None
  refreshInterval: 1h
  secretStoreRefs:
    - name: registry-secret-store-{name}
      kind: SecretStore
  selector:
    secret:
      name: {SECRET}
  data:
    - match:
        remoteRef:
          remoteKey: {SECRET}
"#,
            url = target.api_server_url()
        ),
    );
}

fn copy_to_idp(platform: &Cluster) {
    // Kubernetes makes it where there is a node.
    let ca = std::fs::read_to_string(platform.certificate_authority()).unwrap();
    let ca = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kube-root-ca.crt", "namespace": "registry" },
        "data": { "ca.crt": ca },
    });
    apply(platform, &ca.to_string());
    apply(
        platform,
        &format!(
            r#"
apiVersion: external-secrets.io/v1beta1
kind: ClusterSecretStore
metadata:
  name: registry-secret-store
spec:
  provider:
    kubernetes:
      remoteNamespace: registry
      server:
        url: {url}
        caProvider:
          type: ConfigMap
          name: kube-root-ca.crt
          key: ca.crt
          namespace: registry
      auth:
        serviceAccount:
          name: external-secrets
          namespace: argocd
---
apiVersion: external-secrets.io/v1beta1
kind: ExternalSecret
metadata:
  name: pull-{SECRET}
  namespace: idp
spec:
  refreshInterval: 1h
  secretStoreRef:
    name: registry-secret-store
    kind: ClusterSecretStore
  target:
    name: {SECRET}
  dataFrom:
    - extract:
        key: {SECRET}
"#,
            url = platform.api_server_url()
        ),
    );
}

/// Harbor makes another password.
fn rotate(platform: &Cluster, password: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET, "namespace": "registry" },
        "stringData": { "user": "robot", "password": password },
    });
    apply(platform, &secret.to_string());
}

#[track_caller]
fn wait_ready(platform: &Cluster, name: &str, status: &str, text: &str) {
    eventually(&format!("{name} is {status} with {text:?}"), || {
        let object = get(platform, "pushsecret", name, "registry")?;
        let ready = &object["status"]["conditions"][0];
        let fits = ready["status"] == status && ready["message"].as_str().is_some_and(|m| m.contains(text));
        if fits { Ok(()) } else { Err(object["status"].to_string()) }
    });
}

/// What the account of the tutorial has asked of a target since.
fn requests(target: &Cluster, since: Marker) -> Vec<AuditEvent> {
    let (events, _) = target.kube_audit_since(since).unwrap();
    let user = "system:serviceaccount:registry:eso-service-account";
    events.into_iter().filter(|event| event.user == user && event.verb != "watch").collect()
}

#[test]
fn seed_001_a_secret_lives_in_several_clusters() {
    let platform = own(Options::default());
    let (dev, prod) = std::thread::scope(|scope| {
        let start = || Cluster::start(Options::default()).expect("a cluster");
        let dev = scope.spawn(start);
        let prod = scope.spawn(start);
        (dev.join().expect("Dev"), prod.join().expect("Prod"))
    });
    let tenant = Tenant::serving_all(&platform, "seed");
    for name in ["registry", "idp", "argocd"] {
        namespace(&platform, name);
    }
    platform.kubectl(&["create", "serviceaccount", "external-secrets", "--namespace=argocd"]).unwrap();
    let binding = ["create", "rolebinding", "external-secrets", "--namespace=registry", "--clusterrole=admin"];
    platform.kubectl(&[&binding[..], &["--serviceaccount=argocd:external-secrets"]].concat()).unwrap();
    rotate(&platform, "first-right");
    let _operator = tenant.operator(&[SERVED, &NO_ELECTION].concat());

    copy_to_idp(&platform);
    for (name, target) in [("dev", &dev), ("prod", &prod)] {
        prepare_target(target);
        copy_token(target, "eso-token", &platform, &format!("eso-token-{name}"));
        push_to(&platform, target, name);
    }
    let everywhere = json!({
        "apiVersion": "external-secrets.io/v1alpha1", "kind": "PushSecret",
        "metadata": { "name": "everywhere", "namespace": "registry" },
        "spec": {
            "secretStoreRefs": [{ "name": "registry-secret-store-dev" }, { "name": "registry-secret-store-prod" }],
            "selector": { "secret": { "name": SECRET } },
            "data": [{ "match": { "remoteRef": { "remoteKey": "everywhere" } } }],
        },
    });
    apply(&platform, &everywhere.to_string());
    wait_password(&platform, SECRET, "idp", "first-right");
    for target in [&dev, &prod] {
        wait_password(target, SECRET, "registry", "first-right");
        wait_password(target, "everywhere", "registry", "first-right");
    }
    let to_dev = format!("push-{SECRET}-to-dev");
    wait_ready(&platform, &to_dev, "True", "PushSecret synced successfully");

    one_rotation_costs(&tenant, &dev, &prod);

    // Dev goes down: Prod and idp do not notice. It comes back, and gets what it has missed.
    dev.stop(Process::ApiServer).unwrap();
    rotate(&platform, "third-right");
    wait_password(&prod, SECRET, "registry", "third-right");
    wait_password(&prod, "everywhere", "registry", "third-right");
    wait_password(&platform, SECRET, "idp", "third-right");
    let text = "to target secretstore registry-secret-store-dev";
    wait_ready(&platform, &to_dev, "False", text);
    wait_ready(&platform, "everywhere", "False", text);
    dev.start_again(Process::ApiServer).unwrap();
    wait_password(&dev, SECRET, "registry", "third-right");
    wait_password(&dev, "everywhere", "registry", "third-right");
    wait_ready(&platform, &to_dev, "True", "PushSecret synced successfully");

    // Platform goes down: Dev keeps what it has. Platform comes back, and goes on.
    platform.stop(Process::ApiServer).unwrap();
    assert_eq!(value(&dev, SECRET, "registry", "password").unwrap(), "third-right");
    platform.start_again(Process::ApiServer).unwrap();
    rotate(&platform, "fourth-right");
    wait_password(&dev, SECRET, "registry", "fourth-right");
    wait_password(&platform, SECRET, "idp", "fourth-right");

    // The token of the target is rotated: the old one is refused until the new one is in its place.
    new_token(&dev, "eso-token-next");
    dev.kubectl(&["delete", "secret", "eso-token", "--namespace=registry"]).unwrap();
    eventually("the old token is refused", || {
        rotate(&platform, &format!("fifth-{:?}", Instant::now()));
        let object = get(&platform, "pushsecret", &to_dev, "registry")?;
        let ready = &object["status"]["conditions"][0];
        if ready["status"] == "False" { Ok(()) } else { Err(object["status"].to_string()) }
    });
    wait_ready(&platform, &to_dev, "False", "Unauthorized");
    copy_token(&dev, "eso-token-next", &platform, "eso-token-dev");
    rotate(&platform, "last-right");
    for target in [&dev, &prod] {
        wait_password(target, SECRET, "registry", "last-right");
        wait_password(target, "everywhere", "registry", "last-right");
    }
    wait_ready(&platform, &to_dev, "True", "PushSecret synced successfully");
}

/// A rotation is one read and one write for each Secret of a target. Platform is asked for what is pushed, and told of
/// it.
fn one_rotation_costs(tenant: &Tenant<'_>, dev: &Cluster, prod: &Cluster) {
    let platform = tenant.cluster;
    let count = Count::start(tenant);
    let markers = [dev, prod].map(|target| (target, target.kube_audit_marker().unwrap()));
    let began = Instant::now();
    rotate(platform, "second-right");
    for target in [dev, prod] {
        wait_password(target, SECRET, "registry", "second-right");
        wait_password(target, "everywhere", "registry", "second-right");
    }
    wait_password(platform, SECRET, "idp", "second-right");
    println!("a rotation has arrived in idp, Dev and Prod after {:?}", began.elapsed());
    let asked = count.requests();
    println!("requests to Platform for one rotation (3 PushSecrets, 1 ExternalSecret): {}", asked.len());
    println!("{}", describe(&asked));
    for (target, marker) in markers {
        let asked: Vec<AuditEvent> = requests(target, marker).into_iter().filter(|e| e.resource == "secrets").collect();
        println!("requests to a target for one rotation of 2 Secrets: {}", asked.len());
        println!("{}", describe(&asked));
        let of = |verb: &str| asked.iter().filter(|event| event.verb == verb).count();
        assert_eq!((of("get"), of("update"), asked.len()), (2, 2, 4), "{}", describe(&asked));
    }
}
