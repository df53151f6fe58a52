//! The way to Vault: proxies, path prefixes, address literals, names and headers.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Tenant, eventually};
use crate::tls::TlsVault;

const GOOD: &str = "transport-hunter2";

/// Listens, forwards to Vault what it is sent, and remembers the first line of each connection. It ends with the process.
pub struct Forwarder {
    /// Where it listens.
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    target: Arc<Mutex<String>>,
}

impl Forwarder {
    /// What comes with `prefix` before the path of Vault's API goes to `target` without it.
    fn of_http(listen: &str, target: &str, prefix: &'static str) -> Self {
        let target = target.to_owned();
        Self::new(listen, move |mut client, head| {
            let server = TcpStream::connect(&target).expect("Vault");
            let mut to_server = server.try_clone().expect("a socket");
            let answers = client.try_clone().expect("a socket");
            thread::spawn(move || copy(server, answers));
            let mut chunk = head;
            loop {
                // The head of a request comes in one piece, from this client on this machine.
                let text = String::from_utf8(chunk).expect("requests are text");
                to_server.write_all(text.replace(prefix, "").as_bytes()).expect("Vault reads");
                chunk = match receive(&mut client) {
                    Some(chunk) => chunk,
                    None => return,
                };
            }
        })
    }

    /// Bytes, to `target`.
    pub fn of_tcp(target: &str) -> Self {
        let current = Arc::new(Mutex::new(target.to_owned()));
        let target = current.clone();
        let forwarder = Self::new("127.0.0.1:0", move |client, head| {
            let target = target.lock().expect("no panic").clone();
            let mut server = TcpStream::connect(target).expect("the target");
            server.write_all(&head).expect("the target reads");
            let (answers, requests) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || copy(server, answers));
            copy(client, requests);
        });
        Self { target: current, ..forwarder }
    }

    /// Leads to another target from now on; connections that are open end.
    pub fn turn_to(&self, target: &str) {
        *self.target.lock().expect("no panic") = target.to_owned();
        self.open.lock().expect("no panic").drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// An HTTP proxy that tunnels (RFC 9110, CONNECT).
    fn of_tunnels() -> Self {
        Self::new("127.0.0.1:0", |mut client, head| {
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).expect("a target").replace("vault.inside", "127.0.0.1");
            let server = TcpStream::connect(target).expect("the target");
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("the client reads");
            let (answers, requests) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || copy(server, answers));
            copy(client, requests);
        })
    }

    fn new(listen: &str, serve: impl Fn(TcpStream, Vec<u8>) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind(listen).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, open) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(vec![])));
        let (notes, connections) = (seen.clone(), open.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, serve, notes) = (client.expect("a connection"), serve.clone(), notes.clone());
                connections.lock().expect("no panic").push(client.try_clone().expect("a socket"));
                thread::spawn(move || {
                    let Some(head) = receive(&mut client) else { return };
                    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                    notes.lock().expect("no panic").push(line);
                    serve(client, head);
                });
            }
        });
        Self { port, seen, open, target: Arc::default() }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

/// What was sent, until the connection ends.
fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(buffer[..n].to_vec()),
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A VaultConnection, a VaultAuth and a VaultStaticSecret of the same name that use each other.
fn chain(tenant: &Tenant<'_>, name: &str, connection: Value, auth: Value, secret: Value) {
    let mut spec = json!({ "vaultAuthRef": name, "path": tenant.path("source") });
    crate::tools::merge(&mut spec, secret);
    let mut auth = auth;
    auth["vaultConnectionRef"] = json!(name);
    tenant.apply_all(&[
        tenant.object("VaultConnection", name, connection),
        tenant.auth(name, auth),
        tenant.static_secret(name, spec),
    ]);
}

#[test]
fn addresses_with_a_path_and_of_ipv6() {
    let tenant = Tenant::new("address");
    tenant.put("source", json!({ "password": GOOD }));
    let _operator = tenant.operator(&[]);
    let vault = tenant.cluster.vault_addr();
    let target = vault.trim_start_matches("http://");
    let prefixed = Forwarder::of_http("127.0.0.1:0", target, "/tools/vault");
    let address = format!("http://127.0.0.1:{}/tools//vault/", prefixed.port);
    chain(&tenant, "prefix", json!({ "address": address }), json!({}), json!({}));
    tenant.wait_value("prefix", "password", GOOD);
    tenant.wait_condition("vaultconnection", "prefix", "Ready", "True", "");
    let seen = prefixed.seen();
    assert!(!seen.is_empty() && seen.iter().all(|line| line.contains(" /tools/vault/v1/")), "{seen:?}");

    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let six = Forwarder::of_http("[::1]:0", target, "");
    chain(&tenant, "six", json!({ "address": format!("http://[::1]:{}", six.port) }), json!({}), json!({}));
    tenant.wait_value("six", "password", GOOD);
    assert!(!six.seen().is_empty());
}

