//! Method `token`, against a server that speaks no more than KV v2 below a path, as OVHcloud Secret Manager does.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use test_support::auth_mounts::secret;
use test_support::http_server::{Answer, Request, serve};
use test_support::{FAST_RETRY, Tenant};

const DOMAIN: &str = "3f2b6d0a-58a1-4d0e-9a53-7c1f3c1f9a10";

/// A server without `sys/*` and `auth/*`: it answers one path to the right token, and 404 to everything else.
struct KvServer {
    address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Tokens that are good.
    tokens: Vec<String>,
    value: String,
    /// Status for the others.
    refusal: u16,
    /// Paths that were asked for, each with the status of the answer.
    asked: Vec<(String, u16)>,
    /// Answers 503 to all.
    down: bool,
}

impl KvServer {
    fn start(token: &str, value: &str) -> Self {
        let state = State { tokens: vec![token.into()], value: value.into(), refusal: 403, asked: vec![], down: false };
        let state = Arc::new(Mutex::new(state));
        let answering = state.clone();
        let host = serve(Arc::new(move |request: &Request| answering.lock().expect("the state").answer(request)));
        Self { address: format!("http://{host}/api/{DOMAIN}"), state }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("the state"));
    }

    fn asked(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.state.lock().expect("the state").asked)
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let token = request.header("x-vault-token");
        let good = token.is_some_and(|token| self.tokens.iter().any(|good| good == token));
        let answer = if self.down {
            Answer::refusal(503, "down for maintenance")
        } else if request.path != format!("/api/{DOMAIN}/v1/secret/data/app") {
            Answer::refusal(404, "<html>not found</html>")
        } else if good {
            let version = json!({ "version": 1, "created_time": "2026-01-15T00:00:00Z", "destroyed": false });
            Answer::json(&json!({ "data": { "data": { "password": self.value }, "metadata": version } }))
        } else {
            Answer::refusal(self.refusal, r#"{"errors":["invalid token"]}"#)
        };
        self.asked.push((request.path.clone(), answer.status));
        answer
    }
}

/// A connection, a login and an object of this name. The Secret with the token is called after them.
fn user(tenant: &Tenant<'_>, name: &str, server: &KvServer, key: Option<&str>) -> [Value; 3] {
    let mut reference = json!({ "name": format!("{name}-token") });
    key.into_iter().for_each(|key| reference["key"] = json!(key));
    let auth = json!({ "vaultConnectionRef": name, "method": "token", "token": { "secretRef": reference } });
    [
        tenant.object("VaultConnection", name, json!({ "address": server.address })),
        tenant.object("VaultAuth", name, auth),
        tenant.static_secret(name, json!({ "vaultAuthRef": name, "mount": "secret", "path": "app" })),
    ]
}

#[test]
fn a_server_that_knows_only_kv_is_read_with_a_token_that_may_be_replaced() {
    let tenant = Tenant::new("token");
    let server = KvServer::start("first-token-hunter2", "one");
    let operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&secret("kv-token", "token", "first-token-hunter2\n"));
    tenant.apply_all(&user(&tenant, "kv", &server, None));
    tenant.wait_value("kv", "password", "one");
    tenant.wait_synced("kv");
    tenant.wait_condition("vaultauth", "kv", "Ready", "True", "");
    tenant.wait_condition("vaultconnection", "kv", "Ready", "True", "no sys/seal-status");
    tenant.wait_condition("vaultconnection", "kv", "VaultPing", "True", "reads of secrets show its health");
    // Nothing but the read and the probe of the connection: no login, no look-up, no renewal.
    let (read, probe) = (format!("/api/{DOMAIN}/v1/secret/data/app"), format!("/api/{DOMAIN}/v1/sys/seal-status"));
    for (path, status) in server.asked() {
        assert!((path == read && status == 200) || (path == probe && status == 404), "{status} {path}");
    }

    // The old token is refused from now on. The object is not touched.
    tenant.apply(&secret("kv-token", "token", "second-token-hunter2"));
    server.set(|state| (state.tokens, state.value) = (vec!["second-token-hunter2".into()], "two".into()));
    let generation = tenant.generation("vaultstaticsecret", "kv");
    tenant.wait_value("kv", "password", "two");
    tenant.wait_synced("kv");
    assert_eq!(tenant.generation("vaultstaticsecret", "kv"), generation);

    // The old token stays good: the new one is taken up all the same.
    server.set(|state| state.tokens.push("third-token-hunter2".into()));
    tenant.apply(&secret("kv-token", "token", "third-token-hunter2\r\n"));
    let replaced = Instant::now();
    std::thread::sleep(Duration::from_secs(65));
    server.set(|state| state.tokens.retain(|token| token == "third-token-hunter2"));
    server.asked();
    server.set(|state| state.value = "three".into());
    tenant.wait_value("kv", "password", "three");
    let refused = server.asked().iter().filter(|(_, status)| *status == 403).count();
    assert_eq!(refused, 0, "the new token was in use {:?} after it was put there", replaced.elapsed());
    let tokens = ["first-token-hunter2", "second-token-hunter2", "third-token-hunter2"];
    tenant.assert_nothing_leaked(&operator, &tokens);
}

