//! Each login of a store, on a real server.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use testenv::Server;

use super::{SERVED, object, store, store_of, token, user_of, vault_provider, wait_failure, wait_synced};
use crate::namespaces::{allow, ask, make};
use test_support::audit::{Count, describe};
use test_support::auth_mounts::{app_role_mount, jwt_mount, kubernetes_mount, mount, new_secret_id, secret};
use test_support::kube_client::KubeClient;
use test_support::tls_vault::TlsVault;
use test_support::{Tenant, eventually, free_port, http_get, lacks};

const GOOD: &str = "es-logins-hunter2";

#[test]
fn each_login_of_a_store_reads() {
    let tenant = Tenant::new("es-logins");
    let vault = |path: &str, body: Value| tenant.cluster.vault("POST", path, Some(body)).expect("Vault does it");
    tenant.put("db", json!({ "password": GOOD }));
    let (app_role, role_id) = app_role_mount(&tenant);
    let secret_id = new_secret_id(&tenant, &app_role);
    let jwt = jwt_mount(&tenant);
    let kubernetes = kubernetes_mount(&tenant);
    let role = json!({
        "bound_service_account_names": "app", "bound_service_account_namespaces": tenant.namespace,
        "token_policies": tenant.namespace, "audience": "vault",
    });
    vault(&format!("auth/{kubernetes}/role/app"), role);
    let user_pass = mount(&tenant, "userpass");
    let user = json!({ "password": "es-user-hunter2", "token_policies": tenant.namespace });
    vault(&format!("auth/{user_pass}/users/app"), user);
    let account = tenant.cluster.service_account_token(&tenant.namespace, "app", &["vault"]).expect("a token");
    let token = token(&tenant, "path \"secret/none\" { capabilities = [\"read\"] }");
    tenant.apply_all(&[
        // A line break at the end does not count.
        secret("of-token", "token", &format!("{token}\n")),
        secret("of-role", "id", &role_id),
        secret("of-secret-id", "id", &secret_id),
        secret("of-account", "token", &account),
        secret("of-jwt", "jwt", &account),
        secret("of-user", "password", "es-user-hunter2"),
    ]);
    let id = json!({ "name": "of-secret-id", "key": "id" });
    let app = json!({ "name": "app", "audiences": ["vault"] });
    let logins = [
        ("token", json!({ "tokenSecretRef": { "name": "of-token", "key": "token" } })),
        ("role-id", json!({ "appRole": { "path": app_role, "roleId": role_id, "secretRef": id } })),
        (
            "role-ref",
            json!({ "appRole": { "path": app_role, "roleRef": { "name": "of-role", "key": "id" }, "secretRef": id } }),
        ),
        ("account", json!({ "kubernetes": { "mountPath": kubernetes, "role": "app", "serviceAccountRef": app } })),
        (
            "stored",
            json!({ "kubernetes": { "mountPath": kubernetes, "role": "app", "secretRef": { "name": "of-account" } } }),
        ),
        ("jwt-stored", json!({ "jwt": { "path": jwt, "role": "app", "secretRef": { "name": "of-jwt" } } })),
        (
            "jwt-account",
            json!({ "jwt": {
                "path": jwt, "role": "app", "kubernetesServiceAccountToken": { "serviceAccountRef": { "name": "app" } },
            } }),
        ),
        (
            "user-pass",
            json!({ "userPass": { "path": user_pass, "username": "app", "secretRef": { "name": "of-user", "key": "password" } } }),
        ),
    ];
    let operator = tenant.operator(SERVED);
    for (name, auth) in &logins {
        tenant.apply_all(&[store_of(&tenant, name, auth.clone()), user_of(&tenant, name)]);
    }
    for (name, _) in &logins {
        tenant.wait_value(name, "password", GOOD);
        wait_synced(&tenant, name);
        tenant.wait_condition_of("secretstore", name, ("Ready", "True", Some("Valid")), &["store validated"]);
    }
    // What is wrong with a login is told, and costs nothing that is good.
    let wrong = json!({ "userPass": { "path": user_pass, "username": "app", "secretRef": { "name": "of-user", "key": "no" } } });
    tenant.apply(&store_of(&tenant, "user-pass", wrong));
    wait_failure(&tenant, "user-pass", &["could not get secret data from provider", "no key \"no\""]);
    tenant.wait_not_ready("secretstore", "user-pass", "InvalidProviderConfig", &["no key \"no\""]);
    tenant.wait_value("user-pass", "password", GOOD);
    tenant.assert_nothing_leaked(&operator, &[GOOD, &token, &secret_id, "es-user-hunter2", &account]);
}

