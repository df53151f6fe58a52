//! TLS to Vault: whom the operator believes, and that a rotated authority is noticed.

use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::{Tenant, eventually};
use crate::tools::free_port;

/// A Vault with a certificate of its own authority.
struct TlsVault {
    child: Child,
    port: u16,
    ca: PathBuf,
}

impl TlsVault {
    fn start(tenant: &Tenant<'_>) -> Self {
        let port = free_port();
        let dir = tenant.cluster.dir().join(format!("{}-tls", tenant.namespace));
        std::fs::create_dir_all(&dir).unwrap();
        let mut command = tenant.cluster.command("vault");
        command
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token"])
            .arg(format!("-dev-tls-cert-dir={}", dir.display()))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        tenant.cluster.adopt(&mut command);
        let child = command.spawn().unwrap();
        let ca = dir.join("vault-ca.pem");
        eventually("Vault listens", || std::net::TcpStream::connect(("127.0.0.1", port)).map(drop));
        Self { child, port, ca }
    }
}

impl Drop for TlsVault {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_is_believed_only_from_the_right_authority_and_for_the_right_name() {
    let tenant = Tenant::new("tls");
    let vault = TlsVault::start(&tenant);
    let right = std::fs::read_to_string(&vault.ca).unwrap();
    let wrong = std::fs::read_to_string(tenant.cluster.certificate_authority()).unwrap();
    let address = format!("https://127.0.0.1:{}", vault.port);
    let authority = |name: &str, pem: &str| {
        tenant.apply(&json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "ca.crt": pem } }));
    };
    authority("right", &right);
    authority("rotated", &wrong);
    let connection = |name: &str, spec: serde_json::Value| {
        let mut full = json!({ "address": address });
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        tenant.apply(&tenant.object("VaultConnection", name, full));
    };
    connection("believed", json!({ "caCertSecretRef": "right" }));
    connection("named", json!({ "caCertSecretRef": "right", "tlsServerName": "localhost" }));
    connection("misnamed", json!({ "caCertSecretRef": "right", "tlsServerName": "vault.example" }));
    connection("unbelieved", json!({}));
    connection("unverified", json!({ "skipTLSVerify": true }));
    connection("rotated", json!({ "caCertSecretRef": "rotated" }));
    let _operator = tenant.operator(&[]);

    for name in ["believed", "named", "unverified"] {
        tenant.wait_condition("vaultconnection", name, "Ready", "True", "");
    }
    for name in ["misnamed", "unbelieved", "rotated"] {
        tenant.wait_condition("vaultconnection", name, "Ready", "False", "TLS handshake");
        tenant.wait_event(name, "VaultClientError", "TLS handshake");
    }
    authority("rotated", &right);
    tenant.wait_condition("vaultconnection", "rotated", "Ready", "True", "");
}