#[test]
fn what_is_wrong_with_a_token_is_said_and_a_right_one_is_used() {
    let tenant = Tenant::new("token-wrong");
    let here = &tenant.namespace;
    let server = KvServer::start("right-token", "one");
    let unauthorized = KvServer::start("right-token", "one");
    unauthorized.set(|state| state.refusal = 401);
    let operator = tenant.operator(&FAST_RETRY);
    tenant.apply_all(&[
        secret("refused-token", "token", "wrong-token"),
        secret("unauthorized-token", "token", "wrong-token"),
        secret("spaced-token", "token", "wrong token"),
        secret("keyless-token", "token", "right-token"),
    ]);
    tenant.apply_all(&user(&tenant, "refused", &server, None));
    tenant.apply_all(&user(&tenant, "unauthorized", &unauthorized, None));
    tenant.apply_all(&user(&tenant, "spaced", &server, None));
    tenant.apply_all(&user(&tenant, "keyless", &server, Some("other")));
    tenant.apply_all(&user(&tenant, "missing", &server, None));
    let denied = "permission denied on path \"secret/data/app\"";
    let location = |name: &str| format!("key \"token\" of Secret {here}/{name}-token");
    tenant.wait_failure("refused", "VaultClientError", &[denied, "invalid token", &location("refused")]);
    tenant.wait_failure("unauthorized", "VaultClientError", &[denied, "(HTTP 401)", &location("unauthorized")]);
    tenant.wait_failure("spaced", "VaultClientConfigError", &[&location("spaced"), "holds no token"]);
    let keyless = format!("no key \"other\" found in secret {here}/keyless-token");
    tenant.wait_failure("keyless", "VaultClientConfigError", &[&keyless]);
    let missing = format!("Secret {here}/missing-token with the credential does not exist");
    tenant.wait_failure("missing", "VaultClientConfigError", &[&missing]);

    for name in ["refused", "unauthorized", "spaced", "missing"] {
        tenant.apply(&secret(&format!("{name}-token"), "token", "right-token"));
    }
    tenant.apply(&secret("keyless-token", "other", "right-token"));
    for name in ["refused", "unauthorized", "spaced", "keyless", "missing"] {
        tenant.wait_value(name, "password", "one");
        tenant.wait_synced(name);
    }
    tenant.assert_nothing_leaked(&operator, &["wrong-token", "wrong token", "right-token"]);
}

#[test]
fn a_server_without_a_seal_status_is_noticed_to_be_back() {
    let tenant = Tenant::new("token-outage");
    let server = KvServer::start("token", "one");
    let (host, path) = server.address.trim_start_matches("http://").split_once('/').expect("a path");
    let proxy = tenant.cluster.proxy("kv", host).expect("a proxy");
    let address = format!("{}/{path}", proxy.url("http"));
    let _operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&secret("kv-token", "token", "token"));
    let mut objects = user(&tenant, "kv", &server, None);
    objects[0]["spec"]["address"] = json!(address);
    tenant.apply_all(&objects);
    tenant.wait_value("kv", "password", "one");
    tenant.wait_condition("vaultconnection", "kv", "Ready", "True", "no sys/seal-status");

    proxy.cut().expect("it is cut");
    tenant.wait_failure("kv", "VaultClientError", &["Vault cannot be reached"]);
    tenant.wait_not_ready("vaultconnection", "kv", "InvalidConfiguration", &["Vault cannot be reached"]);
    server.set(|state| state.value = "two".into());
    proxy.restore().expect("it is back");
    tenant.wait_value("kv", "password", "two");
    tenant.wait_condition("vaultconnection", "kv", "Ready", "True", "no sys/seal-status");

    // Nothing but reads shows that this server serves again.
    server.set(|state| state.down = true);
    tenant.wait_failure("kv", "VaultClientError", &["Vault cannot serve the request now"]);
    server.set(|state| (state.down, state.value) = (false, "three".into()));
    tenant.wait_value("kv", "password", "three");
    tenant.wait_synced("kv");
    tenant.wait_condition("vaultconnection", "kv", "Ready", "True", "no sys/seal-status");
}

#[test]
fn the_sample_works() {
    let tenant = Tenant::new("token-sample");
    let server = KvServer::start("00000000-token", "of-sample");
    let _operator = tenant.operator(&[]);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/auth/token.yaml");
    let text = std::fs::read_to_string(sample).expect("the sample");
    let address = "https://eu-west-par.okms.ovh.net/api/00000000-0000-0000-0000-000000000000";
    assert!(text.contains(address));
    let here = tenant.cluster.dir().join(format!("{}-token.yaml", tenant.namespace));
    std::fs::write(&here, text.replace(address, &server.address)).expect("a file");
    tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
    tenant.wait_value("by-token", "password", "of-sample");
    tenant.wait_synced("by-token");
}
