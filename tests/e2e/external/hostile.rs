//! Tenants and servers that mean ill, or are broken: nothing good is lost, and no other object waits for them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{SERVED, external_secret, object, row, store, vault_provider, wait_failure, wait_synced};
use test_support::Tenant;
use test_support::auth_mounts::secret;
use test_support::http_server::{Answer, Request, serve};
use test_support::kube_client::encoded;

pub const GET: &str = "could not get secret data from provider: ";
/// How long a change of an object may take that has nothing to do with what is hostile, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A SecretStore of a cluster whose API server is at `host`, with the token of the Secret `token`.
pub fn cluster_store(tenant: &Tenant<'_>, name: &str, host: &str) -> Value {
    let provider = json!({ "kubernetes": {
        "remoteNamespace": "far", "server": { "url": format!("http://{host}") },
        "auth": { "token": { "bearerToken": { "name": "token", "key": "token" } } },
    } });
    object(tenant, "SecretStore", name, json!({ "provider": provider }))
}

/// A SecretStore of a Vault at `host`, with the token of the Secret `token`.
pub fn vault_store(tenant: &Tenant<'_>, name: &str, host: &str) -> Value {
    let auth = json!({ "kubernetes": null, "tokenSecretRef": { "name": "token", "key": "token" } });
    object(
        tenant,
        "SecretStore",
        name,
        vault_provider(tenant, json!({ "server": format!("http://{host}"), "auth": auth })),
    )
}

/// An ExternalSecret of the store of this name, which deletes what the store no longer has.
pub fn of_store(tenant: &Tenant<'_>, name: &str, store: &str, spec: Value) -> Value {
    let mut full = json!({ "secretStoreRef": { "name": store }, "target": { "deletionPolicy": "Delete" } });
    json_patch::merge(&mut full, &spec);
    external_secret(tenant, name, full)
}

/// A SelfSubjectRulesReview that allows everything.
pub fn allowed() -> Answer {
    let rules = json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]);
    Answer::json(&json!({ "kind": "SelfSubjectRulesReview", "status": { "resourceRules": rules } }))
}

/// A change of an object of the tenant's real Vault arrives as if there were nothing else.
#[track_caller]
pub fn others_are_served(tenant: &Tenant<'_>, round: usize) {
    let started = Instant::now();
    tenant.put("healthy", json!({ "n": round.to_string() }));
    tenant.wait_value("healthy", "n", &round.to_string());
    assert!(started.elapsed() < PATIENCE, "a change took {:?}", started.elapsed());
}

pub fn start_healthy(tenant: &Tenant<'_>) {
    tenant.put("healthy", json!({ "n": "0" }));
    tenant.apply_all(&[store(tenant), secret("token", "token", "hostile-token-hunter2")]);
    tenant.apply(&external_secret(tenant, "healthy", json!({ "data": [row(tenant, "n", "healthy", "n")] })));
    tenant.wait_value("healthy", "n", "0");
}

