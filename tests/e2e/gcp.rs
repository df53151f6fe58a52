//! Logins as a Google service account, by workload identity. Vault is the real one with its plugin for GCP; Google's
//! services are those of [`Google`], which the operator reaches by their names, through a proxy, with TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use testenv::Server;

use test_support::auth_mounts::{uid, wait_cache_key};
use test_support::clouds::google::{ACCOUNT, Google};
use test_support::{FAST_RETRY, Tenant, eventually, free_port, lacks, shared};

/// A second Vault, whose credentials for Google are in a file that its environment names.
struct GcpVault {
    address: String,
    dir: PathBuf,
    process: Child,
}

impl GcpVault {
    /// With the auth method, a role `app` for [`ACCOUNT`], and a secret.
    fn with_role(google: &Google) -> Self {
        let vault = Self::start(google);
        vault.run(&["auth", "enable", "gcp"]).expect("the method");
        let endpoint = format!("http://{}/", google.address);
        vault.write("auth/gcp/config", &json!({ "custom_endpoint": { "api": endpoint, "iam": endpoint } }));
        vault.write(
            "auth/gcp/role/app",
            &json!({
                "type": "iam", "max_jwt_exp": "60m", "bound_service_accounts": [ACCOUNT], "token_policies": ["reader"],
            }),
        );
        vault.write("sys/policies/acl/reader", &json!({ "policy": "path \"secret/*\" { capabilities = [\"read\"] }" }));
        vault.run(&["kv", "put", "secret/gcp", "password=of-gcp"]).expect("a secret");
        vault
    }

    fn start(google: &Google) -> Self {
        let cluster = shared();
        let port = free_port();
        let dir = cluster.dir().join(format!("gcp-{port}"));
        std::fs::create_dir(&dir).expect("a directory");
        let credentials = dir.join("credentials.json");
        std::fs::write(&credentials, google.credentials.to_string()).expect("a file");
        let mut command = cluster.command("vault");
        command.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"]);
        command.arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        command.env("GOOGLE_APPLICATION_CREDENTIALS", &credentials);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = cluster.adopt(&mut command).spawn().expect("Vault starts");
        let vault = Self { address: format!("http://127.0.0.1:{port}"), dir, process };
        eventually("the second Vault answers", || vault.run(&["status"]));
        vault
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = shared().command("vault");
        command.env("VAULT_ADDR", &self.address).env("VAULT_TOKEN", "root");
        let output = command.args(arguments).output().map_err(|e| e.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    fn write(&self, path: &str, body: &Value) {
        let file = self.dir.join("body.json");
        std::fs::write(&file, body.to_string()).expect("a file");
        self.run(&["write", path, &format!("@{}", file.display())]).expect("Vault takes it");
    }
}

impl Drop for GcpVault {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn workload_identity() {
    if lacks(Server::OpenBao, "auth method gcp") {
        return;
    }
    let tenant = Tenant::new("gcp");
    let google = Google::start(shared(), &tenant.namespace);
    let vault = GcpVault::with_role(&google);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/auth/gcp.yaml");
    tenant.kubectl(&["apply", "--filename", sample.to_str().expect("UTF-8")]).expect("the sample is accepted");
    let account = |name: &str, google: Option<&str>| {
        let annotations = json!({ "iam.gke.io/gcp-service-account": google });
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "annotations": annotations } })
    };
    let auth = |name: &str, account: &str, members: Value| {
        let mut block = json!({ "role": "app", "workloadIdentityServiceAccount": account });
        json_patch::merge(&mut block, &members);
        tenant.auth(name, json!({ "method": "gcp", "mount": "gcp", "gcp": block }))
    };
    let cases = [
        ("plain", "missing \"iam.gke.io/gcp-service-account\" annotation"),
        ("nobody", "does not exist"),
        ("stranger", "400 Bad Request invalid_grant"),
        ("traversal", "is not an address of one"),
        ("role", "role \"other\" not found"),
    ];
    tenant.apply_all(&[
        tenant.object("VaultConnection", "vault", json!({ "address": vault.address })),
        account("plain", None),
        account("stranger", Some(ACCOUNT)),
        account("traversal", Some("a@b/../../x")),
        auth("metadata", "gcp", json!({})),
        auth("plain", "plain", json!({})),
        auth("nobody", "nobody", json!({})),
        auth("stranger", "stranger", json!({})),
        auth("traversal", "traversal", json!({})),
        auth("role", "gcp", json!({ "role": "other" })),
    ]);
    let authority = tenant.cluster.dir().join(format!("{}-google.pem", tenant.namespace));
    std::fs::write(&authority, &google.authority).expect("a file");
    let (proxy, authority) = (format!("http://{}", google.proxy), authority.display().to_string());
    let variables = [
        // The client of the API server takes no proxy from this one.
        ("ALL_PROXY", proxy.as_str()),
        ("NO_PROXY", "127.0.0.1"),
        ("SSL_CERT_FILE", authority.as_str()),
        ("GCE_METADATA_HOST", google.address.as_str()),
    ];
    let operator = tenant.operator_with(&variables, &FAST_RETRY);
    for name in ["gcp", "metadata"].into_iter().chain(cases.map(|(name, _)| name)) {
        tenant.apply(&tenant.static_secret(name, json!({ "vaultAuthRef": name, "path": "gcp" })));
    }
    for name in ["gcp", "metadata"] {
        tenant.wait_value(name, "password", "of-gcp");
        tenant.wait_synced(name);
    }
    for (name, text) in cases {
        tenant.wait_failure(name, "VaultClientConfigError", &[text]);
    }
    let federation = "workload identity federation without a Google service account is not supported";
    tenant.wait_failure("plain", "VaultClientConfigError", &[federation, "or use method jwt"]);
    let log = google.log();
    let provider = "identitynamespace:shop.svc.id.goog:https://container.googleapis.com/v1/projects/shop/locations";
    for expected in [
        format!("{provider}/europe-west1/clusters/blue"),
        format!("{provider}/us-central1-a/clusters/green"),
        "https://vault/app true".to_owned(),
    ] {
        assert!(log.contains(&expected), "{expected} is not in {log:#?}");
    }
    let account = uid(&tenant, "serviceaccount", "gcp");
    for name in ["gcp", "metadata"] {
        wait_cache_key(&tenant, name, name, "gcp", &account);
    }
    tenant.assert_nothing_leaked(&operator, &["hunter2"]);
}