#[test]
fn a_client_certificate_logs_in_and_authorities_come_from_each_place() {
    let tenant = Tenant::new("es-tls");
    let mut vault = TlsVault::new(tenant.cluster);
    vault.start();
    vault.prepare(&tenant, GOOD);
    vault.run(&["kv", "put", &format!("secret/{}", tenant.path("db")), &format!("password={GOOD}")]).expect("a secret");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["client.test".to_owned()]).expect("a name");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name.push(rcgen::DnType::CommonName, "client.test");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let file = vault.dir.join("client.pem");
    std::fs::write(&file, &certificate).expect("a file");
    vault.run(&["auth", "enable", "cert"]).expect("an auth mount");
    let of_file = format!("certificate=@{}", file.display());
    let policies = format!("token_policies={}", tenant.namespace);
    vault.run(&["write", "auth/cert/certs/client", &of_file, &policies]).expect("a role");
    let authority = vault.authority();
    let data = |key: &str, value: &str| json!({ key: value });
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "ca" }, "data": data("ca.pem", &authority),
    });
    let client = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "client" },
        "stringData": { "tls.crt": certificate, "tls.key": key.serialize_pem() },
    });
    tenant.apply_all(&[config_map, client, secret("ca", "ca.pem", &authority)]);
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&authority);
    let pair = |certificate: &str, key: &str| json!({ certificate: { "name": "client", "key": "tls.crt" }, key: { "name": "client", "key": "tls.key" } });
    let of = |name: &str, members: Value| {
        let mut spec = vault_provider(&tenant, json!({ "server": vault.address() }));
        json_patch::merge(&mut spec["provider"]["vault"], &members);
        object(&tenant, "SecretStore", name, spec)
    };
    let ca = |kind: &str| json!({ "caProvider": { "type": kind, "name": "ca", "key": "ca.pem" } });
    let mut login = pair("clientCert", "secretRef");
    login["vaultRole"] = json!("client");
    let stores = [
        ("bundle", json!({ "caBundle": bundle })),
        ("secret", ca("Secret")),
        ("config-map", ca("ConfigMap")),
        ("cert", json!({ "caBundle": bundle, "auth": { "kubernetes": null, "cert": login } })),
        ("mutual", json!({ "caBundle": bundle, "tls": pair("certSecretRef", "keySecretRef") })),
    ];
    let operator = tenant.operator(SERVED);
    tenant.apply_all(&[of("none", json!({})), user_of(&tenant, "none")]);
    for (name, members) in &stores {
        tenant.apply_all(&[of(name, members.clone()), user_of(&tenant, name)]);
    }
    for (name, _) in &stores {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_condition_of("secretstore", name, ("Ready", "True", Some("Valid")), &["store validated"]);
    }
    wait_failure(&tenant, "none", &["could not get secret data from provider", "TLS handshake with Vault failed"]);
    let pem = key.serialize_pem();
    tenant.assert_nothing_leaked(&operator, &[GOOD, &pem[30..60]]);
}

/// A proxy before Vault that sends a token of its own with requests that have none.
struct VaultProxy {
    port: u16,
    process: std::process::Child,
}

