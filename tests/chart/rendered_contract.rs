//! What people and their scripts rely on: which file renders what in which order, names, labels, selectors, positions
//! of arguments, and rights. All as VSO's chart has it, so that an upgrade from there changes objects in place.

use serde_json::{Value, json};

use test_support::chart::{NAMESPACE, Result, documents, files, object, template};

const F: &str = "vso-vault-secrets-operator";

/// Kind and name of a document.
type Document = (&'static str, &'static str);

/// Template files and their documents. `F` in a name is the full name of the release.
const FILES: &[(&str, &[Document])] = &[
    (
        "deployment.yaml",
        &[("ServiceAccount", "F-controller-manager"), ("Deployment", "F-controller-manager"), ("Job", "pdcc-F")],
    ),
    ("cluster-role-binding.yaml", &[("ClusterRoleBinding", "F-manager-rolebinding")]),
    ("role.yaml", &[("ClusterRole", "F-manager-role")]),
    (
        "leader-election-rbac.yaml",
        &[("Role", "F-leader-election-role"), ("RoleBinding", "F-leader-election-rolebinding")],
    ),
    ("proxy-rbac.yaml", &[("ClusterRole", "F-proxy-role"), ("ClusterRoleBinding", "F-proxy-rolebinding")]),
    ("metrics-reader-rbac.yaml", &[("ClusterRole", "F-metrics-reader")]),
    ("manager-config.yaml", &[("ConfigMap", "F-manager-config")]),
    ("metrics-service.yaml", &[("Service", "F-metrics-service")]),
    (
        "hook-upgrade-crds.yaml",
        &[
            ("ServiceAccount", "F-upgrade-crds"),
            ("ClusterRole", "F-upgrade-crds"),
            ("ClusterRoleBinding", "F-upgrade-crds"),
            ("Job", "upgrade-crds-F"),
        ],
    ),
    ("csisecrets_editor_role.yaml", &[("ClusterRole", "F-csisecrets-editor-role")]),
    ("csisecrets_viewer_role.yaml", &[("ClusterRole", "F-csisecrets-viewer-role")]),
    ("secrettransformation_editor_role.yaml", &[("ClusterRole", "F-secrettransformation-editor-role")]),
    ("secrettransformation_viewer_role.yaml", &[("ClusterRole", "F-secrettransformation-viewer-role")]),
    ("vaultauth_editor_role.yaml", &[("ClusterRole", "F-vaultauth-editor-role")]),
    ("vaultauth_viewer_role.yaml", &[("ClusterRole", "F-vaultauth-viewer-role")]),
    ("vaultauthglobal_editor_role.yaml", &[("ClusterRole", "F-vaultauthglobal-editor-role")]),
    ("vaultauthglobal_viewer_role.yaml", &[("ClusterRole", "F-vaultauthglobal-viewer-role")]),
    ("vaultconnection_editor_role.yaml", &[("ClusterRole", "F-vaultconnection-editor-role")]),
    ("vaultconnection_viewer_role.yaml", &[("ClusterRole", "F-vaultconnection-viewer-role")]),
    ("vaultdynamicsecret_editor_role.yaml", &[("ClusterRole", "F-vaultdynamicsecret-editor-role")]),
    ("vaultdynamicsecret_viewer_role.yaml", &[("ClusterRole", "F-vaultdynamicsecret-viewer-role")]),
    ("vaultpkisecret_editor_role.yaml", &[("ClusterRole", "F-vaultpki-editor-role")]),
    ("vaultpkisecret_viewer_role.yaml", &[("ClusterRole", "F-vaultpki-viewer-role")]),
    ("vaultstaticsecret_editor_role.yaml", &[("ClusterRole", "F-vaultstaticsecret-editor-role")]),
    ("vaultstaticsecret_viewer_role.yaml", &[("ClusterRole", "F-vaultstaticsecret-viewer-role")]),
    ("externalsecret_editor_role.yaml", &[("ClusterRole", "F-externalsecret-editor-role")]),
    ("externalsecret_viewer_role.yaml", &[("ClusterRole", "F-externalsecret-viewer-role")]),
    ("pushsecret_editor_role.yaml", &[("ClusterRole", "F-pushsecret-editor-role")]),
    ("pushsecret_viewer_role.yaml", &[("ClusterRole", "F-pushsecret-viewer-role")]),
    ("secretstore_editor_role.yaml", &[("ClusterRole", "F-secretstore-editor-role")]),
    ("secretstore_viewer_role.yaml", &[("ClusterRole", "F-secretstore-viewer-role")]),
    ("clustersecretstore_editor_role.yaml", &[("ClusterRole", "F-clustersecretstore-editor-role")]),
    ("clustersecretstore_viewer_role.yaml", &[("ClusterRole", "F-clustersecretstore-viewer-role")]),
    ("clusterexternalsecret_editor_role.yaml", &[("ClusterRole", "F-clusterexternalsecret-editor-role")]),
    ("clusterexternalsecret_viewer_role.yaml", &[("ClusterRole", "F-clusterexternalsecret-viewer-role")]),
    ("clusterpushsecret_editor_role.yaml", &[("ClusterRole", "F-clusterpushsecret-editor-role")]),
    ("clusterpushsecret_viewer_role.yaml", &[("ClusterRole", "F-clusterpushsecret-viewer-role")]),
    (
        "external-secrets-crds.yaml",
        &[
            ("CustomResourceDefinition", "clusterexternalsecrets.external-secrets.io"),
            ("CustomResourceDefinition", "clusterpushsecrets.external-secrets.io"),
            ("CustomResourceDefinition", "clustersecretstores.external-secrets.io"),
            ("CustomResourceDefinition", "externalsecrets.external-secrets.io"),
            ("CustomResourceDefinition", "pushsecrets.external-secrets.io"),
            ("CustomResourceDefinition", "secretstores.external-secrets.io"),
            ("CustomResourceDefinition", "passwords.generators.external-secrets.io"),
            ("CustomResourceDefinition", "uuids.generators.external-secrets.io"),
            ("CustomResourceDefinition", "vaultdynamicsecrets.generators.external-secrets.io"),
        ],
    ),
    ("clusterrole-aggregated-viewer.yaml", &[("ClusterRole", "F-aggregate-role-viewer")]),
    ("clusterrole-aggregated-editor.yaml", &[("ClusterRole", "F-aggregate-role-editor")]),
    ("default-vault-connection.yaml", &[("VaultConnection", "default")]),
    ("default-vault-auth-method.yaml", &[("VaultAuth", "default")]),
    ("default-transit-auth-method.yaml", &[("VaultAuth", "F-default-transit-auth")]),
    ("poddisruptionbudget.yaml", &[("PodDisruptionBudget", "F")]),
    ("prometheus-servicemonitor.yaml", &[("ServiceMonitor", "F-controller-manager-metrics-monitor")]),
    ("tests/test-runner.yaml", &[("Pod", "F-test")]),
    (
        "csi-driver.yaml",
        &[("ServiceAccount", "F-csi"), ("DaemonSet", "F-csi-node"), ("CSIDriver", "csi.vso.hashicorp.com")],
    ),
    ("cluster-role-csi-driver.yaml", &[("ClusterRole", "F-csi-driver-role")]),
    (
        "cluster-role-binding-csi-driver.yaml",
        &[
            ("ClusterRoleBinding", "F-manager-rolebinding-csi"),
            ("ClusterRoleBinding", "F-tokenreview-csi"),
            ("ClusterRoleBinding", "F-viewer-csi"),
        ],
    ),
    ("clusterrole-aggregated-viewer-csi-driver.yaml", &[("ClusterRole", "F-aggregate-role-viewer-csi-driver")]),
];