#[test]
fn an_answer_of_another_form_is_not_the_absence_of_data() {
    let tenant = Tenant::new("es-forms");
    let mode = Arc::new(AtomicUsize::new(0));
    let of_server = mode.clone();
    let cluster = serve(Arc::new(move |request: &Request| {
        let one = json!({ "kind": "Secret", "metadata": { "name": "one" }, "data": encoded(&[("k", "good")]) });
        let is_list = request.path.contains("secrets?");
        match of_server.load(Ordering::SeqCst) {
            _ if request.path.contains("selfsubject") => allowed(),
            0 if is_list => Answer::json(&json!({ "kind": "SecretList", "metadata": {}, "items": [one] })),
            0 => Answer::json(&one),
            1 => Answer::json(&json!({})),
            2 if is_list => Answer::json(&json!({ "kind": "SecretList", "items": { "one": 1 } })),
            2 => Answer::json(&json!({ "kind": "Secret", "metadata": { "name": "other" }, "data": {} })),
            3 => Answer::refusal(404, "404 page not found"),
            4 => Answer {
                status: 404,
                ..Answer::json(&json!({ "kind": "Status", "reason": "NotFound", "details": {} }))
            },
            _ if is_list => Answer::json(&json!({ "kind": "SecretList", "metadata": {}, "items": [] })),
            _ => {
                let details = json!({ "name": "one", "kind": "secrets" });
                let status = json!({ "kind": "Status", "reason": "NotFound", "details": details });
                Answer { status: 404, ..Answer::json(&status) }
            }
        }
    }));
    let of_server = mode.clone();
    let vault = serve(Arc::new(move |request: &Request| {
        let is_list = request.method == "LIST" || request.path.contains("list=true");
        match of_server.load(Ordering::SeqCst) {
            0 if is_list => Answer::json(&json!({ "data": { "keys": ["one"] } })),
            0 => Answer::json(&json!({ "data": { "data": { "k": "good" }, "metadata": { "version": 1 } } })),
            1 => Answer::json(&json!({})),
            2 if is_list => Answer::json(&json!({ "data": { "keys": { "one": 1 } } })),
            2 => Answer::json(&json!({ "data": { "data": [] } })),
            3 => Answer::refusal(404, "404 page not found"),
            4 => Answer::refusal(404, "{}"),
            _ => Answer { status: 404, ..Answer::json(&json!({ "errors": [] })) },
        }
    }));
    let operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    tenant.apply_all(&[cluster_store(&tenant, "far", &cluster), vault_store(&tenant, "kv", &vault)]);
    let find = json!({ "dataFrom": [{ "find": { "name": { "regexp": "^one$" } } }] });
    let extract = json!({ "dataFrom": [{ "extract": { "key": "one" } }] });
    let line = json!({ "data": [{ "secretKey": "k", "remoteRef": { "key": "one", "property": "k" } }] });
    let mut names = vec![];
    for store in ["far", "kv"] {
        for (form, spec) in [("find", &find), ("extract", &extract), ("row", &line)] {
            let name = format!("{store}-{form}");
            tenant.apply(&of_store(&tenant, &name, store, spec.clone()));
            names.push(name);
        }
    }
    names.iter().for_each(|name| wait_synced(&tenant, name));
    let versions = || names.iter().map(|name| tenant.version("secret", name)).collect::<Vec<_>>();
    let before = versions();
    for broken in 1..5 {
        mode.store(broken, Ordering::SeqCst);
        names.iter().for_each(|name| wait_failure(&tenant, name, &[GET]));
        assert_eq!(versions(), before, "mode {broken}");
        mode.store(0, Ordering::SeqCst);
        names.iter().for_each(|name| wait_synced(&tenant, name));
    }
    // What is said in the right form is believed.
    mode.store(5, Ordering::SeqCst);
    for name in names.iter().filter(|name| *name != "kv-find") {
        tenant.wait_condition_of("externalsecret", name, ("Ready", "True", Some("SecretDeleted")), &[]);
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    tenant.assert_nothing_leaked(&operator, &["hostile-token-hunter2"]);
}

#[test]
fn stores_on_two_servers_are_not_mixed_up() {
    let tenant = Tenant::new("es-two");
    let server = |value: &'static str| {
        serve(Arc::new(move |_: &Request| {
            Answer::json(&json!({ "data": { "data": { "k": value }, "metadata": { "version": 1 } } }))
        }))
    };
    let _operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    tenant.apply_all(&[vault_store(&tenant, "a", &server("of-a")), vault_store(&tenant, "b", &server("of-b"))]);
    let of = |store: &str| {
        json!({
            "secretKey": store, "remoteRef": { "key": "db", "property": "k" },
            "sourceRef": { "storeRef": { "name": store } },
        })
    };
    tenant.apply(&external_secret(&tenant, "both", json!({ "data": [of("a"), of("b")] })));
    tenant.wait_value("both", "a", "of-a");
    tenant.wait_value("both", "b", "of-b");
}

/// A server that sends for as long as anything reads.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"kind\":\"";
                let mut sent = stream.write_all(head.as_bytes());
                while sent.is_ok() {
                    sent = stream.write_all(&[b'x'; 64 * 1024]);
                }
            });
        }
    });
    host
}

