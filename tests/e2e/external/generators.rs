//! Generators: Password, UUID and VaultDynamicSecret of `generators.external-secrets.io`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SERVED, external_secret, row, store, vault_provider, wait_failure, wait_synced};
use test_support::audit::{Count, describe};
use test_support::engines::engines_policy;
use test_support::{NO_ELECTION, Tenant, eventually};

/// What is not made anew stays for longer than this.
const KEPT: Duration = Duration::from_secs(4);

fn generator(tenant: &Tenant<'_>, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "generators.external-secrets.io/v1alpha1",
        "kind": kind,
        "metadata": { "name": name, "namespace": tenant.namespace },
        "spec": spec,
    })
}

/// By kubectl: the kinds share their names with others.
#[track_caller]
fn apply(tenant: &Tenant<'_>, objects: &[Value]) {
    let all: Vec<String> = objects.iter().map(Value::to_string).collect();
    tenant.cluster.kubectl_apply(&all.join("\n---\n")).expect("they are accepted");
}

/// An entry of `dataFrom`.
fn entry(kind: &str, name: &str) -> Value {
    json!({ "sourceRef": { "generatorRef": {
        "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": kind, "name": name,
    } } })
}

/// An ExternalSecret of one generator, made anew once an hour. Members of `spec` win.
fn generated(tenant: &Tenant<'_>, name: &str, kind: &str, generator: &str, spec: Value) -> Value {
    let mut full = json!({ "refreshInterval": "1h", "secretStoreRef": null, "dataFrom": [entry(kind, generator)] });
    json_patch::merge(&mut full, &spec);
    let mut object = external_secret(tenant, name, full);
    object["spec"].as_object_mut().expect("a spec").retain(|_, value| !value.is_null());
    object
}

#[track_caller]
fn wait_other(tenant: &Tenant<'_>, secret: &str, key: &str, before: &str) -> String {
    eventually(&format!("another {key} in {secret}"), || match tenant.value(secret, key) {
        Ok(found) if found != before => Ok(found),
        other => Err(format!("{:?}", other.map(|_| "the one before"))),
    })
}

#[test]
fn what_is_random_is_made_once_per_interval_and_kept_over_a_restart() {
    let tenant = Tenant::new("es-generators");
    tenant.put("db", json!({ "user": "app" }));
    let mut operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let password = json!({ "length": 20, "digits": 4, "symbols": 2, "symbolCharacters": "-_", "noUpper": true });
    apply(&tenant, &[generator(&tenant, "Password", "p", password), generator(&tenant, "UUID", "u", json!({}))]);
    let count = Count::start(&tenant);
    let rewritten = json!([{ "sourceRef": entry("Password", "p")["sourceRef"], "rewrite": [
        { "regexp": { "source": "password", "target": "DB_PASSWORD" } },
    ] }, entry("UUID", "u")]);
    let template = json!({ "template": {
        "engineVersion": "v2",
        "data": { "url": "{{ .DB_USER }}:{{ .DB_PASSWORD }}", "id": "{{ .uuid }}" },
        "mergePolicy": "Merge",
    } });
    tenant.apply(&generated(
        &tenant,
        "db",
        "Password",
        "p",
        json!({
            "secretStoreRef": { "name": "vault" },
            "dataFrom": rewritten,
            "data": [row(&tenant, "DB_USER", "db", "user")],
            "target": template,
        }),
    ));
    wait_synced(&tenant, "db");
    let password = tenant.value("db", "DB_PASSWORD").unwrap();
    let digits = password.chars().filter(char::is_ascii_digit).count();
    let symbols = password.chars().filter(|c| "-_".contains(*c)).count();
    assert_eq!((password.len(), digits, symbols), (20, 4, 2));
    assert!(!password.contains(|c: char| c.is_ascii_uppercase()));
    assert_eq!(tenant.value("db", "url").unwrap(), format!("app:{password}"));
    assert_eq!(tenant.value("db", "id").unwrap().len(), 36);

    // Exactly once, and not a second time when what was written comes back.
    std::thread::sleep(KEPT);
    let requests = count.requests();
    let writes: Vec<_> = requests.iter().filter(|e| e.is_write() && e.resource == "secrets").collect();
    assert_eq!(writes.len(), 1, "{}", describe(&requests));
    let before = tenant.get("secret", "db").unwrap();
    // Neither a change of the generator nor one of the store makes another, nor does a restart of the operator.
    apply(&tenant, &[generator(&tenant, "Password", "p", json!({ "length": 30 }))]);
    let patch = json!({ "spec": { "refreshInterval": "7m" } }).to_string();
    tenant.kubectl(&["patch", "secretstore", "vault", "--type=merge", &format!("--patch={patch}")]).unwrap();
    std::thread::sleep(KEPT);
    operator.kill();
    let count = Count::start(&tenant);
    let operator = tenant.operator(SERVED);
    std::thread::sleep(KEPT);
    let requests = count.requests();
    assert!(!requests.iter().any(|e| e.is_write()), "{}", describe(&requests));
    assert_eq!(tenant.get("secret", "db").unwrap(), before);

    // A person asks for another one; it is what the generator says by now.
    tenant.kubectl(&["annotate", "externalsecret", "db", "force-sync=1"]).unwrap();
    let second = wait_other(&tenant, "db", "DB_PASSWORD", &password);
    assert_eq!(second.len(), 30);
    // Each interval makes another one.
    tenant.apply(&generated(&tenant, "often", "UUID", "u", json!({ "refreshInterval": "1s" })));
    wait_synced(&tenant, "often");
    let first = tenant.value("often", "uuid").unwrap();
    let next = wait_other(&tenant, "often", "uuid", &first);
    wait_other(&tenant, "often", "uuid", &next);
    tenant.assert_nothing_leaked(&operator, &[&password, &second]);
}