/// Values with which all of them are rendered.
const EVERYTHING: &[&str] = &[
    "--set=controller.replicas=2",
    "--set=controller.podDisruptionBudget.enabled=true,controller.podDisruptionBudget.minAvailable=1",
    "--set-json=controller.rbac.clusterRoleAggregation.viewerRoles=[\"*\"]",
    "--set-json=controller.rbac.clusterRoleAggregation.editorRoles=[\"VaultPKISecret\"]",
    "--set=defaultVaultConnection.enabled=true,defaultVaultConnection.address=https://vault.example",
    "--set=defaultAuthMethod.enabled=true,telemetry.serviceMonitor.enabled=true",
    "--set=controller.manager.clientCache.persistenceModel=direct-encrypted",
    "--set=controller.manager.clientCache.storageEncryption.keyName=key",
    "--set=controller.manager.clientCache.storageEncryption.transitMount=transit",
    "--set=csi.enabled=true",
    "--set=externalSecrets.enabled=true",
];

fn everything() -> Result<Vec<Value>> {
    documents(&template(EVERYTHING)?)
}

/// One rendering, taken apart by the comments that helm puts before each document.
#[test]
fn files_render_their_documents_in_order() -> Result {
    let rendered = template(EVERYTHING)?;
    for (file, expected) in FILES {
        let alone = template(&[EVERYTHING, &[&format!("--show-only=templates/{file}")]].concat())
            .map_err(|e| format!("{file} alone: {e}"))?;
        let found = documents(&alone)?;
        let found: Vec<(&str, &str)> =
            found.iter().filter_map(|d| Some((d["kind"].as_str()?, d["metadata"]["name"].as_str()?))).collect();
        let expected: Vec<(&str, String)> = expected.iter().map(|(kind, n)| (*kind, n.replace('F', F))).collect();
        let expected: Vec<(&str, &str)> = expected.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
        assert_eq!(found, expected, "{file}");
    }
    let sources = rendered.lines().filter_map(|l| l.strip_prefix("# Source: vault-secrets-operator/templates/"));
    for file in sources {
        assert!(FILES.iter().any(|(known, ..)| *known == file), "{file} is in no list");
    }
    Ok(())
}