impl VaultProxy {
    fn start(tenant: &Tenant<'_>, token: &str) -> Self {
        let (cluster, port) = (tenant.cluster, free_port());
        let file = |name: &str, text: &str| {
            let path = cluster.dir().join(format!("{}-{name}", tenant.namespace));
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let token = file("proxy-token", token);
        let config = format!(
            "vault {{ address = {:?} }}\n\
             auto_auth {{ method {{ type = \"token_file\"\n config = {{ token_file_path = {token:?} }} }} }}\n\
             api_proxy {{ use_auto_auth_token = true }}\n\
             listener \"tcp\" {{ address = \"127.0.0.1:{port}\"\n tls_disable = true }}\n",
            cluster.vault_addr(),
        );
        let config = file("proxy.hcl", &config);
        let mut command = cluster.command(cluster.server().command());
        command.args(["proxy", &format!("-config={config}")]);
        command.env_remove("VAULT_TOKEN").env_remove("BAO_TOKEN").env_remove("VAULT_ADDR").env_remove("BAO_ADDR");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = cluster.adopt(&mut command).spawn().expect("the proxy starts");
        let proxy = Self { port, process };
        eventually("the proxy sends its token", || http_get(port, "/v1/auth/token/lookup-self"));
        proxy
    }
}

impl Drop for VaultProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_store_without_auth_leaves_the_token_to_a_proxy() {
    let tenant = Tenant::new("es-no-auth");
    tenant.put("db", json!({ "password": GOOD }));
    let token = token(&tenant, "path \"secret/none\" { capabilities = [\"read\"] }");
    let proxy = VaultProxy::start(&tenant, &token);
    let operator = tenant.operator(SERVED);
    let of = |name: &str, members: Value| {
        let mut spec = vault_provider(&tenant, json!({ "auth": null }));
        json_patch::merge(&mut spec["provider"]["vault"], &members);
        object(&tenant, "SecretStore", name, spec)
    };
    let behind = json!({ "server": format!("http://127.0.0.1:{}", proxy.port) });
    tenant.apply_all(&[of("behind", behind.clone()), of("direct", json!({}))]);
    let mut empty = behind;
    empty["auth"] = json!({});
    tenant.apply(&of("empty", empty));
    for name in ["behind", "direct", "empty"] {
        tenant.apply(&user_of(&tenant, name));
    }
    tenant.wait_value("behind", "password", GOOD);
    tenant.wait_condition_of("secretstore", "behind", ("Ready", "True", Some("Valid")), &["store validated"]);
    wait_failure(&tenant, "direct", &["could not get secret data from provider", "the store has no auth"]);
    tenant.wait_not_ready("secretstore", "direct", "InvalidProviderConfig", &["invalid vault credentials"]);
    tenant.wait_not_ready("secretstore", "empty", "InvalidProviderConfig", &["no valid auth method specified"]);
    tenant.assert_nothing_leaked(&operator, &[GOOD, &token]);
}

#[test]
fn a_login_and_an_engine_in_namespaces() {
    if lacks(Server::Vault, "namespaces in its Community Edition") {
        return;
    }
    let tenant = Tenant::new("es-namespaces");
    let (parent, child) = (tenant.namespace.clone(), format!("{}/child", tenant.namespace));
    make(&tenant, "", &parent, json!({}));
    make(&tenant, &format!("{parent}/"), "child", json!({}));
    let rules = "path \"secret/data/*\" { capabilities = [\"read\"] }\npath \"child/secret/data/*\" { capabilities = [\"read\"] }";
    for namespace in [&parent, &child] {
        allow(&tenant, namespace, rules, "1h");
        let path = format!("secret/data/{}", tenant.path("db"));
        ask(&tenant, "POST", namespace, &path, json!({ "data": { "password": format!("of {namespace}") } }));
    }
    let _operator = tenant.operator(SERVED);
    let of = |name: &str, vault: Value| object(&tenant, "SecretStore", name, vault_provider(&tenant, vault));
    tenant.apply_all(&[
        of("parent", json!({ "namespace": parent })),
        of("child", json!({ "namespace": child })),
        // The login of the parent, the engine of the child.
        of("both", json!({ "namespace": child, "auth": { "namespace": parent } })),
        of("nowhere", json!({ "namespace": "es-nowhere" })),
    ]);
    for name in ["parent", "child", "both", "nowhere"] {
        tenant.apply(&user_of(&tenant, name));
    }
    for (name, namespace) in [("parent", &parent), ("child", &child), ("both", &child)] {
        tenant.wait_value(name, "password", &format!("of {namespace}"));
        wait_synced(&tenant, name);
    }
    wait_failure(&tenant, "nowhere", &["could not get secret data from provider: "]);
}

/// How many logins of the tenant's stores, or generators, of this kind are stored.
pub(super) fn stored_logins(tenant: &Tenant<'_>, of: &str) -> usize {
    let secrets = KubeClient::of(tenant.cluster).list("secret", &tenant.operator_namespace).expect("Secrets");
    let kind = |secret: &Value| secret["metadata"]["labels"]["vso.secrets.hashicorp.com/store-kind"].clone();
    secrets.iter().filter(|secret| kind(secret) == of).count()
}

#[track_caller]
pub(super) fn wait_stored(tenant: &Tenant<'_>, of: &str, wanted: usize) {
    eventually("the login is stored, or is not any more", || match stored_logins(tenant, of) {
        found if found == wanted => Ok(()),
        found => Err(format!("{found} stored logins")),
    });
}

/// Arguments of an operator that stores its logins.
pub(super) fn persistent() -> Vec<&'static str> {
    [SERVED, &["--leader-elect=false", "--client-cache-persistence-model=direct-unencrypted"]].concat()
}

