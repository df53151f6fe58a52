//! The objects of the hostile tenant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::kube_client::KubeClient;
use test_support::{Tenant, scratch};

use crate::server;

/// Objects with each expensive template.
const COPIES: usize = 5;
/// VaultConnections to the server that accepts and is silent.
const SILENT_CONNECTIONS: usize = 150;
/// VaultStaticSecrets that read from the silent server.
const SILENT_READERS: usize = 64;

/// Templates, each of which would take minutes or gigabytes.
const TEMPLATES: &[&str] = &[
    r#"{{ $a := repeat 30000000 "a" }}{{ len $a }}"#,
    r#"{{ contains (print (repeat 4000000 "a") "b") (repeat 8000000 "a") }}"#,
    r#"{{ regexMatch (repeat 4000000 "{") "x" }}"#,
    r#"{{ regexMatch (print (repeat 60 "(?:[ab]?){1000}") "$") (repeat 1000000 "a") }}"#,
    r#"{{ regexReplaceAll (repeat 5000 "(a)") (repeat 5000 "a") "x" }}"#,
    r#"{{ regexMatch (print (repeat 1000 "(?:") "a" (repeat 1000 ")")) "a" }}"#,
    r#"{{ range until 1000000 }}{{ $_ := set $.Secrets (toString .) (repeat 1000 "a") }}{{ end }}"#,
    r#"{{ range until 1000 }}{{ bcrypt "a" }}{{ end }}"#,
    r#"{{ genPrivateKey "rsa" }}{{ genPrivateKey "rsa" }}{{ genPrivateKey "rsa" }}"#,
    r#"{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}"#,
    r#"{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}"#,
    r#"{{ replace "a" (repeat 10000 "b") (repeat 100000 "a") }}"#,
];

/// Files that would never end, or never be opened.
const FILES: &[&str] = &["/dev/zero", "/dev/urandom", "/dev/ptmx", "/proc/kmsg", "/proc/self/environ", "/"];

/// All of them.
pub fn all(tenant: &Tenant<'_>) -> Vec<Value> {
    let mut all = vec![];
    all.extend(servers(tenant));
    all.extend(templates(tenant));
    all.extend(files(tenant));
    all.extend(silent(tenant));
    all.extend(patterns(tenant));
    tenant.put("fast", json!({ "k": "v" }));
    let at_once = |i| json!({ "path": tenant.path("fast"), "refreshAfter": "0.000001s", "destination": { "name": format!("fast{i}") } });
    all.extend((0..40).map(|i| tenant.static_secret(&format!("fast{i}"), at_once(i))));
    tenant.put("reverted", json!({ "k": "v" }));
    all.push(tenant.static_secret("reverted", json!({})));
    all
}

/// A VaultConnection, a VaultAuth and a VaultStaticSecret of a name.
fn chain(tenant: &Tenant<'_>, name: &str, connection: Value) -> [Value; 3] {
    [
        tenant.object("VaultConnection", name, connection),
        tenant.auth(name, json!({ "vaultConnectionRef": name })),
        tenant.static_secret(name, json!({ "vaultAuthRef": name })),
    ]
}

fn servers(tenant: &Tenant<'_>) -> Vec<Value> {
    let address = server::start();
    let mut all = vec![];
    for way in server::WAYS {
        all.extend(chain(tenant, way, json!({ "address": format!("http://{address}/{way}") })));
        // More readers of it, each of a path of its own, so that none shares a read.
        for i in 0..4 {
            let name = format!("{way}-{i}");
            all.push(tenant.static_secret(&name, json!({ "vaultAuthRef": way })));
        }
    }
    all
}

fn templates(tenant: &Tenant<'_>) -> Vec<Value> {
    let mut all = vec![];
    for (i, text) in TEMPLATES.iter().enumerate() {
        for copy in 0..COPIES {
            let name = format!("template{i}-{copy}");
            tenant.put(&name, json!({ "k": "v" }));
            let templates = json!({ "a": { "text": text }, "b": { "text": text } });
            all.push(
                tenant.static_secret(&name, json!({ "destination": { "transformation": { "templates": templates } } })),
            );
        }
    }
    all
}

fn files(tenant: &Tenant<'_>) -> Vec<Value> {
    let fifo = scratch().join(format!("{}-{}.fifo", tenant.namespace, std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let fifo = fifo.to_str().expect("UTF-8").to_owned();
    let files = FILES.iter().map(|file| (*file).to_owned()).chain([fifo]);
    let address = "https://127.0.0.1:1";
    files
        .enumerate()
        .flat_map(|(i, file)| chain(tenant, &format!("file{i}"), json!({ "address": address, "caCertPath": file })))
        .collect()
}

fn silent(tenant: &Tenant<'_>) -> Vec<Value> {
    let address = server::start_silent();
    let connection = |i: usize| json!({ "address": format!("http://{address}/{i}"), "timeout": "9999h" });
    let mut all: Vec<Value> = (0..SILENT_CONNECTIONS)
        .map(|i| tenant.object("VaultConnection", &format!("silent{i}"), connection(i)))
        .collect();
    for i in 0..SILENT_READERS {
        let name = format!("silent{i}");
        all.push(tenant.auth(&name, json!({ "vaultConnectionRef": name })));
        all.push(tenant.static_secret(&name, json!({ "vaultAuthRef": name })));
    }
    all
}

fn patterns(tenant: &Tenant<'_>) -> Vec<Value> {
    let object = |i: usize| {
        let name = format!("patterns{i}");
        tenant.put(&name, json!({ "k": "v" }));
        let excludes: Vec<String> = (0..100).map(|j| format!("\\pL{{12}}_{i}_{j}")).collect();
        tenant.static_secret(&name, json!({ "destination": { "transformation": { "excludes": excludes } } }))
    };
    (0..COPIES).map(object).collect()
}

/// Takes what the operator has written out of a Secret, each time it is there.
pub fn revert_for_ever(tenant: &Tenant<'_>, stop: &AtomicBool) {
    let api = KubeClient::of(tenant.cluster);
    while !stop.load(Ordering::Relaxed) {
        let _ = api.patch("Secret", &tenant.namespace, "reverted", &json!({ "data": { "k": "eA==" } }));
        std::thread::sleep(Duration::from_millis(20));
    }
}
