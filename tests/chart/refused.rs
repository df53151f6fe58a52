//! Values that cannot work are refused before anything is installed, with a message that names them.

use test_support::chart::template;

/// `--set-json`, and parts of the message.
const REFUSED: &[(&str, &[&str])] = &[
    ("controller.replicas=\"two\"", &["/controller/replicas"]),
    ("controller.replicas=-1", &["/controller/replicas"]),
    ("controller.hostNetwork=\"yes\"", &["/controller/hostNetwork", "want null or boolean"]),
    ("controller.hostAliases={}", &["/controller/hostAliases", "want null or array"]),
    ("controller.tolerations=[\"all\"]", &["/controller/tolerations/0", "want object"]),
    ("controller.nodeSelector=[\"a\"]", &["/controller/nodeSelector", "want null or object"]),
    ("controller.extraLabels={\"a\":{\"b\":1}}", &["/controller/extraLabels/a"]),
    ("controller.imagePullSecrets=[7]", &["/controller/imagePullSecrets/0"]),
    ("controller.imagePullSecrets=\"registry\"", &["/controller/imagePullSecrets"]),
    ("controller.rbac.scope=\"all\"", &["/controller/rbac/scope", "'cluster', 'namespaces'"]),
    ("controller.rbac.scope=\"namespaces\"", &["controller.manager.watchNamespaces"]),
    ("controller.rbac.clusterRoleAggregation.viewerRoles=\"*\"", &["/viewerRoles", "want null or array"]),
    ("controller.rbac.clusterRoleAggregation.viewerRoles=[\"VaultAut\"]", &["viewerRoles", "VaultAut", "not a kind"]),
    ("controller.preDeleteHookTimeoutSeconds=0", &["/controller/preDeleteHookTimeoutSeconds"]),
    ("controller.manager.image.pullPolicy=\"Sometimes\"", &["/controller/manager/image/pullPolicy"]),
    ("controller.manager.image.tag=true", &["/controller/manager/image/tag"]),
    ("controller.manager.clientCache.persistenceModel=\"direct\"", &["/clientCache/persistenceModel"]),
    ("controller.manager.clientCache.cacheSize=1.5", &["/clientCache/cacheSize", "got number"]),
    ("controller.manager.maxConcurrentReconciles=\"many\"", &["/maxConcurrentReconciles"]),
    ("controller.manager.backoffOnSecretSourceError.initialInterval=5", &["/initialInterval"]),
    ("controller.manager.backoffOnSecretSourceError.maxInterval=\"1 minute\"", &["/maxInterval"]),
    ("controller.manager.extraEnv={\"A\":\"b\"}", &["/controller/manager/extraEnv", "want null or array"]),
    ("controller.manager.extraEnv=[{\"value\":\"b\"}]", &["/extraEnv/0", "'name'"]),
    ("controller.manager.volumes=[{\"emptyDir\":{}}]", &["/volumes/0", "'name'"]),
    ("controller.manager.watchNamespaces=\"team-a\"", &["/watchNamespaces", "want null or array"]),
    ("controller.manager.resources=\"small\"", &["/controller/manager/resources"]),
    ("metricsService.type=\"Clusterip\"", &["/metricsService/type"]),
    ("metricsService.ports=[{\"port\":\"https\"}]", &["/metricsService/ports/0/port", "want integer"]),
    ("defaultVaultConnection.enabled=true", &["defaultVaultConnection.address"]),
    ("defaultVaultConnection.address=5", &["/defaultVaultConnection/address"]),
    ("defaultVaultConnection.skipTLSVerify=\"maybe\"", &["/defaultVaultConnection/skipTLSVerify"]),
    ("defaultAuthMethod.enabled=\"true\"", &["/defaultAuthMethod/enabled", "want null or boolean"]),
    ("defaultAuthMethod.method=\"approle\"", &["/defaultAuthMethod/method", "'appRole'"]),
    ("defaultAuthMethod.kubernetes.tokenAudiences=\"vault\"", &["/kubernetes/tokenAudiences"]),
    ("telemetry.serviceMonitor.interval=30", &["/telemetry/serviceMonitor/interval"]),
    ("telemetry.serviceMonitor.scheme=\"tcp\"", &["/telemetry/serviceMonitor/scheme"]),
    ("hooks.upgradeCRDs.executionTimeout=\"soon\"", &["/hooks/upgradeCRDs/executionTimeout"]),
    ("csi.enabled=\"no\"", &["/csi/enabled"]),
    ("csi.driver.image.tag=true", &["/csi/driver/image/tag"]),
    ("csi.driver.logging=\"debug\"", &["/csi/driver/logging", "want null or object"]),
    ("csi.tolerations={}", &["/csi/tolerations", "want null or array"]),
    ("tests.enabled=1", &["/tests/enabled"]),
];

fn refuses(arguments: &[&str], parts: &[&str]) {
    let error = template(arguments).err().map(|e| e.to_string()).unwrap_or_default();
    for part in parts {
        assert!(error.contains(part), "{arguments:?}: expected {part:?} in {error:?}");
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (value, parts) in REFUSED {
        refuses(&[&format!("--set-json={value}")], parts);
    }
}

#[test]
fn a_disruption_budget_needs_one_number() {
    let enabled = "--set=controller.replicas=2,controller.podDisruptionBudget.enabled=true";
    let parts = &["maxUnavailable or minAvailable"];
    refuses(&[enabled], parts);
    let both = "--set=controller.podDisruptionBudget.maxUnavailable=1,controller.podDisruptionBudget.minAvailable=1";
    refuses(&[enabled, both], parts);
}