/// A server that takes a request and says nothing.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut open = vec![];
        open.extend(listener.incoming().flatten());
    });
    host
}

#[test]
fn a_hostile_cluster_ends_nothing_and_holds_up_no_other() {
    let tenant = Tenant::new("es-hostile");
    let list =
        |items: Value, next: &str| json!({ "kind": "SecretList", "metadata": { "continue": next }, "items": items });
    let of = |answer: String| {
        serve(Arc::new(move |request: &Request| match request.path.contains("selfsubject") {
            true => allowed(),
            false => Answer { content_type: "application/json", ..Answer::text(&answer) },
        }))
    };
    let large = encoded(&[("k", &"x".repeat(7 << 20))]);
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let many: Vec<Value> = (0..400_000).map(|_| json!({})).collect();
    let (endless, silent) = (endless(), silent());
    let servers = [
        ("large", of(list(json!([{ "metadata": { "name": "x" }, "data": large }]), "").to_string()), "longer than"),
        ("deep", of(deep), "is no JSON of Kubernetes"),
        ("many", of(list(json!(many), "").to_string()), "more than"),
        ("pages", of(list(json!([]), "again").to_string()), "too many Secrets"),
        ("types", of(r#"{"kind":"SecretList","items":[{"metadata":3,"data":{"k":7}}]}"#.to_owned()), "is not Base64"),
        ("endless", endless, "longer than"),
        ("silent", silent, "no answer within"),
    ];
    let operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    for (name, host, _) in &servers {
        tenant.apply(&cluster_store(&tenant, name, host));
        for copy in 0..2 {
            let find = json!({ "dataFrom": [{ "find": { "name": { "regexp": "." } } }] });
            tenant.apply(&of_store(&tenant, &format!("{name}-{copy}"), name, find));
        }
    }
    for round in 1..10 {
        others_are_served(&tenant, round);
    }
    for (name, _, text) in &servers {
        for copy in [0, 1] {
            wait_failure(&tenant, &format!("{name}-{copy}"), &[GET, text]);
        }
    }
    others_are_served(&tenant, 10);
    let kib = operator.peak_memory();
    assert!(kib < 400 << 10, "at most {kib} KiB");
    tenant.assert_nothing_leaked(&operator, &["hostile-token-hunter2"]);
}

#[test]
fn a_kubeconfig_runs_nothing_and_is_read_in_no_time() {
    let tenant = Tenant::new("es-kubeconfig");
    let marker = tenant.cluster.dir().join(format!("{}-ran", tenant.namespace));
    let config = |user: &str, cluster: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:1\"{cluster}}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        )
    };
    let exec = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: [\"{}\"]}}}}",
        marker.display()
    );
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(","));
    }
    let cases = [
        ("exec", config(&exec, ""), "names a file or a program"),
        ("file", config("{tokenFile: /etc/passwd}", ""), "names a file or a program"),
        ("ca", config("{token: x}", ", certificate-authority: /etc/passwd"), "names a file or a program"),
        ("bomb", bomb, "kubeconfig"),
        ("deep", "[".repeat(90_000), "kubeconfig"),
        ("long", format!("{}# {}", config("{token: x}", ""), "x".repeat(900_000)), "the kubeconfig is longer than"),
        ("text", "hello-hunter2".to_owned(), "kubeconfig"),
    ];
    let operator = tenant.operator(SERVED);
    start_healthy(&tenant);
    for (name, text, _) in &cases {
        tenant.apply(&secret(name, "config", text));
        let provider =
            json!({ "kubernetes": { "remoteNamespace": "x", "authRef": { "name": name, "key": "config" } } });
        tenant.apply(&object(&tenant, "SecretStore", name, json!({ "provider": provider })));
    }
    others_are_served(&tenant, 1);
    for (name, _, text) in &cases {
        tenant.wait_not_ready("secretstore", name, "InvalidProviderConfig", &["unable to create client: ", text]);
    }
    assert!(!marker.exists(), "a program was run");
    tenant.assert_nothing_leaked(&operator, &["hello-hunter2"]);
}
