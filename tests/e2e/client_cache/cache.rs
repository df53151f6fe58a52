//! A tenant whose tokens are stored: its identities, and what is in the storage.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use test_support::audit::Count;
use test_support::kube_client::KubeClient;
use test_support::{Operator, Tenant, eventually};

/// Stored tokens of a tenant.
pub struct Cache<'a> {
    pub tenant: &'a Tenant<'a>,
    pub api: KubeClient,
}

impl<'a> Cache<'a> {
    pub fn of(tenant: &'a Tenant<'a>) -> Self {
        Self { tenant, api: KubeClient::of(tenant.cluster) }
    }

    pub fn start(&self, model: &str, more: &[&str]) -> Operator {
        self.tenant.operator(&[&["--leader-elect=false", model], more].concat())
    }

    /// A Transit key, and the VaultAuth of config/samples/client-cache.yaml, which may use it.
    pub fn encryption(&self) {
        let (cluster, home) = (self.tenant.cluster, &self.tenant.operator_namespace);
        let mount = format!("{home}-transit");
        cluster.vault("POST", &format!("sys/mounts/{mount}"), Some(json!({ "type": "transit" }))).expect("a mount");
        cluster.vault("POST", &format!("{mount}/keys/vso-client-cache"), Some(json!({}))).expect("a key");
        let rule =
            |verb| format!("path \"{mount}/{verb}/vso-client-cache\" {{ capabilities = [\"create\", \"update\"] }}\n");
        cluster.vault_policy(&mount, &(rule("encrypt") + &rule("decrypt"))).expect("a policy");
        cluster.vault_kubernetes_role(&mount, &["vso-client-cache"], &[home], &[&mount], "1h").expect("a role");
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples/client-cache.yaml");
        let mut sample = std::fs::read_to_string(sample).expect("the sample");
        for (from, to) in [
            ("namespace: vault-secrets-operator-system", format!("namespace: {home}")),
            ("https://vault.example.com:8200", cluster.vault_addr().to_owned()),
            ("role: vso-client-cache", format!("role: {mount}")),
            ("mount: transit", format!("mount: {mount}")),
        ] {
            assert!(sample.contains(from), "{from}");
            sample = sample.replace(from, &to);
        }
        cluster.kubectl_apply(&sample).expect("the sample is accepted");
    }

    /// VaultAuths that are an identity each, and an object for each of them that reads `secret/<namespace>/shared`.
    pub fn identities(&self, names: &[String], refresh: &str) {
        self.tenant.put("shared", json!({ "password": "one" }));
        let auths = names.iter().enumerate().map(|(i, name)| {
            let mut spec = self.tenant.auth_spec();
            spec["kubernetes"]["tokenExpirationSeconds"] = json!(700 + i);
            self.tenant.object("VaultAuth", name, spec)
        });
        self.api.create_all(auths.collect());
        let path = self.tenant.path("shared");
        let objects = names.iter().map(|name| {
            let spec = json!({ "vaultAuthRef": name, "refreshAfter": refresh, "path": path });
            self.tenant.static_secret(name, spec)
        });
        self.api.create_all(objects.collect());
    }

    /// Stored clients by the name of their VaultAuth.
    pub fn stored(&self) -> BTreeMap<String, Value> {
        let auths = self.tenant.list("vaultauths");
        let name = |secret: &Value| {
            let uid = &secret["metadata"]["labels"]["auth/UID"];
            let auth = auths.iter().find(|auth| auth["metadata"]["uid"] == *uid);
            auth.map_or("?", |auth| auth["metadata"]["name"].as_str().expect("a name")).to_owned()
        };
        let all = self.api.list("secret", &self.tenant.operator_namespace).expect("Secrets").into_iter();
        all.filter(|s| s["metadata"]["labels"]["app.kubernetes.io/component"] == "client-cache-storage")
            .map(|secret| (name(&secret), secret))
            .collect()
    }

    #[track_caller]
    pub fn wait_stored(&self, names: &[String]) -> BTreeMap<String, Value> {
        eventually(&format!("{} stored clients", names.len()), || {
            let stored = self.stored();
            let found: Vec<String> = stored.keys().cloned().collect();
            let mut wanted = names.to_vec();
            wanted.sort();
            if found == wanted { Ok(stored) } else { Err(format!("{found:?}")) }
        })
    }

    #[track_caller]
    pub fn wait_all_synced(&self, names: &[String]) {
        eventually("all synced", || {
            let objects = self.tenant.list("vaultstaticsecrets");
            let synced = |o: &&Value| {
                let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|c| c["type"] == "SecretSynced" && c["status"] == "True")
            };
            let n = objects.iter().filter(synced).count();
            if n == names.len() { Ok(()) } else { Err(format!("{n} of {}", names.len())) }
        });
    }

    pub fn mac_key(&self) -> Vec<u8> {
        let secret = self.api.get("secret", &self.tenant.operator_namespace, "vso-cc-storage-hmac-key").expect("it");
        STANDARD.decode(secret["data"]["key"].as_str().expect("a key")).expect("base64")
    }

    /// `messageMAC` as upstream computes it.
    pub fn mac(&self, cache_key: &str, data: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.mac_key()).expect("any length");
        mac.update(format!("vso-cc-{cache_key}{cache_key}{data}").as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Puts a Secret in the place of one that is immutable.
    pub fn replace(&self, secret: &Value) {
        let name = secret["metadata"]["name"].as_str().expect("a name");
        let _ = self.api.delete("secret", &self.tenant.operator_namespace, name);
        let mut secret = secret.clone();
        for own in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            secret["metadata"].as_object_mut().expect("metadata").remove(own);
        }
        secret["apiVersion"] = json!("v1");
        secret["kind"] = json!("Secret");
        self.api.create(&secret).expect("a Secret");
    }
}

pub fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("id-{i:03}")).collect()
}

pub fn key_of(stored: &Value) -> &str {
    stored["metadata"]["labels"]["cacheKey"].as_str().expect("a key")
}

pub fn wait_reads(count: &Count, n: usize) {
    eventually(&format!("{n} reads"), || match count.reads().values().map(Vec::len).sum::<usize>() {
        found if found >= n => Ok(()),
        found => Err(format!("{found}")),
    });
}