/// People patch the arguments by position.
#[test]
fn arguments_keep_their_order() -> Result {
    let documents = everything()?;
    let manager = manager(&documents)?;
    let expected = json!([
        "--health-probe-bind-address=:8081",
        "--metrics-bind-address=:8443",
        "--leader-elect",
        "--global-vault-auth-options=allow-default-globals",
        "--backoff-initial-interval=5s",
        "--backoff-max-interval=60s",
        "--backoff-max-elapsed-time=0s",
        "--backoff-multiplier=1.50",
        "--backoff-randomization-factor=0.50",
        "--zap-log-level=info",
        "--zap-time-encoding=rfc3339",
        "--zap-stacktrace-level=panic",
        "--external-secrets",
        "--external-secrets-class=default",
        "--cluster-external-secrets",
        "--cluster-push-secrets",
    ]);
    let mut arguments = manager["args"].as_array().cloned().unwrap_or_default();
    arguments.retain(|a| a != "--metrics-secure" && a != "--client-cache-persistence-model=direct-encrypted");
    assert_eq!(Value::from(arguments), expected);
    assert_eq!(manager["command"], json!(["/vault-secrets-operator"]));
    let all = [
        "--set=controller.manager.clientCache.persistenceModel=none,controller.manager.clientCache.cacheSize=1",
        "--set=controller.manager.clientCache.numLocks=2,controller.manager.maxConcurrentReconciles=3",
        "--set=controller.manager.globalTransformationOptions.excludeRaw=true",
        "--set-json=controller.manager.extraArgs=[\"--zap-encoder=console\"]",
        "--set=controller.manager.kubeClient.qps=4,controller.manager.kubeClient.burst=5",
    ];
    let documents = self::documents(&template(&all)?)?;
    let arguments = self::manager(&documents)?["args"].as_array().ok_or("no arguments")?;
    let names = arguments.iter().filter_map(Value::as_str).map(|a| a.split('=').next().unwrap_or(a));
    let names: Vec<&str> = names.filter(|name| *name != "--metrics-secure").collect();
    let expected = [
        "--health-probe-bind-address",
        "--metrics-bind-address",
        "--leader-elect",
        "--client-cache-persistence-model",
        "--client-cache-size",
        "--client-cache-num-locks",
        "--max-concurrent-reconciles",
        "--global-transformation-options",
        "--global-vault-auth-options",
        "--backoff-initial-interval",
        "--backoff-max-interval",
        "--backoff-max-elapsed-time",
        "--backoff-multiplier",
        "--backoff-randomization-factor",
        "--zap-log-level",
        "--zap-time-encoding",
        "--zap-stacktrace-level",
        "--zap-encoder",
        "--kube-client-qps",
        "--kube-client-burst",
    ];
    assert_eq!(names, expected);
    Ok(())
}

