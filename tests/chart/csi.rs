//! VSO's CSI driver, which a release that is taken over may run: its objects are those of VSO's chart, so that the
//! upgrade leaves it running.

use serde_json::{Value, json};

use test_support::chart::{NAMESPACE, Result, documents, object, template};

const F: &str = "vso-vault-secrets-operator";
const ON: &str = "--set=csi.enabled=true";

fn driver(values: &[&str]) -> Result<Vec<Value>> {
    documents(&template(&[&[ON], values].concat())?)
}

fn pod(documents: &[Value]) -> Result<&Value> {
    Ok(&object(documents, "DaemonSet", "-csi-node")?["spec"]["template"])
}

fn container<'a>(pod: &'a Value, name: &str) -> Result<&'a Value> {
    let containers = pod["spec"]["containers"].as_array().ok_or("no containers")?;
    Ok(containers.iter().find(|c| c["name"] == name).ok_or_else(|| format!("no container {name}"))?)
}

#[test]
fn nothing_of_the_driver_is_there_without_it() -> Result {
    assert!(!template(&[])?.contains("csi-driver"));
    Ok(())
}

/// An upgrade patches these objects in place: their names, the selector and a CSIDriver's spec can never change.
#[test]
fn the_objects_are_those_of_vso() -> Result {
    let documents = driver(&[])?;
    let mut names: Vec<String> = documents
        .iter()
        .filter(|d| d["metadata"]["labels"]["app.kubernetes.io/component"] == "csi-driver" || name(d).contains("-csi-"))
        .map(|d| format!("{} {}", d["kind"].as_str().unwrap_or_default(), name(d).replace(F, "F")))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "CSIDriver csi.vso.hashicorp.com",
            "ClusterRole F-aggregate-role-viewer-csi-driver",
            "ClusterRole F-csi-driver-role",
            "ClusterRoleBinding F-manager-rolebinding-csi",
            "ClusterRoleBinding F-tokenreview-csi",
            "ClusterRoleBinding F-viewer-csi",
            "DaemonSet F-csi-node",
            "ServiceAccount F-csi",
        ]
    );
    let spec = &object(&documents, "CSIDriver", "csi.vso.hashicorp.com")?["spec"];
    assert_eq!(
        *spec,
        json!({
            "podInfoOnMount": true, "attachRequired": false, "requiresRepublish": false,
            "volumeLifecycleModes": ["Ephemeral"], "tokenRequests": [{ "audience": "csi.vso.hashicorp.com" }],
        })
    );
    let set = object(&documents, "DaemonSet", "-csi-node")?;
    let selector = json!({
        "app": "vault-secrets-operator-csi",
        "app.kubernetes.io/name": "vault-secrets-operator",
        "app.kubernetes.io/instance": "vso",
    });
    assert_eq!(set["spec"]["selector"]["matchLabels"], selector);
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    for (label, value) in selector.as_object().into_iter().flatten() {
        assert_eq!(labels[label], *value);
    }
    assert_eq!(set["metadata"]["namespace"], NAMESPACE);
    assert_eq!(set["spec"]["template"]["spec"]["serviceAccountName"], format!("{F}-csi"));
    Ok(())
}

fn name(document: &Value) -> &str {
    document["metadata"]["name"].as_str().unwrap_or_default()
}

#[test]
fn the_roles_are_those_of_vso() -> Result {
    let documents = driver(&[])?;
    for (binding, role) in [
        ("-manager-rolebinding-csi", format!("{F}-aggregate-role-viewer-csi-driver")),
        ("-tokenreview-csi", "system:auth-delegator".to_owned()),
        ("-viewer-csi", format!("{F}-csi-driver-role")),
    ] {
        let binding = object(&documents, "ClusterRoleBinding", binding)?;
        assert_eq!(binding["roleRef"]["name"], role);
        let account = json!([{ "kind": "ServiceAccount", "name": format!("{F}-csi"), "namespace": NAMESPACE }]);
        assert_eq!(binding["subjects"], account);
    }
    let rules = &object(&documents, "ClusterRole", "-csi-driver-role")?["rules"];
    let rule =
        |resources: &[&str], verbs: &[&str]| json!({ "apiGroups": [""], "resources": resources, "verbs": verbs });
    assert_eq!(
        *rules,
        json!([
            rule(&["pods", "serviceaccounts", "configmaps"], &["get", "list", "watch"]),
            rule(&["pods/status"], &["get"]),
            rule(&["events"], &["create", "patch"]),
            rule(&["serviceaccounts/token"], &["create", "get", "list", "watch"]),
        ])
    );
    let role = object(&documents, "ClusterRole", "-aggregate-role-viewer-csi-driver")?;
    let selectors = json!([{ "matchLabels": { "vso.hashicorp.com/aggregate-to-viewer": "true" } }]);
    assert_eq!(role["aggregationRule"]["clusterRoleSelectors"], selectors);
    Ok(())
}

