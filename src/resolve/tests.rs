//! Tables over the rules of which object may use which.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::api::{SecretTransformation, VaultStaticSecret};

/// The objects that others can refer to.
#[derive(Default)]
pub(crate) struct World {
    auths: HashMap<ObjectRef, Arc<VaultAuth>>,
    connections: HashMap<ObjectRef, Arc<VaultConnection>>,
    globals: HashMap<ObjectRef, Arc<VaultAuthGlobal>>,
    transformations: HashMap<ObjectRef, Arc<SecretTransformation>>,
    no_default_globals: bool,
    ambient_cloud_identity: bool,
}

impl Lookup for World {
    fn auth(&self, id: &ObjectRef) -> Option<Arc<VaultAuth>> {
        self.auths.get(id).cloned()
    }
    fn connection(&self, id: &ObjectRef) -> Option<Arc<VaultConnection>> {
        self.connections.get(id).cloned()
    }
    fn global(&self, id: &ObjectRef) -> Option<Arc<VaultAuthGlobal>> {
        self.globals.get(id).cloned()
    }
    fn transformation(&self, id: &ObjectRef) -> Option<Arc<SecretTransformation>> {
        self.transformations.get(id).cloned()
    }
    fn allows_default_globals(&self) -> bool {
        !self.no_default_globals
    }
    fn allows_ambient_cloud_identity(&self) -> bool {
        self.ambient_cloud_identity
    }
    fn watches_namespace(&self, namespace: &str) -> bool {
        namespace != "elsewhere"
    }
    fn operator_namespace(&self) -> &str {
        "op"
    }
    fn min_refresh_after(&self) -> Duration {
        Duration::from_secs(1)
    }
}

impl World {
    pub(crate) fn auth(mut self, namespace: &str, name: &str, spec: serde_json::Value) -> Self {
        let mut full =
            json!({"method": "kubernetes", "mount": "kubernetes", "kubernetes": {"role": "r", "serviceAccount": "s"}});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object =
            json!({"metadata": {"namespace": namespace, "name": name, "uid": "u", "generation": 1}, "spec": full});
        self.auths.insert(
            ObjectRef::new(namespace, name),
            Arc::new(serde_json::from_value(with_type(object, "VaultAuth")).unwrap()),
        );
        self
    }
    pub(crate) fn global(mut self, namespace: &str, name: &str, spec: serde_json::Value) -> Self {
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
        let object = serde_json::from_value(with_type(object, "VaultAuthGlobal")).unwrap();
        self.globals.insert(ObjectRef::new(namespace, name), Arc::new(object));
        self
    }
    pub(crate) fn connection(mut self, namespace: &str, name: &str, spec: serde_json::Value) -> Self {
        let mut full = json!({"address": "http://v"});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": full});
        self.connections.insert(
            ObjectRef::new(namespace, name),
            Arc::new(serde_json::from_value(with_type(object, "VaultConnection")).unwrap()),
        );
        self
    }
}

fn with_type(mut object: serde_json::Value, kind: &str) -> serde_json::Value {
    object["apiVersion"] = json!("secrets.hashicorp.com/v1beta1");
    object["kind"] = json!(kind);
    object
}

/// A VaultStaticSecret of namespace `app` that works with [`world`], but for what is in `spec`.
pub(crate) fn secret(spec: serde_json::Value) -> VaultStaticSecret {
    let mut full = json!({"mount": "secret", "path": "p", "type": "kv-v2", "destination": {"name": "d"}});
    full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(with_type(
        json!({"metadata": {"namespace": "app", "name": "s"}, "spec": full}),
        "VaultStaticSecret",
    ))
    .unwrap()
}

pub(crate) fn world() -> World {
    World::default().auth("op", "default", json!({})).connection("op", "default", json!({}))
}

mod globals;
mod methods;
mod transformations;

#[test]
fn references() {
    let resolve = |text| ObjectRef::resolve(text, "app", "op").map(|r| r.to_string()).map_err(|e| e.to_string());
    assert_eq!(resolve(None), Ok("op/default".into()));
    assert_eq!(resolve(Some("")), Ok("op/default".into()));
    assert_eq!(resolve(Some("a")), Ok("app/a".into()));
    assert_eq!(resolve(Some("ns/a")), Ok("ns/a".into()));
    assert_eq!(resolve(Some("a/b/c")), Err("invalid name: a/b/c".into()));
    assert_eq!(resolve(Some("/a")), Err("invalid name: /a".into()));
}

