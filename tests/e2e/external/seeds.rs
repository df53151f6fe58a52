//! The manifests of tutorials, as they stand there but for names of servers.

use serde_json::{Value, json};

use super::{SERVED, vault_provider, wait_synced};
use test_support::{Tenant, eventually};

/// In the namespace of a tenant, with a path of its Vault.
fn applied(tenant: &Tenant<'_>, manifest: &str) {
    let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
    if object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!(tenant.namespace);
    }
    tenant.apply(&object);
}

/// A store that a platform has made, in the former version of the API.
fn local_store(tenant: &Tenant<'_>) {
    let store = json!({
        "apiVersion": "external-secrets.io/v1beta1",
        "kind": "SecretStore",
        "metadata": { "name": "local-secret-store" },
        "spec": vault_provider(tenant, json!({})),
    });
    tenant.apply(&store);
}

#[test]
fn a_property_becomes_a_key_of_a_secret_that_may_be_there() {
    let tenant = Tenant::new("es-seed-a");
    tenant.put("mon-chemin-vault", json!({ "ma-valeur": "abc" }));
    let _operator = tenant.operator(SERVED);
    local_store(&tenant);
    tenant.kubectl(&["create", "secret", "generic", "mon-secret-kubernetes", "--from-literal=old=1"]).unwrap();
    applied(
        &tenant,
        &format!(
            r#"
apiVersion: external-secrets.io/v1beta1
kind: ExternalSecret
metadata:
  name: mon-external-secret
spec:
  refreshInterval: 15s
  secretStoreRef:
    name: local-secret-store
    kind: SecretStore
  target:
    name: mon-secret-kubernetes
  data:
    - secretKey: ma-cle-secrete
      remoteRef:
        key: secret/{}/mon-chemin-vault
        property: ma-valeur
"#,
            tenant.namespace
        ),
    );
    tenant.wait_value("mon-secret-kubernetes", "ma-cle-secrete", "abc");
    wait_synced(&tenant, "mon-external-secret");
    let secret = tenant.get("secret", "mon-secret-kubernetes").unwrap();
    assert_eq!(secret["data"].as_object().unwrap().len(), 1, "{secret}");
    let hash = &secret["metadata"]["annotations"]["reconcile.external-secrets.io/data-hash"];
    assert_eq!(*hash, json!("33afa1a67d64f3013a7650cf6bb664a5c7c697cc61f84a74c485aefb"), "ESO's own");
    let table = tenant.kubectl(&["get", "externalsecret", "mon-external-secret"]).unwrap();
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = ["NAME", "STORETYPE", "STORE", "REFRESH", "INTERVAL", "STATUS", "READY", "LAST", "SYNC"];
    assert_eq!(words[0], head, "{table}");
    let row = ["mon-external-secret", "SecretStore", "local-secret-store", "15s", "SecretSynced", "True"];
    assert_eq!(words[1][..6], row, "{table}");
}

#[test]
fn a_template_makes_the_login_of_a_registry() {
    let tenant = Tenant::new("es-seed-b");
    tenant.put("atlas-regcreds", json!({ "host": "harbor.example", "username": "robot$x", "password": "p\"w" }));
    let _operator = tenant.operator(SERVED);
    local_store(&tenant);
    let key = tenant.path("atlas-regcreds");
    applied(
        &tenant,
        &format!(
            r#"
apiVersion: external-secrets.io/v1beta1
kind: ExternalSecret
metadata:
  name: regcreds
spec:
  refreshInterval: 15s
  secretStoreRef:
    name: local-secret-store
    kind: SecretStore
  target:
    name: regcreds
    template:
      type: kubernetes.io/dockerconfigjson
      data:
        .dockerconfigjson: '{{"auths":{{"{{{{ .host }}}}":{{"username":{{{{ .username | toJson }}}},"password":{{{{ .password | toJson }}}},"auth":"{{{{ printf "%s:%s" .username .password | b64enc }}}}"}}}}}}'
  data:
    - secretKey: host
      remoteRef: {{ key: {key}, property: host }}
    - secretKey: username
      remoteRef: {{ key: {key}, property: username }}
    - secretKey: password
      remoteRef: {{ key: {key}, property: password }}
"#
        ),
    );
    let expected = r#"{"auths":{"harbor.example":{"username":"robot$x","password":"p\"w","auth":"cm9ib3QkeDpwInc="}}}"#;
    tenant.wait_value("regcreds", ".dockerconfigjson", expected);
    let secret = tenant.get("secret", "regcreds").unwrap();
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(secret["data"].as_object().unwrap().len(), 1, "{secret}");
}
