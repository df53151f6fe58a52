//! Every value has an effect, or is listed here with the reason why it has none.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use test_support::chart::{CHART, Result, path, template};

/// Values without an effect, and all below them.
const IGNORED: &[(&str, &str, &str)] = &[
    ("controller.kubeRbacProxy", r#"{"image":{"tag":"v1"}}"#, "there is no such container"),
    ("controller.manager.clientCache.storageEncryption.enabled", "true", "with VSO too: persistenceModel decides"),
];

/// One value.
struct Leaf {
    name: String,
    /// In JSON, other than the default.
    value: &'static str,
    /// Other values that it needs, in JSON.
    with: Vec<&'static str>,
    /// What appears in the rendered chart with it; after a `!`, what disappears.
    effect: &'static str,
}

fn leaf(name: &str, value: &'static str, effect: &'static str) -> Leaf {
    Leaf { name: name.to_owned(), value, with: Vec::new(), effect }
}

impl Leaf {
    fn with(mut self, other: &[&'static str]) -> Self {
        self.with.extend(other);
        self
    }
}

/// Fields of the blocks of the login methods, by method.
const METHODS: [(&str, &str, &[&str]); 6] = [
    ("kubernetes", r#"method="kubernetes""#, &["role", "serviceAccount", "tokenAudiences"]),
    ("jwt", r#"method="jwt""#, &["role", "secretRef", "serviceAccount", "tokenAudiences"]),
    ("appRole", r#"method="appRole""#, &["roleId", "secretRef"]),
    (
        "aws",
        r#"method="aws""#,
        &[
            "role",
            "region",
            "headerValue",
            "sessionName",
            "stsEndpoint",
            "iamEndpoint",
            "secretRef",
            "irsaServiceAccount",
        ],
    ),
    ("gcp", r#"method="gcp""#, &["role", "workloadIdentityServiceAccount", "region", "clusterName", "projectID"]),
    ("token", r#"method="token""#, &["secretRef.name", "secretRef.key"]),
];

/// Where the chart has the settings of a login.
const LOGINS: [&str; 2] = ["defaultAuthMethod", "controller.manager.clientCache.storageEncryption"];

/// Those of a login, below `base`. `with` makes the chart render it.
fn login(base: &str, with: &[&'static str]) -> Vec<Leaf> {
    let mut leaves = vec![
        leaf("namespace", r#""admin/team""#, "namespace: \"admin/team\""),
        leaf("method", r#""jwt""#, "method: jwt"),
        leaf("mount", r#""elsewhere""#, "mount: elsewhere"),
        leaf("params", r#"{"marked":1}"#, "marked: \"1\""),
        leaf("headers", r#"{"X-Marked":"1"}"#, "X-Marked: \"1\""),
    ];
    for (method, choice, fields) in METHODS {
        for field in fields {
            let value = if *field == "tokenAudiences" { r#"["marked"]"# } else { r#""marked""# };
            let mut leaf = leaf(&format!("{method}.{field}"), value, "marked");
            leaf.with.push(choice);
            leaves.push(leaf);
        }
    }
    for leaf in &mut leaves {
        leaf.name = format!("{base}.{}", leaf.name);
        leaf.with.extend(with);
    }
    leaves
}

const PDB: &[&str] = &["controller.replicas=2", "controller.podDisruptionBudget.enabled=true"];
const POLICY: &[&str] = &["controller.networkPolicy.enabled=true"];
const MONITOR: &[&str] = &["telemetry.serviceMonitor.enabled=true"];
const DASHBOARD: &[&str] = &["telemetry.dashboard.enabled=true"];
const ALERTS: &[&str] = &["telemetry.alerts.enabled=true"];
const VIEWERS: &[&str] = &[r#"controller.rbac.clusterRoleAggregation.viewerRoles=["*"]"#];
const EDITORS: &[&str] = &[r#"controller.rbac.clusterRoleAggregation.editorRoles=["*"]"#];
const CONNECTION: &[&str] =
    &["defaultVaultConnection.enabled=true", r#"defaultVaultConnection.address="https://vault.example""#];
const CSI: &[&str] = &["csi.enabled=true"];
const EXTERNAL: &[&str] = &["externalSecrets.enabled=true"];
const AUTH: &[&str] = &["defaultAuthMethod.enabled=true"];
const GLOBAL: &[&str] = &["defaultAuthMethod.enabled=true", "defaultAuthMethod.vaultAuthGlobalRef.enabled=true"];
const ENCRYPTED: &[&str] = &[
    r#"controller.manager.clientCache.persistenceModel="direct-encrypted""#,
    r#"controller.manager.clientCache.storageEncryption.keyName="key""#,
    r#"controller.manager.clientCache.storageEncryption.transitMount="transit""#,
];

fn leaves() -> Vec<Leaf> {
    let mut all = controller();
    all.extend(manager());
    all.extend(others());
    all.extend(csi());
    all.extend(login(LOGINS[0], AUTH));
    all.extend(login(LOGINS[1], ENCRYPTED));
    all
}

fn controller() -> Vec<Leaf> {
    let below = |name: &str, value, effect| leaf(&format!("controller.{name}"), value, effect);
    vec![
        below("replicas", "3", "replicas: 3"),
        below("priorityClassName", r#""marked""#, "priorityClassName: marked"),
        below("strategy", r#"{"type":"Recreate"}"#, "type: Recreate"),
        below("hostNetwork", "true", "dnsPolicy: ClusterFirstWithHostNet"),
        below("hostAliases", r#"[{"ip":"192.0.2.1","hostnames":["a"]}]"#, "ip: 192.0.2.1"),
        below("nodeSelector", r#"{"disk":"ssd"}"#, "disk: ssd"),
        below("tolerations", r#"[{"key":"marked"}]"#, "key: marked"),
        below("affinity", r#"{"nodeAffinity":{}}"#, "nodeAffinity: {}"),
        below("topologySpreadConstraints", r#"[{"maxSkew":7}]"#, "maxSkew: 7"),
        below("podDisruptionBudget.enabled", "true", "kind: PodDisruptionBudget")
            .with(&["controller.replicas=2", "controller.podDisruptionBudget.minAvailable=1"]),
        below("podDisruptionBudget.maxUnavailable", "2", "maxUnavailable: 2")
            .with(PDB)
            .with(&["controller.podDisruptionBudget.maxUnavailable=3"]),
        below("podDisruptionBudget.minAvailable", "2", "minAvailable: 2")
            .with(PDB)
            .with(&["controller.podDisruptionBudget.minAvailable=3"]),
        below("networkPolicy.enabled", "true", "kind: NetworkPolicy"),
        below("networkPolicy.metricsFrom", r#"[{"podSelector":{}}]"#, "podSelector: {}").with(POLICY),
        below("networkPolicy.egress", r#"[{"ports":[{"port":53}]}]"#, "port: 53").with(POLICY),
        below("rbac.enabled", "false", "!-manager-rolebinding"),
        below("rbac.scope", r#""namespaces""#, "!kind: ClusterRole\n")
            .with(&[r#"controller.manager.watchNamespaces=["team-a"]"#]),
        below("rbac.clusterRoleAggregation.viewerRoles", r#"["VaultAuth"]"#, "-aggregate-role-viewer"),
        below("rbac.clusterRoleAggregation.editorRoles", r#"["VaultAuth"]"#, "-aggregate-role-editor"),
        below("rbac.clusterRoleAggregation.userFacingRoles.view", "true", "aggregate-to-view: \"true\"").with(VIEWERS),
        below("rbac.clusterRoleAggregation.userFacingRoles.edit", "true", "aggregate-to-edit: \"true\"").with(EDITORS),
        below("imagePullSecrets", r#"["marked"]"#, "- name: marked"),
        below("extraLabels", r#"{"team":"a"}"#, "team: \"a\""),
        below("annotations", r#"{"team":"a"}"#, "team: \"a\""),
        below("podSecurityContext", r#"{"fsGroup":7}"#, "fsGroup: 7"),
        below("securityContext", r#"{"privileged":false}"#, "privileged: false"),
        below("kubernetesClusterDomain", r#""a.example""#, "value: \"a.example\""),
        below("terminationGracePeriodSeconds", "7", "terminationGracePeriodSeconds: 7"),
        below("preDeleteHookTimeoutSeconds", "7", "--pre-delete-hook-timeout-seconds=7"),
        below("controllerConfigMapYaml.health.healthProbeBindAddress", r#"":1""#, "healthProbeBindAddress: :1"),
        below("controllerConfigMapYaml.leaderElection.leaderElect", "false", "leaderElect: false"),
        below("controllerConfigMapYaml.leaderElection.resourceName", r#""marked""#, "resourceName: marked"),
        below("controllerConfigMapYaml.metrics.bindAddress", r#"":1""#, "bindAddress: :1"),
        below("controllerConfigMapYaml.webhook.port", "1", "port: 1\n"),
    ]
}

fn manager() -> Vec<Leaf> {
    let below = |name: &str, value, effect| leaf(&format!("controller.manager.{name}"), value, effect);
    let encryption = |name: &str, value, effect| {
        below(&format!("clientCache.storageEncryption.{name}"), value, effect).with(ENCRYPTED)
    };
    vec![
        below("image.pullPolicy", r#""Always""#, "imagePullPolicy: Always"),
        below("image.repository", r#""registry.example/op""#, "image: \"registry.example/op:"),
        below("image.tag", r#""9.9""#, ":9.9\""),
        below("metrics.secure", "false", "--metrics-bind-address=:8080"),
        below("metrics.certificateSecret", r#""marked""#, "--metrics-cert-path="),
        below("watchNamespaces", r#"["team-a","team-b"]"#, "--watch-namespaces=team-a,team-b"),
        below("logging.level", r#""trace""#, "--zap-log-level=6"),
        below("logging.timeEncoding", r#""epoch""#, "--zap-time-encoding=epoch"),
        below("logging.stacktraceLevel", r#""error""#, "--zap-stacktrace-level=error"),
        below("globalTransformationOptions.excludeRaw", "true", "--global-transformation-options=exclude-raw"),
        below("globalVaultAuthOptions.allowDefaultGlobals", "false", "--global-vault-auth-options=\n"),
        below("backoffOnSecretSourceError.initialInterval", r#""7s""#, "--backoff-initial-interval=7s"),
        below("backoffOnSecretSourceError.maxInterval", r#""7s""#, "--backoff-max-interval=7s"),
        below("backoffOnSecretSourceError.maxElapsedTime", r#""7s""#, "--backoff-max-elapsed-time=7s"),
        below("backoffOnSecretSourceError.randomizationFactor", "0.7", "--backoff-randomization-factor=0.70"),
        below("backoffOnSecretSourceError.multiplier", "7", "--backoff-multiplier=7.00"),
        below("clientCache.persistenceModel", r#""direct-unencrypted""#, "persistence-model=direct-unencrypted"),
        below("clientCache.cacheSize", "1000000", "--client-cache-size=1000000\n"),
        below("clientCache.numLocks", "0", "--client-cache-num-locks=0"),
        encryption("vaultConnectionRef", r#""marked""#, "vaultConnectionRef: \"marked\""),
        encryption("keyName", r#""marked""#, "keyName: \"marked\""),
        encryption("transitMount", r#""marked""#, "mount: \"marked\""),
        below("maxConcurrentReconciles", "7", "--max-concurrent-reconciles=7"),
        below("rollouts.window", r#""7s""#, "--rollout-window=7s"),
        below("rollouts.maxPerNamespace", "7", "--max-rollouts-per-namespace=7"),
        below("kubeClient.qps", "7", "--kube-client-qps=7"),
        below("kubeClient.burst", "7", "--kube-client-burst=7"),
        below("extraEnv", r#"[{"name":"A","value":7}]"#, "value: \"7\""),
        below("extraArgs", r#"["--marked"]"#, "- \"--marked\""),
        below("volumes", r#"[{"name":"a","emptyDir":{},"mountPath":"/a"}]"#, "mountPath: /a"),
        below("resources.limits.memory", r#""7Mi""#, "memory: 7Mi"),
        below("resources.requests.cpu", r#""7m""#, "cpu: 7m"),
        below("resources.requests.memory", r#""7Mi""#, "memory: 7Mi"),
    ]
}

fn others() -> Vec<Leaf> {
    let connection = |name: &str, value, effect| leaf(&format!("defaultVaultConnection.{name}"), value, effect);
    let global = |name: &str, value, effect| {
        leaf(&format!("defaultAuthMethod.vaultAuthGlobalRef.{name}"), value, effect).with(GLOBAL)
    };
    let monitor =
        |name: &str, value, effect| leaf(&format!("telemetry.serviceMonitor.{name}"), value, effect).with(MONITOR);
    vec![
        leaf("nameOverride", r#""marked""#, "name: marked"),
        leaf("fullnameOverride", r#""marked""#, "name: marked-controller-manager"),
        leaf("metricsService.type", r#""NodePort""#, "type: NodePort"),
        leaf("metricsService.ports", r#"[{"name":"x","port":7}]"#, "port: 7"),
        connection("enabled", "true", "kind: VaultConnection").with(&CONNECTION[1..]),
        connection("address", r#""https://other.example""#, "address: \"https://other.example\"").with(CONNECTION),
        connection("caCertSecret", r#""marked""#, "caCertSecretRef: \"marked\"").with(CONNECTION),
        connection("caCertPath", r#""/marked""#, "caCertPath: \"/marked\"").with(CONNECTION),
        connection("tlsServerName", r#""marked""#, "tlsServerName: \"marked\"").with(CONNECTION),
        connection("skipTLSVerify", "true", "skipTLSVerify: true").with(CONNECTION),
        connection("headers", r#"{"X-Marked":"1"}"#, "X-Marked: \"1\"").with(CONNECTION),
        leaf("defaultAuthMethod.enabled", "true", "kind: VaultAuth"),
        leaf("defaultAuthMethod.allowedNamespaces", r#"["team-a"]"#, "- team-a").with(AUTH),
        leaf("defaultAuthMethod.vaultAuthGlobalRef.enabled", "true", "vaultAuthGlobalRef:").with(AUTH),
        global("name", r#""marked""#, "name: \"marked\""),
        global("namespace", r#""marked""#, "namespace: \"marked\""),
        global("allowDefault", "false", "allowDefault: false"),
        global("mergeStrategy.headers", r#""union""#, "headers: union"),
        global("mergeStrategy.params", r#""replace""#, "params: replace"),
        leaf("reloader.enabled", "true", "- --reloader\n"),
        leaf("reloader.autoReloadAll", "true", "--reloader-auto-reload-all").with(&["reloader.enabled=true"]),
        leaf("reloader.configMaps", "true", "--reloader-config-maps").with(&["reloader.enabled=true"]),
        leaf("externalSecrets.enabled", "true", "- --external-secrets\n"),
        leaf("externalSecrets.installCRDs", "false", "!kind: CustomResourceDefinition").with(EXTERNAL),
        leaf("externalSecrets.controllerClass", r#""marked""#, "--external-secrets-class=marked").with(EXTERNAL),
        leaf("externalSecrets.processClusterExternalSecret", "false", "!- --cluster-external-secrets\n").with(EXTERNAL),
        leaf("externalSecrets.processClusterPushSecret", "false", "!- --cluster-push-secrets\n").with(EXTERNAL),
        leaf("telemetry.serviceMonitor.enabled", "true", "kind: ServiceMonitor"),
        monitor("selectors", r#"{"team":"a"}"#, "team: \"a\""),
        monitor("scheme", r#""http""#, "scheme: http\n"),
        monitor("port", r#""marked""#, "port: \"marked\""),
        monitor("path", r#""/marked""#, "path: \"/marked\""),
        monitor("bearerTokenFile", r#""/marked""#, "bearerTokenFile: \"/marked\""),
        monitor("interval", r#""7s""#, "interval: 7s"),
        monitor("scrapeTimeout", r#""7s""#, "scrapeTimeout: 7s"),
        leaf("telemetry.dashboard.enabled", "true", "-dashboard\n"),
        leaf("telemetry.dashboard.labels.grafana_dashboard", r#""marked""#, "grafana_dashboard: \"marked\"")
            .with(DASHBOARD),
        leaf("telemetry.dashboard.annotations", r#"{"team":"a"}"#, "team: \"a\"").with(DASHBOARD),
        leaf("telemetry.alerts.enabled", "true", "kind: PrometheusRule"),
        leaf("telemetry.alerts.labels", r#"{"team":"a"}"#, "team: \"a\"").with(ALERTS),
        leaf("hooks.resources.limits.memory", r#""7Mi""#, "memory: 7Mi"),
        leaf("hooks.resources.requests.cpu", r#""7m""#, "cpu: 7m"),
        leaf("hooks.resources.requests.memory", r#""7Mi""#, "memory: 7Mi"),
        leaf("hooks.upgradeCRDs.enabled", "false", "!name: upgrade-crds-"),
        leaf("hooks.upgradeCRDs.backoffLimit", "7", "backoffLimit: 7"),
        leaf("hooks.upgradeCRDs.executionTimeout", r#""7s""#, "value: \"7s\""),
        leaf("tests.enabled", "false", "!helm.sh/hook: test-success"),
    ]
}

fn csi() -> Vec<Leaf> {
    let below = |name: &str, value, effect| leaf(&format!("csi.{name}"), value, effect).with(CSI);
    let mut all = vec![
        leaf("csi.enabled", "true", "kind: DaemonSet"),
        below("securityContext", r#"{"fsGroup":7}"#, "fsGroup: 7"),
        below("hostAliases", r#"[{"ip":"192.0.2.1","hostnames":["a"]}]"#, "ip: 192.0.2.1"),
        below("nodeSelector", r#"{"disk":"ssd"}"#, "disk: \"ssd\""),
        below("tolerations", r#"[{"key":"marked"}]"#, "key: marked"),
        below("affinity", r#"{"nodeAffinity":{}}"#, "nodeAffinity: {}"),
        below("imagePullSecrets", r#"["marked"]"#, "- name: marked"),
        below("extraLabels", r#"{"team":"a"}"#, "team: \"a\""),
        below("annotations", r#"{"team":"a"}"#, "team: \"a\""),
        below("updateStrategy", r#"{"type":"OnDelete"}"#, "type: OnDelete"),
        below("driver.securityContext", r#"{"runAsUser":7}"#, "runAsUser: 7"),
        below("driver.extraEnv", r#"[{"name":"A","value":7}]"#, "value: \"7\""),
        below("driver.logging.level", r#""trace""#, "--zap-log-level=6"),
        below("driver.logging.timeEncoding", r#""epoch""#, "--zap-time-encoding=epoch"),
        below("driver.logging.stacktraceLevel", r#""error""#, "--zap-stacktrace-level=error"),
        below("driver.backoffOnSecretSourceError.initialInterval", r#""7s""#, "--backoff-initial-interval=7s"),
        below("driver.backoffOnSecretSourceError.maxInterval", r#""7s""#, "--backoff-max-interval=7s"),
        below("driver.backoffOnSecretSourceError.maxElapsedTime", r#""7s""#, "--backoff-max-elapsed-time=7s"),
        below("driver.backoffOnSecretSourceError.randomizationFactor", "0.7", "--backoff-randomization-factor=0.70"),
        below("driver.backoffOnSecretSourceError.multiplier", "7", "--backoff-multiplier=7.00"),
    ];
    for container in ["driver", "livenessProbe", "nodeDriverRegistrar"] {
        let below = |name: &str, value, effect| below(&format!("{container}.{name}"), value, effect);
        all.extend([
            below("image.pullPolicy", r#""Always""#, "imagePullPolicy: Always"),
            below("image.repository", r#""registry.example/csi""#, "image: \"registry.example/csi:"),
            below("image.tag", r#""9.9""#, ":9.9\""),
            below("extraArgs", r#"["--marked"]"#, "- --marked"),
        ]);
    }
    all
}

fn render(values: &[String]) -> Result<String> {
    let values: Vec<String> = values.iter().map(|value| format!("--set-json={value}")).collect();
    template(&values.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn every_value_has_its_effect() -> Result {
    for Leaf { name, value, with, effect } in leaves() {
        let mut values: Vec<String> = with.iter().map(|other| of_the_same_login(&name, other)).collect();
        let without = render(&values).map_err(|e| format!("without {name}: {e}"))?;
        values.push(format!("{name}={value}"));
        let with = render(&values).map_err(|e| format!("{name}={value}: {e}"))?;
        let (more, less, text) = match effect.strip_prefix('!') {
            Some(text) => (without, with, text),
            None => (with, without, effect),
        };
        assert!(more.contains(text) && !less.contains(text), "{name}={value}: no effect on {text:?}");
    }
    Ok(())
}

/// `method=…` belongs to the login that the value is of.
fn of_the_same_login(name: &str, other: &str) -> String {
    let base = LOGINS.into_iter().find(|login| name.starts_with(login)).unwrap_or_default();
    if other.starts_with("method=") { format!("{base}.{other}") } else { other.to_owned() }
}

#[test]
fn ignored_values_change_nothing() -> Result {
    let (without, values) = (render(&[])?, IGNORED.iter().map(|(name, value, _)| format!("{name}={value}")));
    assert_eq!(render(&values.collect::<Vec<_>>())?, without);
    Ok(())
}

/// The lists above are complete: nothing in `values.yaml` is missing, and nothing that VSO's chart has.
#[test]
fn every_value_is_listed() -> Result {
    let known: BTreeSet<String> = leaves().into_iter().map(|leaf| leaf.name).collect();
    for file in ["values.yaml", "ci/vso-14-defaults-values.yaml"] {
        let values: Value = serde_saphyr::from_str(&fs::read_to_string(path(CHART).join(file))?)?;
        let mut names = Vec::new();
        names_of(&values, "", &mut names);
        assert!(names.len() > 100, "{file} has only {} values", names.len());
        for name in names {
            let is_of = |listed: &str| name == listed || name.starts_with(&format!("{listed}."));
            let ignored = IGNORED.iter().any(|(listed, ..)| is_of(listed));
            // Quantities of resources are copied as they are.
            let listed = name.contains("resources.") || known.iter().any(|listed| is_of(listed));
            assert!(ignored || listed, "{name} of {file} is in no list");
        }
    }
    Ok(())
}

fn names_of(value: &Value, name: &str, names: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        None => names.push(name.to_owned()),
        Some(map) => {
            for (key, value) in map {
                let below = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                names_of(value, &below, names);
            }
        }
    }
}