#[test]
fn paths_and_intervals() {
    let plan = |spec| static_secret(&secret(spec), &world());
    let p = plan(json!({})).unwrap();
    assert_eq!(
        (p.path.as_str(), p.source.version, p.source.refresh),
        ("secret/data/p", Some(0), Some(Duration::from_secs(60)))
    );
    let p = plan(json!({"type": "kv-v1", "path": "/a/b/", "version": 3, "refreshAfter": "10s"})).unwrap();
    assert_eq!(
        (p.path.as_str(), p.source.version, p.source.refresh),
        ("secret/a/b", None, Some(Duration::from_secs(10)))
    );
    let refresh = |after: &str| plan(json!({ "refreshAfter": after })).unwrap().source.refresh;
    assert_eq!(refresh("0.000001s"), Some(Duration::from_secs(1)), "an object cannot take a Vault for itself");
    assert_eq!(refresh("1500ms"), Some(Duration::from_millis(1500)));
    assert_eq!(plan(json!({"version": 3})).unwrap().source.version, Some(3));
    assert_eq!(plan(json!({"hmacSecretData": false})).unwrap().source.refresh, None);
    assert!(
        matches!(plan(json!({"refreshAfter": "bogus"})), Err(PlanError::Invalid(m)) if m.contains(".spec.refreshAfter"))
    );
    assert!(matches!(plan(json!({"type": "kv-v3"})), Err(PlanError::Invalid(m)) if m.contains("kv-v3")));
    assert!(matches!(plan(json!({"path": "/"})), Err(PlanError::Invalid(_))));
}

#[test]
fn vault_namespace_is_the_objects_or_the_logins() {
    let world =
        World::default().auth("op", "default", json!({"namespace": "team/"})).connection("op", "default", json!({}));
    assert_eq!(static_secret(&secret(json!({})), &world).unwrap().vault_namespace, "team");
    let plan = static_secret(&secret(json!({"namespace": "/other"})), &world).unwrap();
    assert_eq!((plan.vault_namespace.as_str(), plan.auth.login.vault_namespace.as_str()), ("other", "team"));
}

#[test]
fn who_may_use_a_vault_auth() {
    let allowed = |name: &str, namespace: &str, list: serde_json::Value| {
        let world = World::default()
            .auth(namespace, name, json!({"allowedNamespaces": list, "vaultConnectionRef": "op/default"}))
            .connection("op", "default", json!({}));
        static_secret(&secret(json!({"vaultAuthRef": format!("{namespace}/{name}")})), &world)
    };
    assert!(allowed("a", "app", json!([])).is_ok(), "own namespace");
    assert!(
        matches!(allowed("a", "team", json!([])), Err(PlanError::Login(Denied::NotAllowed(m))) if m.contains("obj=team/a"))
    );
    assert!(allowed("a", "team", json!(["app"])).is_ok());
    assert!(allowed("a", "team", json!(["*"])).is_ok());
    assert!(allowed("a", "team", json!(["*", "x"])).is_err(), "a star among others is no wildcard");
    assert!(allowed("a", "team", json!(["ap*"])).is_err(), "no globs");
    assert!(allowed("a", "op", json!([])).is_err(), "only `default` is open");
    assert!(allowed("default", "op", json!([])).is_ok());
    assert!(allowed("default", "op", json!(["x"])).is_err(), "a list on the default is meant");
    assert!(
        matches!(allowed("a", "elsewhere", json!(["*"])), Err(PlanError::Login(Denied::NotAllowed(m))) if m.contains("does not watch"))
    );
}

#[test]
fn who_may_use_a_vault_connection() {
    let with = |spec: serde_json::Value| {
        let world =
            World::default().auth("app", "a", json!({"vaultConnectionRef": "team/c"})).connection("team", "c", spec);
        static_secret(&secret(json!({"vaultAuthRef": "a"})), &world)
    };
    assert!(with(json!({})).is_ok(), "as in VSO, unless the owner says otherwise");
    assert!(with(json!({"allowedNamespaces": ["app"]})).is_ok());
    assert!(
        matches!(with(json!({"allowedNamespaces": ["x"]})), Err(PlanError::Login(Denied::NotAllowed(m))) if m.contains("kind=VaultConnection obj=team/c"))
    );
}

