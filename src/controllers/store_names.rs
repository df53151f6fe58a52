//! What of the cluster a store is reached with: a change of it is a reason to look at the store again.

use super::named::{Name, Source};
use crate::api::ObjectRef;
use crate::api::auth_methods::CredentialObject;
use crate::resolve::{CaSource, ClusterLogin, SecretKey, StorePlan, StoreSource};

/// The credentials and authorities of a store. Those of the namespace that uses a ClusterSecretStore are not known
/// without that namespace.
pub(super) fn names(store: &StorePlan) -> Vec<Name> {
    let mut names = vec![];
    let mut add = |source: Source, id: ObjectRef| {
        if !id.namespace.is_empty() {
            names.push((source, Some(id)));
        }
    };
    let ca = match &store.source {
        StoreSource::Vault(vault) => {
            let login = &vault.login;
            let id = |name: &str| ObjectRef::new(&*login.credential_namespace, name);
            let settings = login.method.settings();
            match settings.credential() {
                CredentialObject::Secret(name) => add(Source::Secrets, id(name)),
                CredentialObject::ServiceAccount(name) => add(Source::ServiceAccounts, id(name)),
                CredentialObject::Operator | CredentialObject::None => {}
            }
            for name in settings.further_secrets() {
                add(Source::Secrets, id(name));
            }
            for key in login.connection.client_certificate.iter().flat_map(|(certificate, key)| [certificate, key]) {
                add(Source::Secrets, key.id.clone());
            }
            &login.connection.ca
        }
        StoreSource::Kubernetes(cluster) => {
            let mut secret = |key: &SecretKey| add(Source::Secrets, key.id.clone());
            match &cluster.login {
                ClusterLogin::Token(key) | ClusterLogin::Kubeconfig(key) => secret(key),
                ClusterLogin::Certificate { certificate, key } => [certificate, key].into_iter().for_each(secret),
                ClusterLogin::ServiceAccount { id, .. } => add(Source::ServiceAccounts, id.clone()),
            }
            &cluster.ca
        }
    };
    match ca {
        CaSource::Secret(id, _) => add(Source::Secrets, id.clone()),
        CaSource::ConfigMap(id, _) => add(Source::ConfigMaps, id.clone()),
        CaSource::System | CaSource::Text(_) | CaSource::File(_) | CaSource::Skip => {}
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::external_secrets::ClusterSecretStore;
    use crate::resolve;

    fn named(provider: Value, namespace: &str) -> Vec<String> {
        let spec = serde_json::from_value(json!({ "provider": provider })).unwrap();
        let store = ClusterSecretStore::new("store", spec);
        let plan = resolve::cluster_secret_store(&store, namespace).unwrap();
        names(&plan).iter().map(|(source, id)| format!("{source:?} {}", id.as_ref().unwrap())).collect()
    }

    #[test]
    fn each_login_and_each_authority_is_named() {
        let key = |name: &str| json!({ "name": name, "namespace": "there", "key": "k" });
        let vault = |auth: Value, more: Value| {
            let mut vault = json!({ "server": "https://vault", "auth": auth });
            json_patch::merge(&mut vault, &more);
            json!({ "vault": vault })
        };
        let cluster = |auth: Value| json!({ "kubernetes": { "server": { "url": "https://far" }, "auth": auth } });
        let account = json!({ "name": "a", "namespace": "there" });
        let app_role = json!({ "roleRef": key("a"), "secretRef": key("b") });
        let cert = json!({ "clientCert": key("a"), "secretRef": key("b") });
        let ca = |kind: &str| json!({ "caProvider": { "type": kind, "name": "a", "namespace": "there" } });
        let token = json!({ "tokenSecretRef": key("t") });
        for (provider, expected) in [
            (vault(token.clone(), json!({})), vec!["Secrets there/t"]),
            (vault(json!({ "appRole": app_role }), json!({})), vec!["Secrets there/b", "Secrets there/a"]),
            (
                vault(json!({ "kubernetes": { "role": "r", "serviceAccountRef": account } }), json!({})),
                vec!["ServiceAccounts there/a"],
            ),
            (vault(json!({ "cert": cert }), json!({})), vec!["Secrets there/a", "Secrets there/a", "Secrets there/b"]),
            (
                vault(
                    json!({ "gcp": { "role": "r", "secretRef": { "secretAccessKeySecretRef": key("a") } } }),
                    json!({}),
                ),
                vec!["Secrets there/a"],
            ),
            (
                vault(
                    json!({ "iam": { "vaultRole": "r", "secretRef": {
                        "accessKeyIDSecretRef": key("a"), "secretAccessKeySecretRef": key("b"),
                        "sessionTokenSecretRef": key("c"),
                    } } }),
                    json!({}),
                ),
                vec!["Secrets there/a", "Secrets there/b", "Secrets there/c"],
            ),
            (vault(token.clone(), ca("Secret")), vec!["Secrets there/t", "Secrets there/a"]),
            (vault(token, ca("ConfigMap")), vec!["Secrets there/t", "ConfigMaps there/a"]),
            (cluster(json!({ "token": { "bearerToken": key("t") } })), vec!["Secrets there/t"]),
            (cluster(json!({ "serviceAccount": account })), vec!["ServiceAccounts there/a"]),
            (
                cluster(json!({ "cert": { "clientCert": key("c"), "clientKey": key("k") } })),
                vec!["Secrets there/c", "Secrets there/k"],
            ),
            (json!({ "kubernetes": { "authRef": key("c") } }), vec!["Secrets there/c"]),
        ] {
            assert_eq!(named(provider.clone(), "here"), expected, "{provider}");
        }
    }

    #[test]
    fn credentials_of_users_are_named_by_users_alone() {
        let auth = json!({ "tokenSecretRef": { "name": "t", "key": "k" } });
        let provider = json!({ "vault": { "server": "https://vault", "auth": auth } });
        assert_eq!(named(provider.clone(), ""), [""; 0]);
        assert_eq!(named(provider, "here"), ["Secrets here/t"]);
    }
}
