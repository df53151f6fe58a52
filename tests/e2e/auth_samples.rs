//! The logins and connections of config/samples/auth, each applied as it stands there but for what is named otherwise
//! in the test's Vault.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use test_support::auth_mounts::{app_role_mount, jwt_mount, new_secret_id, secret};
use test_support::tls_vault::TlsVault;
use test_support::{Operator, Tenant};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/auth")
}

/// A tenant with its operator and, for each name, a secret of that name.
fn set_up(name: &str, secrets: &[&str]) -> (Tenant<'static>, Operator) {
    let tenant = Tenant::new(name);
    secrets.iter().for_each(|name| tenant.put(name, json!({ "password": *name })));
    let operator = tenant.operator(&[]);
    (tenant, operator)
}

/// Applies a sample. Each of the replaced texts must be in it.
fn apply(tenant: &Tenant<'_>, file: &str, replaced: &[(&str, &str)]) {
    let mut text = fs::read_to_string(dir().join(file)).expect("the sample");
    for (old, new) in replaced {
        assert!(text.contains(old), "{old:?} is not in {file}");
        text = text.replace(old, new);
    }
    let here = tenant.cluster.dir().join(format!("{}-{file}", tenant.namespace));
    fs::write(&here, text).expect("a file");
    tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
}

#[test]
fn every_login_sample_has_a_test() {
    let tests =
        [include_str!("auth_samples.rs"), include_str!("aws.rs"), include_str!("gcp.rs"), include_str!("token.rs")]
            .concat();
    for entry in fs::read_dir(dir()).expect("the samples") {
        let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
        assert!(tests.contains(&name), "{name} is not applied by a test");
    }
}

#[test]
fn tokens_and_secret_ids() {
    let (tenant, _operator) = set_up("login-sample", &["by-jwt", "by-jwt-secret", "by-approle"]);
    let paths = ("path: apps/", format!("path: {}/", tenant.namespace));
    let paths = (paths.0, paths.1.as_str());
    let token = tenant.cluster.service_account_token(&tenant.namespace, "app", &["vault"]).expect("a token");
    tenant.apply(&secret("app-token", "jwt", &token));
    apply(&tenant, "jwt.yaml", &[paths, ("mount: jwt", &format!("mount: {}", jwt_mount(&tenant)))]);
    let (mount, role_id) = app_role_mount(&tenant);
    tenant.apply(&secret("secret-id", "id", &new_secret_id(&tenant, &mount)));
    let role = ("00000000-0000-0000-0000-000000000000", role_id.as_str());
    apply(&tenant, "approle.yaml", &[paths, ("mount: approle", &format!("mount: {mount}")), role]);
    for name in ["by-jwt", "by-jwt-secret", "by-approle"] {
        tenant.wait_value(name, "password", name);
        tenant.wait_synced(name);
    }
}

#[test]
fn settings_that_logins_share() {
    let (tenant, _operator) = set_up("global-sample", &["by-global"]);
    let path = format!("path: {}/", tenant.namespace);
    let role = format!("role: {}", tenant.namespace);
    apply(&tenant, "global.yaml", &[("path: apps/", &path), ("role: app", &role)]);
    tenant.wait_value("by-global", "password", "by-global");
    tenant.wait_condition("vaultauth", "from-global", "Available", "True", &format!("{}/default", tenant.namespace));
}

#[test]
fn the_way_to_vault() {
    let (tenant, _operator) = set_up("connection-sample", &[]);
    let mut vault = TlsVault::new(tenant.cluster);
    vault.start();
    vault.prepare(&tenant, "by-tls");
    tenant.apply(&secret("vault-ca", "ca.crt", &vault.authority()));
    let role = format!("role: {}", tenant.namespace);
    apply(&tenant, "connection.yaml", &[("https://127.0.0.1:8200", &vault.address()), ("role: app", &role)]);
    tenant.wait_value("by-tls", "password", "by-tls");
    tenant.wait_condition("vaultconnection", "tls", "Ready", "True", "");
}