#[test]
fn where_the_authority_of_a_connection_is() {
    let ca = |spec: serde_json::Value| {
        let world = World::default().connection("app", "c", spec);
        super::connection(&world.connections[&ObjectRef::new("app", "c")]).map(|plan| plan.ca)
    };
    assert_eq!(ca(json!({})), Ok(CaSource::System));
    assert_eq!(
        ca(json!({"caCertSecretRef": "a.b"})),
        Ok(CaSource::Secret(ObjectRef::new("app", "a.b"), "ca.crt".into()))
    );
    assert_eq!(ca(json!({"caCertPath": "/ca.pem"})), Ok(CaSource::File("/ca.pem".into())));
    assert_eq!(ca(json!({"caCertPath": "/ca.pem", "skipTLSVerify": true})), Ok(CaSource::Skip));
    let refused = |spec, text: &str| assert!(matches!(ca(spec), Err(Denied::Invalid(m)) if m.contains(text)));
    refused(json!({"caCertSecretRef": "a", "caCertPath": "/ca.pem"}), "mutually exclusive");
    refused(json!({"caCertPath": "/a/../b"}), "traversal");
    refused(json!({"caCertSecretRef": "../../other/secrets/ca"}), "is not the name of an object");
}

#[test]
fn an_address_without_a_scheme_is_shown_with_one() {
    let error = |address: &str| {
        let world = World::default().connection("app", "c", json!({ "address": address }));
        super::connection(&world.connections[&ObjectRef::new("app", "c")]).err().map(|e| e.to_string())
    };
    for address in ["http://v", "https://v:8200/prefix", "HTTPS://v"] {
        assert_eq!(error(address), None, "{address}");
    }
    for (address, right) in [
        ("127.0.0.1:8200", "127.0.0.1:8200"),
        ("vault", "vault"),
        ("vault.vault.svc:8200/prefix", "vault.vault.svc:8200/prefix"),
        ("localhost:8200", "localhost:8200"),
        ("[::1]:8200", "[::1]:8200"),
        ("//vault:8200", "vault:8200"),
        (" vault:8200", "vault:8200"),
    ] {
        let error = error(address).unwrap_or_default();
        let text = format!("has no scheme: write \"https://{right}\", or \"http://{right}\" if Vault serves no TLS");
        assert!(error.contains(&format!("spec.address {address:?}")) && error.contains(&text), "{address}: {error}");
    }
    assert_eq!(
        error("").as_deref(),
        Some("spec.address is empty; set it to the URL of Vault, such as https://vault:8200")
    );
}

#[test]
fn what_the_operator_adds_to_a_path_is_noticed_where_it_does_not_belong() {
    let superfluous = |spec| static_secret(&secret(spec), &world()).unwrap().source.superfluous;
    let begins = |spec: Value, with: &str| {
        let found = superfluous(spec).unwrap_or_default();
        assert!(found.starts_with(with) && found.ends_with(": take it out"), "{found}");
    };
    begins(json!({ "path": "data/app/config" }), "spec.path begins with data/,");
    begins(json!({ "path": "/data/app" }), "spec.path begins with data/,");
    begins(json!({ "mount": "secret/data", "path": "app" }), "spec.mount ends with /data,");
    begins(json!({ "mount": "/team/kv/", "path": "team/kv/app" }), "spec.path begins with spec.mount,");
    begins(json!({ "mount": "kv1", "path": "kv1/app", "type": "kv-v1" }), "spec.path begins with spec.mount,");
    for spec in [
        json!({ "path": "app/data/config" }),
        json!({ "path": "data" }),
        json!({ "path": "database" }),
        json!({ "mount": "data", "path": "app" }),
        json!({ "path": "data/app", "type": "kv-v1" }),
        json!({ "mount": "secret", "path": "secrets/app" }),
        json!({ "mount": "secret", "path": "secret" }),
    ] {
        assert_eq!(superfluous(spec.clone()), None, "{spec}");
    }
}