#[test]
fn the_pod_is_that_of_vso() -> Result {
    let documents = driver(&[])?;
    let pod = pod(&documents)?;
    let names: Vec<&str> =
        pod["spec"]["containers"].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["node-driver-registrar", "driver", "liveness-probe"]);
    let driver = container(pod, "driver")?;
    assert_eq!(driver["image"], "hashicorp/vault-secrets-operator-csi:1.0.3");
    assert_eq!(driver["command"], json!(["/vault-secrets-operator-csi"]));
    assert_eq!(
        driver["args"],
        json!([
            "--endpoint=$(CSI_ENDPOINT)",
            "--nodeid=$(KUBE_NODE_NAME)",
            "--zap-log-level=info",
            "--zap-time-encoding=rfc3339",
            "--zap-stacktrace-level=panic",
            "--backoff-initial-interval=5s",
            "--backoff-max-interval=60s",
            "--backoff-max-elapsed-time=0s",
            "--backoff-multiplier=1.50",
            "--backoff-randomization-factor=0.50",
        ])
    );
    assert_eq!(driver["env"][0], json!({ "name": "CSI_ENDPOINT", "value": "unix:///csi/csi.sock" }));
    assert_eq!(driver["env"][1]["name"], "KUBE_NODE_NAME");
    assert_eq!(driver["securityContext"]["privileged"], true);
    let mounts: Vec<(&str, &str)> = driver["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| Some((m["name"].as_str()?, m["mountPath"].as_str()?)))
        .collect();
    assert_eq!(
        mounts,
        [
            ("plugin-dir", "/csi"),
            ("mountpoint-dir", "/var/lib/kubelet/pods"),
            ("providers-dir", "/var/run/vso-csi"),
            ("podinfo", "/var/run/podinfo"),
        ]
    );
    assert_eq!(driver["volumeMounts"][1]["mountPropagation"], "Bidirectional");
    let registrar = container(pod, "node-driver-registrar")?;
    let socket = "--kubelet-registration-path=/var/lib/kubelet/plugins/vso-csi/csi.sock";
    assert_eq!(registrar["args"], json!(["--v=5", "--csi-address=/csi/csi.sock", socket]));
    assert_eq!(registrar["image"], "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.14.0");
    let probe = container(pod, "liveness-probe")?;
    assert_eq!(probe["image"], "registry.k8s.io/sig-storage/livenessprobe:v2.16.0");
    let paths: Vec<(&str, &str)> = pod["spec"]["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|v| Some((v["name"].as_str()?, v["hostPath"]["path"].as_str()?)))
        .collect();
    assert_eq!(
        paths,
        [
            ("mountpoint-dir", "/var/lib/kubelet/pods"),
            ("registration-dir", "/var/lib/kubelet/plugins_registry/"),
            ("plugin-dir", "/var/lib/kubelet/plugins/vso-csi/"),
            ("providers-dir", "/var/run/vso-csi-providers"),
        ]
    );
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "kubernetes.io/os": "linux" }));
    assert_eq!(pod["spec"]["tolerations"], json!([{ "operator": "Exists" }]));
    Ok(())
}

#[test]
fn what_the_driver_needs_is_added_to_what_is_set() -> Result {
    let documents = driver(&[
        "--set=csi.nodeSelector.disk=ssd,csi.driver.securityContext.privileged=false",
        "--set-json=csi.tolerations=[{\"key\":\"a\",\"operator\":\"Equal\",\"value\":\"b\"}]",
        "--set-json=csi.driver.extraArgs=[\"--zap-log-level=debug\"]",
    ])?;
    let pod = pod(&documents)?;
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "disk": "ssd", "kubernetes.io/os": "linux" }));
    assert_eq!(pod["spec"]["tolerations"][1], json!({ "operator": "Exists" }));
    let driver = container(pod, "driver")?;
    assert_eq!(driver["securityContext"]["privileged"], true);
    let levels = driver["args"].as_array().into_iter().flatten().filter(|a| a.to_string().contains("zap-log-level"));
    assert_eq!(levels.collect::<Vec<_>>(), ["--zap-log-level=debug"]);
    Ok(())
}