#[test]
fn stores_of_external_secrets_log_in_with_the_key_of_an_account() {
    if lacks(Server::OpenBao, "auth method gcp") {
        return;
    }
    let tenant = Tenant::new("es-gcp");
    let google = Google::start(shared(), &tenant.namespace);
    let vault = GcpVault::with_role(&google);
    let other = {
        let mut key = google.account_key.clone();
        key["private_key"] = Google::start(shared(), &tenant.namespace).account_key["private_key"].take();
        key
    };
    let secret = |name: &str, key: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "key.json": key } });
    let half = json!({ "type": "service_account", "client_email": ACCOUNT, "private_key": "es-gcp-hunter2" });
    tenant.apply_all(&[
        secret("key-good", &google.account_key.to_string()),
        secret("key-other", &other.to_string()),
        secret("key-half", &half.to_string()),
    ]);
    let operator = tenant.operator(&["--external-secrets", "--zap-log-level=9"]);
    let apply = |name: &str, key: &str| {
        let key = json!({ "name": format!("key-{name}"), "key": key });
        let gcp = json!({ "role": "app", "secretRef": { "secretAccessKeySecretRef": key } });
        let vault = json!({ "server": vault.address, "path": "secret", "auth": { "gcp": gcp } });
        let object = |kind: &str, spec: Value| {
            json!({
                "apiVersion": "external-secrets.io/v1", "kind": kind,
                "metadata": { "name": name, "namespace": tenant.namespace }, "spec": spec,
            })
        };
        let row = json!({ "secretKey": "p", "remoteRef": { "key": "gcp", "property": "password" } });
        tenant.apply_all(&[
            object("SecretStore", json!({ "provider": { "vault": vault } })),
            object("ExternalSecret", json!({ "secretStoreRef": { "name": name }, "data": [row] })),
        ]);
    };
    for name in ["good", "other", "half"] {
        apply(name, "key.json");
    }
    tenant.wait_value("good", "p", "of-gcp");
    tenant.wait_condition_of("secretstore", "good", ("Ready", "True", Some("Valid")), &["store validated"]);
    for (name, text) in [("other", "error in cryptographic primitive"), ("half", "it has no private_key_id")] {
        tenant.wait_not_ready("secretstore", name, "InvalidProviderConfig", &[text]);
    }
    // What was wrong is put right.
    tenant.apply(&secret("key-half", &google.account_key.to_string()));
    tenant.wait_value("half", "p", "of-gcp");
    let pem = google.account_key["private_key"].as_str().expect("a key").to_owned();
    tenant.assert_nothing_leaked(&operator, &["hunter2", &pem[40..80]]);
}