#[test]
fn no_request_hangs_for_longer_than_a_run_may_take() {
    let timeout = |text: &str| {
        let world = World::default().connection("app", "c", json!({ "timeout": text }));
        super::connection(&world.connections[&ObjectRef::new("app", "c")]).unwrap().timeout
    };
    assert_eq!(timeout("5s"), Some(Duration::from_secs(5)));
    assert_eq!(timeout("9999h"), Some(Duration::from_secs(60)));
    assert_eq!(timeout("0s"), None);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let empty = World::default();
    assert!(
        matches!(static_secret(&secret(json!({"vaultAuthRef": "gone"})), &empty), Err(PlanError::Login(Denied::Missing(m))) if m.contains("VaultAuth app/gone"))
    );
    let no_connection = World::default().auth("app", "a", json!({}));
    let of = |world: &World| static_secret(&secret(json!({"vaultAuthRef": "a"})), world);
    assert!(
        matches!(of(&no_connection), Err(PlanError::Login(Denied::Missing(m))) if m.contains("VaultConnection op/default"))
    );
    let with = |spec| World::default().auth("app", "a", spec).connection("op", "default", json!({}));
    assert!(
        matches!(of(&with(json!({"kubernetes": {"serviceAccount": "s"}}))), Err(PlanError::Login(Denied::Invalid(m))) if m.contains("empty role"))
    );
    assert!(
        matches!(of(&with(json!({"mount": ""}))), Err(PlanError::Login(Denied::Invalid(m))) if m.contains("mount"))
    );
}

#[test]
fn identity_is_the_content_and_not_the_object() {
    let identity = |auth: serde_json::Value, namespace: &str| {
        let world = World::default().auth(namespace, "a", auth).connection("op", "default", json!({}));
        super::auth(&world.auths[&ObjectRef::new(namespace, "a")], namespace, &world).unwrap().login.identity(7)
    };
    assert_eq!(identity(json!({}), "app"), identity(json!({}), "app"));
    assert_ne!(identity(json!({}), "app"), identity(json!({}), "other"), "another service account");
    assert_ne!(identity(json!({}), "app"), identity(json!({"namespace": "n"}), "app"));
    assert_ne!(
        identity(json!({"params": {"a": "b"}}), "app"),
        identity(json!({"headers": {"a": "b"}}), "app"),
        "a parameter is not a header"
    );
}

#[test]
fn the_operators_own_cloud_identity_is_for_its_own_namespace() {
    let aws = |block: serde_json::Value| json!({ "method": "aws", "mount": "aws", "aws": block, "allowedNamespaces": ["app"] });
    let ambient = || aws(json!({ "role": "r" }));
    let world = || world().auth("app", "a", ambient()).auth("op", "a", ambient());
    let of = |world: &World, namespace: &str| super::auth(&world.auths[&ObjectRef::new(namespace, "a")], "app", world);
    let denied = of(&world(), "app").unwrap_err();
    assert!(matches!(&denied, Denied::NotAllowed(text) if text.contains("--allow-ambient-cloud-identity")), "{denied}");
    assert!(of(&world(), "op").is_ok());
    assert!(of(&World { ambient_cloud_identity: true, ..world() }, "app").is_ok());
    for block in [json!({ "role": "r", "secretRef": "s" }), json!({ "role": "r", "irsaServiceAccount": "s" })] {
        assert!(of(&world().auth("app", "a", aws(block)), "app").is_ok());
    }
}

#[test]
fn namespaces_that_share_the_operators_identity_have_cache_keys_of_their_own() {
    let spec = json!({ "method": "aws", "mount": "aws", "aws": { "role": "r" }, "allowedNamespaces": ["*"] });
    let uid = |digit: &str| digit.repeat(36);
    let world = world().auth("op", "a", spec);
    let key = |namespace: &str| {
        let mut plan = super::auth(&world.auths[&ObjectRef::new("op", "a")], namespace, &world).unwrap();
        (plan.owner.uid, plan.login.connection.uid) = (uid("1"), uid("2"));
        plan.cache_key(&uid("3")).unwrap()
    };
    assert_eq!(key("one"), key("one"));
    assert_ne!(key("one"), key("two"));
    assert_ne!(key("one"), key("op"));
}

#[test]
fn cache_key_is_that_of_vso() {
    let uid = |n: char| format!("c4fad6b9-e7bb-4ed8-bc38-67fd6dc85a3{n}");
    let mut plan = static_secret(&secret(json!({})), &world()).unwrap().auth;
    (plan.owner.uid, plan.owner.generation) = (uid('5'), 0);
    (plan.login.connection.uid, plan.login.connection.generation) = (uid('6'), 0);
    assert_eq!(plan.cache_key(&uid('7')).as_deref(), Some("kubernetes-2a8108711ae49ac0faa724"));
    assert_eq!(plan.cache_key("short"), None);
}
