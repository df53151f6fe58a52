//! Where an entry of a PushSecret leads, however its store and its key are written.

use http::Uri;

use super::cluster_push;
use super::vault_path::data_path;
use crate::api::CustomObject as _;
use crate::api::external_secrets::ClusterSecretStore;
use crate::api::external_secrets::push_secret::PushData;
use crate::resolve::{ClusterLogin, StorePlan, StoreSource};

/// One secret of one server. Two entries with equal destinations write one secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// The server, by its address.
    server: String,
    /// Vault namespace and API path, or namespace and name of a Secret.
    path: String,
}

/// Where an entry leads.
///
/// # Errors
/// What is wrong with the entry.
pub fn destination(plan: &StorePlan, entry: &PushData) -> Result<Destination, String> {
    let key = &entry.r#match.remote_ref.remote_key;
    match &plan.source {
        StoreSource::Vault(store) => {
            let path = data_path(store, key)?;
            // Vault takes a namespace as the beginning of a path, too.
            let path = match store.namespace.trim_matches('/') {
                "" => path,
                namespace => format!("{namespace}/{path}"),
            };
            Ok(Destination { server: address(&store.login.connection.address), path })
        }
        StoreSource::Kubernetes(store) => {
            let may_choose_namespace = plan.key.kind == ClusterSecretStore::KIND;
            let (namespace, _) = cluster_push::place(store, may_choose_namespace, entry)?;
            let server = match &store.login {
                // The address is part of it.
                ClusterLogin::Kubeconfig(kubeconfig) => format!("kubeconfig {}/{}", kubeconfig.id, kubeconfig.key),
                _ => address(&store.url),
            };
            Ok(Destination { server, path: format!("{namespace}/{key}") })
        }
    }
}

/// A URL in one form: names of hosts have no case, and ports that go without saying are said.
fn address(url: &str) -> String {
    let Ok(uri) = url.trim().parse::<Uri>() else { return url.to_owned() };
    let scheme = uri.scheme_str().unwrap_or("https");
    let port = uri.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
    let host = uri.host().unwrap_or("").to_ascii_lowercase();
    format!("{scheme}://{host}:{port}{}", uri.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::external_secrets::SecretStore;
    use crate::resolve;

    fn of_store(provider: Value, key: &str) -> Destination {
        let spec = serde_json::from_value(json!({ "provider": provider })).unwrap();
        let mut store = SecretStore::new("store", spec);
        store.metadata.namespace = Some("app".into());
        leads(&resolve::secret_store(&store).unwrap(), key, Value::Null).unwrap()
    }

    fn of_cluster_store(provider: Value, key: &str, metadata: Value) -> Destination {
        let spec = serde_json::from_value(json!({ "provider": provider })).unwrap();
        let store = ClusterSecretStore::new("store", spec);
        leads(&resolve::cluster_secret_store(&store, "app").unwrap(), key, metadata).unwrap()
    }

    fn leads(plan: &StorePlan, key: &str, metadata: Value) -> Result<Destination, String> {
        let entry = json!({ "match": { "remoteRef": { "remoteKey": key } }, "metadata": metadata });
        destination(plan, &serde_json::from_value(entry).unwrap())
    }

    #[test]
    fn a_secret_of_vault_is_one_however_it_is_written() {
        let vault = |server: &str, namespace: &str, mount: Option<&str>| {
            let auth = json!({ "tokenSecretRef": { "name": "t", "key": "k" } });
            json!({ "vault": { "server": server, "namespace": namespace, "path": mount, "auth": auth } })
        };
        let one = of_store(vault("https://vault", "", Some("secret")), "x");
        for (server, namespace, mount, key) in [
            ("https://vault", "", Some("secret"), "secret/x"),
            ("https://vault", "", Some("secret"), "secret/data/x"),
            ("https://VAULT:443/", "", Some("/secret/"), "/x"),
            ("https://vault", "", None, "secret/x"),
        ] {
            assert_eq!(of_store(vault(server, namespace, mount), key), one, "{server} {namespace} {mount:?} {key}");
        }
        let team = of_store(vault("https://vault", "team", Some("secret")), "x");
        assert_eq!(of_store(vault("https://vault", "", Some("team/secret")), "x"), team);
        assert_eq!(of_store(vault("https://vault", "/team/", Some("secret")), "x"), team);
        for other in [
            team,
            of_store(vault("https://vault:8200", "", Some("secret")), "x"),
            of_store(vault("http://vault", "", Some("secret")), "x"),
            of_store(vault("https://vault", "", Some("other")), "x"),
            of_store(vault("https://vault", "", Some("secret")), "X"),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn a_secret_of_a_cluster_is_one_by_whatever_store() {
        let account = |namespace: Value| json!({ "serviceAccount": { "name": "a", "namespace": namespace } });
        let cluster = |namespace: &str, auth: Value| json!({ "kubernetes": { "server": { "url": "https://far" }, "remoteNamespace": namespace, "auth": auth } });
        let one = of_store(cluster("there", account(Value::Null)), "x");
        let token = json!({ "token": { "bearerToken": { "name": "t", "namespace": "n", "key": "k" } } });
        assert_eq!(of_cluster_store(cluster("there", token.clone()), "x", Value::Null), one);
        let to = |namespace: &str| {
            json!({
                "apiVersion": "kubernetes.external-secrets.io/v1alpha1", "kind": "PushSecretMetadata",
                "spec": { "remoteNamespace": namespace },
            })
        };
        assert_eq!(of_cluster_store(cluster("other", token.clone()), "x", to("there")), one);
        // ESO takes an empty name for none.
        assert_eq!(of_cluster_store(cluster("there", token.clone()), "x", to("")), one);
        assert_ne!(of_cluster_store(cluster("other", token), "x", Value::Null), one);
    }
}