#[test]
fn headers_go_where_they_belong() {
    let tenant = Tenant::new("headers");
    tenant.put("source", json!({ "password": GOOD }));
    let (everywhere, at_login) = (format!("x-all-{}", tenant.namespace), format!("x-login-{}", tenant.namespace));
    for name in [&everywhere, &at_login, "x-vault-namespace", "user-agent"] {
        let path = format!("sys/config/auditing/request-headers/{name}");
        tenant.cluster.vault("POST", &path, Some(json!({ "hmac": false }))).expect("the header is audited");
    }
    let _operator = tenant.operator(&[]);
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let connection = json!({ "address": tenant.cluster.vault_addr(), "headers": { everywhere.as_str(): "a" } });
    let auth = json!({ "namespace": "team", "headers": { at_login.as_str(): "b" } });
    chain(&tenant, "inherits", connection.clone(), auth.clone(), json!({}));
    chain(&tenant, "names", connection, auth, json!({ "namespace": "/other/" }));

    // Whatever this edition of Vault makes of a namespace: it was asked for.
    let requests = eventually("reads in both namespaces", || {
        let (entries, _) = tenant.cluster.vault_audit_since(marker).map_err(|e| e.to_string())?;
        let headers = |e: &testenv::VaultAuditEntry| e.raw["request"]["headers"].clone();
        let ours = entries.into_iter().filter(|e| e.kind == "request" && !headers(e)[&everywhere].is_null());
        let ours: Vec<(String, Value)> = ours.map(|e| (e.path.clone(), headers(&e))).collect();
        let read_in =
            |ns: &str| ours.iter().any(|(path, h)| path.contains("source") && h["x-vault-namespace"][0] == ns);
        if read_in("team") && read_in("other") { Ok(ours) } else { Err(format!("{ours:?}")) }
    });
    let logins: Vec<_> = requests.iter().filter(|(path, _)| path.ends_with("/login")).collect();
    assert_eq!(logins.len(), 1, "two objects, one identity: {logins:?}");
    for (path, headers) in &requests {
        let login = path.ends_with("/login");
        assert_eq!(headers[&everywhere], json!(["a"]), "{path}");
        assert_eq!(headers[&at_login], if login { json!(["b"]) } else { json!(null) }, "{path}");
        let agent = headers["user-agent"][0].as_str().unwrap_or_default();
        assert!(agent.starts_with("vso/"), "{path}: {agent:?}");
        if login || path.starts_with("auth/token/") {
            assert_eq!(headers["x-vault-namespace"], json!(["team"]), "{path}");
        }
    }
}

#[test]
fn a_proxy_from_the_environment_and_a_name_for_the_certificate() {
    let tenant = Tenant::new("proxied");
    let mut vault = TlsVault::new(tenant.cluster);
    vault.start();
    vault.prepare(&tenant, GOOD);
    let proxy = Forwarder::of_tunnels();
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let _operator = tenant.operator_with(&[("HTTPS_PROXY", &address)], &[]);
    tenant.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "ca" },
        "stringData": { "ca.crt": vault.authority() },
    }));
    let connection =
        |address: String, name: &str| json!({ "address": address, "caCertSecretRef": "ca", "tlsServerName": name });
    // A name that only the proxy knows: loopback never goes through one.
    let by_name = format!("https://vault.inside:{}", vault.port);
    let secret = || json!({ "path": "tls" });
    chain(&tenant, "by-name", connection(by_name, "localhost"), json!({}), secret());
    tenant.wait_value("by-name", "password", GOOD);
    let target = format!("CONNECT vault.inside:{} HTTP/1.1", vault.port);
    let tunnels = proxy.seen();
    assert!(!tunnels.is_empty() && tunnels.iter().all(|line| *line == target), "{tunnels:?}");

    // Not through the proxy: the address is excepted, whatever name the certificate has, and loopback in any case.
    let by_address = || format!("https://127.0.0.1:{}", vault.port);
    chain(&tenant, "direct", connection(by_address(), ""), json!({}), secret());
    chain(&tenant, "named", connection(by_address(), "localhost"), json!({}), secret());
    chain(&tenant, "misnamed", connection(by_address(), "vault.example"), json!({}), secret());
    for name in ["direct", "named"] {
        tenant.wait_value(name, "password", GOOD);
    }
    tenant.wait_not_ready("vaultconnection", "misnamed", "InvalidConfiguration", &["TLS handshake with Vault failed"]);
    assert!(proxy.seen().iter().all(|line| *line == target), "{:?}", proxy.seen());
}