#[test]
fn what_cannot_be_generated_is_told_until_it_can() {
    let tenant = Tenant::new("es-generators-bad");
    let _operator = tenant.operator(SERVED);
    apply(&tenant, &[generator(&tenant, "Password", "bad", json!({ "length": 8, "digits": 5, "symbols": 4 }))]);
    tenant.apply(&generated(&tenant, "missing", "Password", "none", json!({})));
    tenant.apply(&generated(&tenant, "bad", "Password", "bad", json!({})));
    for kind in ["ClusterGenerator", "Fake"] {
        tenant.apply(&generated(&tenant, &kind.to_lowercase(), kind, "g", json!({})));
    }
    let prefix = "could not get secret data from provider";
    let missing = "generator Password \"none\" does not exist in namespace";
    wait_failure(&tenant, "missing", &[prefix, missing]);
    let entry = "error processing spec.dataFrom[0].sourceRef.generatorRef, err: generator Password";
    wait_failure(&tenant, "bad", &[prefix, entry, "5 digits and 4 symbols are more than spec.length, 8"]);
    let served = "are not served: this operator serves Password, UUID and VaultDynamicSecret";
    for kind in ["ClusterGenerator", "Fake"] {
        wait_failure(&tenant, &kind.to_lowercase(), &[prefix, &format!("generators of kind {kind:?} {served}")]);
    }
    let none = generator(&tenant, "Password", "none", json!({}));
    apply(&tenant, &[none, generator(&tenant, "Password", "bad", json!({ "length": 9, "digits": 5, "symbols": 4 }))]);
    for name in ["missing", "bad"] {
        wait_synced(&tenant, name);
    }
    assert_eq!(tenant.value("missing", "password").unwrap().len(), 24, "the default of the schema");
    assert_eq!(tenant.value("bad", "password").unwrap().len(), 9);
}

/// How many tokens were made with the role of the tenant.
fn tokens_made(tenant: &Tenant<'_>, since: testenv::Marker) -> usize {
    std::thread::sleep(Duration::from_millis(500));
    let (entries, _) = tenant.cluster.vault_audit_since(since).expect("Vault's audit log");
    let path = format!("auth/token/create/{}", tenant.namespace);
    entries.iter().filter(|entry| entry.kind == "request" && entry.path == path).count()
}