fn manager(documents: &[Value]) -> Result<&Value> {
    let containers = &object(documents, "Deployment", "-controller-manager")?["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_array().map(Vec::len), Some(1), "more than one container");
    assert_eq!(containers[0]["name"], "manager");
    Ok(&containers[0])
}

/// The selector of a Deployment cannot be changed: another one would need the Deployment to be deleted first. And what
/// the Service selects must be the operator, not a pod of a hook.
#[test]
fn selectors_are_those_of_vso_and_select_the_operator_only() -> Result {
    let documents = everything()?;
    let selector = json!({
        "app.kubernetes.io/name": "vault-secrets-operator",
        "app.kubernetes.io/instance": "vso",
        "control-plane": "controller-manager",
    });
    let deployment = object(&documents, "Deployment", "-controller-manager")?;
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
    assert_eq!(object(&documents, "Service", "-metrics-service")?["spec"]["selector"], selector);
    let budget = object(&documents, "PodDisruptionBudget", F)?;
    assert_eq!(budget["spec"]["selector"]["matchLabels"], selector);
    let monitor = object(&documents, "ServiceMonitor", "-metrics-monitor")?;
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], selector);
    let service = object(&documents, "Service", "-metrics-service")?;
    assert_eq!(service["metadata"]["labels"]["control-plane"], "controller-manager", "the monitor selects by it");
    for document in &documents {
        let pod = match document["kind"].as_str() {
            Some("Job") => &document["spec"]["template"],
            Some("Pod") => document,
            _ => continue,
        };
        assert_eq!(pod["metadata"]["labels"]["control-plane"], Value::Null, "{}", document["metadata"]["name"]);
    }
    Ok(())
}

#[test]
fn objects_carry_the_labels_of_the_release() -> Result {
    for document in everything()? {
        let labels = &document["metadata"]["labels"];
        for label in ["helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/component"] {
            assert!(labels[label].is_string(), "{}: {label}", document["metadata"]["name"]);
        }
        assert_eq!(labels["app.kubernetes.io/instance"], "vso");
        assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
    }
    Ok(())
}

#[test]
fn roles_for_people_can_be_joined_by_both_spellings() -> Result {
    let values = [
        "--set-json=controller.rbac.clusterRoleAggregation.viewerRoles=[\"VaultPKISecret\",\"vaultpki\",\"VaultAuth\"]",
        "--set-json=controller.rbac.clusterRoleAggregation.editorRoles=[\"HCPAuth\",\"*\"]",
    ];
    let documents = documents(&template(&values)?)?;
    let selectors = |role: &str| {
        let role = object(&documents, "ClusterRole", &format!("-aggregate-role-{role}"))?;
        let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array().cloned().unwrap_or_default();
        Result::Ok(selectors.into_iter().map(|s| s["matchLabels"].clone()).collect::<Vec<_>>())
    };
    let one = |name: &str| json!({ "vso.hashicorp.com/role-instance": name });
    assert_eq!(selectors("viewer")?, [one("vaultpki-viewer-role"), one("vaultauth-viewer-role")]);
    assert_eq!(selectors("editor")?, [json!({ "vso.hashicorp.com/aggregate-to-editor": "true" })]);
    // What they select is there.
    let pki = object(&documents, "ClusterRole", "-vaultpki-viewer-role")?;
    assert_eq!(pki["metadata"]["labels"]["vso.hashicorp.com/role-instance"], "vaultpki-viewer-role");
    assert_eq!(pki["rules"][0]["verbs"], json!(["get", "list", "watch"]));
    let editor = object(&documents, "ClusterRole", "-vaultauth-editor-role")?;
    assert_eq!(editor["metadata"]["labels"]["vso.hashicorp.com/aggregate-to-editor"], "true");
    Ok(())
}

/// What an earlier try of a hook has left is no obstacle to the next: helm creates each anew.
#[test]
fn a_hook_that_failed_once_blocks_no_later_try() -> Result {
    let documents = everything()?;
    let hooks = documents.iter().filter(|d| !d["metadata"]["annotations"]["helm.sh/hook"].is_null());
    let mut kinds = vec![];
    for hook in hooks {
        let policy = hook["metadata"]["annotations"]["helm.sh/hook-delete-policy"].as_str().unwrap_or_default();
        assert!(policy.split(',').any(|word| word == "before-hook-creation"), "{}: {policy:?}", hook["metadata"]);
        kinds.push(hook["metadata"]["annotations"]["helm.sh/hook"].as_str().unwrap_or_default());
    }
    assert!(kinds.contains(&"pre-delete"), "{kinds:?}");
    Ok(())
}

