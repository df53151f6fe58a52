//! The samples of config/samples/dynamic, each applied as it stands there but for the mount in Vault.

use std::fs;

use serde_json::json;

use test_support::Tenant;
use test_support::engines::aws::AwsEngine;
use test_support::engines::database::Rotation;
use test_support::engines::kubernetes::KubernetesEngine;

use super::Fixture;

/// Applies a sample with another mount.
fn apply(tenant: &Tenant<'_>, file: &str, mount: &str, own_mount: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/dynamic").join(file);
    let text = fs::read_to_string(path).expect("the sample");
    let line = format!("  mount: {mount}\n");
    assert!(text.contains(&line), "{file} has another mount");
    let text = text.replace(&line, &format!("  mount: {own_mount}\n"));
    let here = tenant.cluster.dir().join(format!("{}-{file}", tenant.namespace));
    fs::write(&here, text).expect("a file");
    tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
}

#[test]
fn every_sample_has_a_test() {
    let this = include_str!("samples.rs");
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/dynamic");
    for entry in fs::read_dir(dir).expect("the samples") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        assert!(this.contains(&format!("{name:?}")), "{name} is not applied by a test");
    }
}

#[test]
fn databases() {
    let tenant = Tenant::new("sampledb");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    rig.database.static_role("owner", Rotation::Period(3600));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[]);
    apply(&tenant, "database.yaml", "database", &rig.database.mount);
    apply(&tenant, "static-role.yaml", "database", &rig.database.mount);
    apply(&tenant, "static-role-instant.yaml", "database", &rig.database.mount);
    for name in ["database", "static-role", "static-role-instant"] {
        tenant.wait_condition("VaultDynamicSecret", name, "SecretSynced", "True", "Secret synced");
        assert!(rig.database.accepts(&rig.credentials(name)), "{name}");
    }
    let user = tenant.value("database", "username").expect("a user");
    assert!(tenant.value("database", "url").expect("a template").starts_with(&format!("postgresql://{user}:")));
}

#[test]
fn tokens_of_kubernetes() {
    let tenant = Tenant::new("samplekube");
    let mount = format!("{}-kube", tenant.namespace);
    let engine = KubernetesEngine::mount(tenant.cluster, &mount);
    engine.role("reader", "default");
    tenant.allow_leases(&[&mount]);
    let _operator = tenant.operator(&[]);
    apply(&tenant, "kubernetes.yaml", "kubernetes", &mount);
    tenant.wait_condition("VaultDynamicSecret", "kubernetes", "SecretSynced", "True", "Secret synced");
    assert_eq!(tenant.value("kubernetes", "service_account_namespace").expect("a namespace"), "default");
    let status = tenant.get("VaultDynamicSecret", "kubernetes").expect("the object")["status"].clone();
    assert!(status["secretLease"]["id"].as_str().is_some_and(|id| id.starts_with(&mount)), "{status}");
}

#[test]
fn keys_of_aws() {
    let tenant = Tenant::new("sampleaws");
    let mount = format!("{}-aws", tenant.namespace);
    let Some(engine) = AwsEngine::mount(tenant.cluster, &mount) else { return };
    engine.user_role("app", 3600, 7200);
    tenant.allow_leases(&[&mount]);
    let _operator = tenant.operator(&[]);
    apply(&tenant, "aws.yaml", "aws", &mount);
    tenant.wait_condition("VaultDynamicSecret", "aws", "SecretSynced", "True", "Secret synced");
    let value = |key| tenant.value("aws", key).expect("a key");
    let credentials = json!({ "access_key": value("AWS_ACCESS_KEY_ID"), "secret_key": value("AWS_SECRET_ACCESS_KEY"), "security_token": null });
    assert!(engine.accepts(&credentials));
}