#[test]
fn vault_makes_credentials_once_even_if_they_cannot_be_written_at_first() {
    let tenant = Tenant::new("es-generators-vault");
    let role = format!("auth/token/create/{}", tenant.namespace);
    let spare = format!("secret/data/{}", tenant.path("spare"));
    let rules = [(&role, "[\"create\", \"update\"]"), (&spare, "[\"delete\"]")]
        .map(|(path, capabilities)| format!("path {path:?} {{ capabilities = {capabilities} }}"));
    tenant.cluster.vault_policy(&engines_policy(&tenant.namespace), &rules.join("\n")).expect("a policy");
    let of_role = json!({ "allowed_policies": "default", "orphan": true, "renewable": false });
    tenant.cluster.vault("POST", &format!("auth/token/roles/{}", tenant.namespace), Some(of_role)).expect("a role");
    tenant.put("plain", json!({ "answer": 42, "nested": { "a": [1] } }));
    let mut operator = tenant.operator(SERVED);
    let provider = vault_provider(&tenant, json!({ "path": null }))["provider"]["vault"].clone();
    let vault = |name: &str, spec: Value| {
        let mut full = json!({ "provider": provider });
        json_patch::merge(&mut full, &spec);
        generator(&tenant, "VaultDynamicSecret", name, full)
    };
    let parameters = json!({ "ttl": "1h", "policies": ["default"] });
    let path = format!("/secret/data/{}", tenant.path("plain"));
    let absent = format!("secret/data/{}", tenant.path("absent"));
    let token = json!({ "path": format!("/{role}"), "method": "POST", "parameters": parameters, "resultType": "Auth" });
    apply(
        &tenant,
        &[
            vault("token", token),
            vault("read", json!({ "path": path })),
            vault("raw", json!({ "path": path, "resultType": "Raw" })),
            vault("absent", json!({ "path": absent })),
            vault("forbidden", json!({ "path": "sys/policies/acl/root" })),
        ],
    );
    // The template cannot be applied: the run is tried again and again, with what was made first.
    let since = tenant.cluster.vault_audit_marker().expect("Vault's audit log");
    let target = |text: &str| json!({ "target": { "template": { "engineVersion": "v2", "data": { "token": text } } } });
    tenant.apply(&generated(&tenant, "token", "VaultDynamicSecret", "token", target("{{ fail \"not yet\" }}")));
    wait_failure(&tenant, "token", &["could not apply template"]);
    std::thread::sleep(KEPT);
    assert_eq!(tokens_made(&tenant, since), 1);
    tenant.apply(&generated(&tenant, "token", "VaultDynamicSecret", "token", target("{{ .client_token }}")));
    wait_synced(&tenant, "token");
    assert_eq!(tokens_made(&tenant, since), 1);
    let token = tenant.value("token", "token").unwrap();
    let looked =
        tenant.cluster.vault("POST", "auth/token/lookup", Some(json!({ "token": token }))).expect("it is good");
    assert_eq!(looked["data"]["role"], json!(tenant.namespace));

    // Nothing is made at a restart, nothing is written, and nothing is renewed.
    operator.kill();
    let since = tenant.cluster.vault_audit_marker().expect("Vault's audit log");
    let before = (tenant.version("secret", "token"), tenant.version("externalsecret", "token"));
    let operator = tenant.operator(SERVED);
    std::thread::sleep(KEPT);
    assert_eq!(tokens_made(&tenant, since), 0);
    assert_eq!((tenant.version("secret", "token"), tenant.version("externalsecret", "token")), before);
    // The next one does not end the one before: it runs out by itself.
    tenant.kubectl(&["annotate", "externalsecret", "token", "force-sync=1"]).unwrap();
    let second = wait_other(&tenant, "token", "token", &token);
    let lookup = |token: &str| tenant.cluster.vault("POST", "auth/token/lookup", Some(json!({ "token": token })));
    assert!(lookup(&token).is_ok() && lookup(&second).is_ok());
    assert_eq!(tokens_made(&tenant, since), 1);

    // Other parts of an answer.
    for name in ["read", "raw", "absent", "forbidden"] {
        tenant.apply(&generated(&tenant, name, "VaultDynamicSecret", name, json!({})));
    }
    ["read", "raw"].iter().for_each(|name| wait_synced(&tenant, name));
    tenant.wait_value("read", "data", r#"{"answer":42,"nested":{"a":[1]}}"#);
    tenant.wait_value("raw", "renewable", "false");
    assert!(tenant.value("raw", "data").unwrap().starts_with(r#"{"data":{"answer":42,"nested":{"a":[1]}},"metadata""#));
    let prefix =
        "could not get secret data from provider: error processing spec.dataFrom[0].sourceRef.generatorRef, err: ";
    wait_failure(&tenant, "absent", &[&format!("{prefix}empty response from Vault")]);
    wait_failure(&tenant, "forbidden", &[prefix, "permission denied"]);
    let mut may_be_empty = vault("absent", json!({ "path": absent, "allowEmptyResponse": true }));
    may_be_empty["spec"]["method"] = json!("GET");
    apply(&tenant, &[may_be_empty]);
    let retained = "secret retained due to DeletionPolicy=Retain";
    tenant.wait_condition_of("externalsecret", "absent", ("Ready", "True", Some("SecretSynced")), &[retained]);

    // A request that deletes is sent once, too, and has an answer without content.
    tenant.put("spare", json!({ "a": 1 }));
    apply(&tenant, &[vault("delete", json!({ "path": spare, "method": "DELETE", "allowEmptyResponse": true }))]);
    tenant.apply(&generated(&tenant, "delete", "VaultDynamicSecret", "delete", json!({})));
    tenant.wait_condition_of("externalsecret", "delete", ("Ready", "True", Some("SecretSynced")), &[retained]);
    let deleted = tenant.cluster.vault("GET", &spare, None);
    assert!(deleted.is_err(), "{deleted:?}");
    tenant.put("spare", json!({ "a": 2 }));
    std::thread::sleep(KEPT);
    assert!(tenant.cluster.vault("GET", &spare, None).is_ok());
    tenant.assert_nothing_leaked(&operator, &[&token, &second]);
}

#[test]
fn what_vault_has_made_ends_with_the_token_which_a_stored_login_keeps_over_a_restart() {
    let tenant = Tenant::new("es-generators-token");
    let ns = &tenant.namespace;
    let role = format!("auth/token/create/{ns}");
    let rules = format!("path {role:?} {{ capabilities = [\"create\", \"update\"] }}");
    tenant.cluster.vault_policy(&engines_policy(ns), &rules).expect("a policy");
    // What is made with a token is a child of it, as a lease is.
    let of_role = json!({ "allowed_policies": "default", "orphan": false, "renewable": false });
    tenant.cluster.vault("POST", &format!("auth/token/roles/{ns}"), Some(of_role)).expect("a role");
    // Longer than a start of the operator takes.
    const LIFETIME: Duration = Duration::from_secs(45);
    let policies = [ns.as_str(), &engines_policy(ns)];
    tenant.cluster.vault_kubernetes_role(ns, &["app"], &[ns], &policies, "45s").expect("a role");
    let provider = vault_provider(&tenant, json!({ "path": null }))["provider"]["vault"].clone();
    let spec = json!({
        "provider": provider, "path": format!("/{role}"), "method": "POST", "resultType": "Auth",
        "parameters": { "ttl": "1h", "policies": ["default"] },
    });
    apply(&tenant, &[generator(&tenant, "VaultDynamicSecret", "token", spec)]);
    let lookup = |token: &str| tenant.cluster.vault("POST", "auth/token/lookup", Some(json!({ "token": token })));
    let target = json!({ "refreshInterval": "12h" });
    for (persistence, lives) in [("none", false), ("direct-unencrypted", true)] {
        let persistence = format!("--client-cache-persistence-model={persistence}");
        let args = [SERVED, &NO_ELECTION, &[persistence.as_str()]].concat();
        let mut operator = tenant.operator(&args);
        let name = if lives { "stored" } else { "plain" };
        tenant.apply(&generated(&tenant, name, "VaultDynamicSecret", "token", target.clone()));
        wait_synced(&tenant, name);
        let token = tenant.value(name, "client_token").unwrap();
        // Stored after the data is in the Secret.
        std::thread::sleep(KEPT);
        operator.kill();
        let _operator = tenant.operator(&args);
        std::thread::sleep(LIFETIME);
        assert_eq!(lookup(&token).is_ok(), lives, "{name}");
        assert_eq!(tenant.value(name, "client_token").unwrap(), token, "nothing is made before the interval is over");
    }
}

#[test]
fn what_comes_back_makes_nothing_new() {
    let tenant = Tenant::new("es-generators-back");
    tenant.put("db", json!({ "user": "app" }));
    let _operator = tenant.operator(SERVED);
    let password = generator(&tenant, "Password", "p", json!({ "length": 20 }));
    apply(&tenant, std::slice::from_ref(&password));
    let spec = json!({ "secretStoreRef": { "name": "vault" }, "data": [row(&tenant, "user", "db", "user")] });
    tenant.apply_all(&[store(&tenant), generated(&tenant, "db", "Password", "p", spec)]);
    wait_synced(&tenant, "db");
    let before = tenant.get("secret", "db").unwrap();
    let path = format!("--namespace={}", tenant.namespace);
    tenant.cluster.kubectl(&["delete", "passwords.generators.external-secrets.io", "p", &path]).unwrap();
    wait_failure(&tenant, "db", &["generator Password \"p\" does not exist"]);
    apply(&tenant, &[password]);
    wait_synced(&tenant, "db");
    tenant.kubectl(&["delete", "secretstore", "vault"]).unwrap();
    wait_failure(&tenant, "db", &["could not get SecretStore"]);
    tenant.apply(&store(&tenant));
    wait_synced(&tenant, "db");
    std::thread::sleep(KEPT);
    assert_eq!(tenant.get("secret", "db").unwrap(), before);
}