/// With `scope: namespaces` there is no right outside the watched namespaces and the operator's own, and in its own
/// none to make tokens, unless Vault tokens are stored, or to watch or change Secrets: it stores some, finds and
/// deletes them.
#[test]
fn namespaced_scope_gives_no_right_elsewhere() -> Result {
    let values = ["--values=charts/vault-secrets-operator/ci/namespaces-values.yaml"];
    let rendered = template(&values)?;
    assert!(rendered.contains("--watch-namespaces=team-a,team-b\n"));
    assert!(!rendered.contains("kind: ClusterRole"), "a right on the whole cluster");
    let documents = documents(&rendered)?;
    let roles = documents.iter().filter(|d| d["kind"] == "Role");
    let mut namespaces: Vec<&str> = roles.clone().filter_map(|r| r["metadata"]["namespace"].as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    assert_eq!(namespaces, ["team-a", "team-b", NAMESPACE]);
    for role in roles.filter(|r| r["metadata"]["namespace"] == NAMESPACE) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            let is_about = |resource: &str| rule["resources"].to_string().contains(&format!("\"{resource}\""));
            let verbs = rule["verbs"].to_string();
            assert!(!is_about("serviceaccounts/token"), "{rule}");
            assert!(!is_about("secrets") || !(verbs.contains("patch") || verbs.contains("watch")), "{rule}");
        }
    }
    Ok(())
}

/// The hook of an upgrade changes the definitions of the chart and no others: that of another product is worth a
/// cluster.
#[test]
fn the_hook_of_an_upgrade_changes_no_other_definition() -> Result {
    let documents = everything()?;
    let role = object(&documents, "ClusterRole", "-upgrade-crds")?;
    let about = |rule: &&Value| rule["resources"] == json!(["customresourcedefinitions"]);
    let rules: Vec<&Value> = role["rules"].as_array().into_iter().flatten().filter(about).collect();
    let files = files("crds")?;
    let names: Vec<String> = files
        .keys()
        .filter_map(|file| file.strip_suffix(".yaml")?.split_once('_'))
        .map(|(group, plural)| format!("{plural}.{group}"))
        .collect();
    assert_eq!(names.len(), 8);
    assert_eq!(rules.len(), 2);
    // What is to be created has no name yet that a rule could hold.
    assert_eq!(rules[0]["verbs"], json!(["create"]));
    assert_eq!(rules[1]["verbs"], json!(["get", "patch"]));
    assert_eq!(rules[1]["resourceNames"], json!(names));
    Ok(())
}

/// A copy of VSO's values.yaml names VSO's image; the operator's own is used, whatever its tag.
#[test]
fn the_image_of_vso_is_not_run() -> Result {
    let own = documents(&template(&[])?)?;
    let image = &manager(&own)?["image"];
    for repository in ["hashicorp/vault-secrets-operator", "docker.io/hashicorp/vault-secrets-operator"] {
        let set = format!("--set=controller.manager.image.tag=1.4.1,controller.manager.image.repository={repository}");
        assert_eq!(&manager(&documents(&template(&[&set])?)?)?["image"], image);
    }
    let set =
        "--set=controller.manager.image.tag=1.4.1,controller.manager.image.repository=registry.example/hashicorp/vso";
    assert_eq!(manager(&documents(&template(&[set])?)?)?["image"], "registry.example/hashicorp/vso:1.4.1");
    Ok(())
}

#[test]
fn params_of_a_login_leave_its_block_alone() -> Result {
    for method in ["aws", "gcp"] {
        let values = [
            "--set=defaultAuthMethod.enabled=true,defaultAuthMethod.params.a=b".to_owned(),
            format!("--set=defaultAuthMethod.method={method},defaultAuthMethod.{method}.role=r"),
        ];
        let documents = documents(&template(&[&values[0], &values[1]])?)?;
        let spec = &object(&documents, "VaultAuth", "default")?["spec"];
        assert_eq!(spec[method]["role"], "r");
        assert_eq!(spec["params"]["a"], "b");
    }
    Ok(())
}