#[test]
fn a_restart_costs_no_login_for_stores() {
    let tenant = Tenant::new("es-stored");
    tenant.put("db", json!({ "password": GOOD }));
    let mut operator = tenant.operator(&persistent());
    tenant.apply_all(&[store(&tenant), user_of(&tenant, "vault")]);
    wait_synced(&tenant, "vault");
    wait_stored(&tenant, "SecretStore", 1);
    // What is of no use is swept up; this one is of use.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(stored_logins(&tenant, "SecretStore"), 1);
    operator.kill();
    let count = Count::start(&tenant);
    tenant.put("db", json!({ "password": "es-restarted-hunter2" }));
    operator = tenant.operator(&persistent());
    tenant.wait_value("vault", "password", "es-restarted-hunter2");
    // By then its service account is followed as well.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(count.logins(), 0, "{}", describe(&count.requests()));
    tenant.wait_condition_of("secretstore", "vault", ("Ready", "True", Some("Valid")), &["store validated"]);

    tenant.kubectl(&["delete", "secretstore", "vault"]).expect("it is deleted");
    wait_stored(&tenant, "SecretStore", 0);
    tenant.assert_nothing_leaked(&operator, &[GOOD, "es-restarted-hunter2"]);
}

#[test]
fn a_restart_costs_no_login_for_generators() {
    let tenant = Tenant::new("es-stored-made");
    tenant.put("db", json!({ "password": GOOD }));
    let mut operator = tenant.operator(&persistent());
    let provider = vault_provider(&tenant, json!({ "path": null }))["provider"]["vault"].clone();
    let api_version = "generators.external-secrets.io/v1alpha1";
    let generator = json!({
        "apiVersion": api_version, "kind": "VaultDynamicSecret",
        "metadata": { "name": "reader", "namespace": tenant.namespace },
        "spec": { "path": format!("secret/data/{}", tenant.path("db")), "provider": provider },
    });
    let reference = json!({ "apiVersion": api_version, "kind": "VaultDynamicSecret", "name": "reader" });
    let user = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": { "name": "made", "namespace": tenant.namespace },
        "spec": { "refreshInterval": "1h", "dataFrom": [{ "sourceRef": { "generatorRef": reference } }] },
    });
    // By kubectl: the kind shares its name with another.
    tenant.cluster.kubectl_apply(&format!("{generator}\n---\n{user}")).expect("they are accepted");
    tenant.wait_value("made", "data", &json!({ "password": GOOD }).to_string());
    wait_stored(&tenant, "VaultDynamicSecret", 1);
    // What is of no use is swept up; this one is of use.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(stored_logins(&tenant, "VaultDynamicSecret"), 1);
    operator.kill();
    let count = Count::start(&tenant);
    tenant.put("db", json!({ "password": "es-made-hunter2" }));
    operator = tenant.operator(&persistent());
    tenant.kubectl(&["annotate", "externalsecret", "made", "force-sync=1"]).unwrap();
    tenant.wait_value("made", "data", &json!({ "password": "es-made-hunter2" }).to_string());
    assert_eq!(count.logins(), 0, "{}", describe(&count.requests()));

    tenant.kubectl(&["delete", "vaultdynamicsecrets.generators.external-secrets.io", "reader"]).expect("it is deleted");
    wait_stored(&tenant, "VaultDynamicSecret", 0);
    tenant.assert_nothing_leaked(&operator, &[GOOD, "es-made-hunter2"]);
}

#[test]
fn a_store_that_nothing_uses_keeps_its_login() {
    let tenant = Tenant::new("es-unused");
    let count = Count::start(&tenant);
    let _operator = tenant.operator(SERVED);
    let mut unused = store(&tenant);
    unused["spec"]["refreshInterval"] = json!(1);
    tenant.apply(&unused);
    tenant.wait_condition_of("secretstore", "vault", ("Ready", "True", Some("Valid")), &["store validated"]);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(count.logins(), 1, "each check has logged in");
}
