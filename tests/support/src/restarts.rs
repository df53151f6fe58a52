//! What tests of restarts have in common.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::environment::eventually;
use crate::kube_client::{KubeClient, decoded};
use crate::tenant::Tenant;

/// A tenant whose Deployments are watched for restarts.
pub struct RestartFixture<'a> {
    /// The tenant.
    pub tenant: &'a Tenant<'a>,
    /// An administrator of the API server.
    pub api: KubeClient,
}

impl<'a> RestartFixture<'a> {
    /// For a tenant.
    pub fn new(tenant: &'a Tenant<'a>) -> Self {
        Self { tenant, api: KubeClient::of(tenant.cluster) }
    }

    /// A VaultStaticSecret that restarts Deployments; members of `spec` win.
    pub fn object(&self, name: &str, deployments: &[&str], spec: Value) -> Value {
        let targets: Vec<_> = deployments.iter().map(|d| json!({ "kind": "Deployment", "name": d })).collect();
        let mut object = self.tenant.static_secret(name, spec);
        object["spec"]["rolloutRestartTargets"] = json!(targets);
        object
    }

    /// A VaultStaticSecret that reads `kv1/<namespace>/<name>`, where content can come back to what it was: a mount of
    /// version 2 puts its version into the Secret.
    pub fn kv1(&self, name: &str, deployments: &[&str]) -> Value {
        self.object(name, deployments, json!({ "type": "kv-v1", "mount": "kv1" }))
    }

    /// Writes `kv1/<namespace>/<name>`.
    pub fn put_kv1(&self, name: &str, password: &str) {
        let path = format!("kv1/{}", self.tenant.path(name));
        self.tenant.cluster.vault("POST", &path, Some(json!({ "password": password }))).expect("Vault takes a secret");
    }

    /// What is in the namespace under this name.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        self.api.get(kind, &self.tenant.namespace, name).expect("the object")
    }

    #[track_caller]
    /// Merges a patch into an object of the namespace.
    pub fn patch(&self, kind: &str, name: &str, patch: Value) -> Value {
        self.api.patch(kind, &self.tenant.namespace, name, &patch).expect("the object is patched")
    }

    /// How often the pod template of a Deployment was changed since it was made.
    #[track_caller]
    pub fn restarts(&self, deployment: &str) -> i64 {
        self.get("Deployment", deployment)["metadata"]["generation"].as_i64().expect("a generation") - 1
    }

    /// MAC of what a Secret holds, with the key of this tenant's operator.
    pub fn mac(&self, secret: &Value) -> String {
        let decode = |v: &Value| STANDARD.decode(v.as_str().expect("text")).expect("base64");
        let key = self.api.get("Secret", &self.tenant.operator_namespace, "vso-cc-storage-hmac-key").expect("the key");
        let entries: BTreeMap<&String, &Value> = secret["data"].as_object().into_iter().flatten().collect();
        let mut mac = Hmac::<Sha256>::new_from_slice(&decode(&key["data"]["key"])).expect("a key");
        mac.update(serde_json::to_string(&entries).expect("JSON").as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Waits until an object has recorded that the content of its Secret is synced and its targets are restarted.
    #[track_caller]
    pub fn wait_recorded(&self, name: &str, password: &str) {
        eventually(&format!("{name} is synced with {password:?}"), || {
            let secret = self.api.get("Secret", &self.tenant.namespace, name)?;
            let object = self.api.get("VaultStaticSecret", &self.tenant.namespace, name)?;
            let found = decoded(&secret, "password").unwrap_or_default();
            let recorded = object["status"]["secretMAC"] == *self.mac(&secret);
            let applied = object["status"]["lastGeneration"] == object["metadata"]["generation"];
            anyhow::ensure!(found == password && recorded && applied, "{found:?}, {}", object["status"]);
            Ok(())
        });
    }

    /// Fails unless a Deployment carries the content of the Secret `object` as the one it was restarted for.
    #[track_caller]
    pub fn assert_carries(&self, deployment: &str, object: &str) {
        let annotations = self.get("Deployment", deployment)["spec"]["template"]["metadata"]["annotations"].clone();
        let digest = annotations[format!("restart.vso.secrets.hashicorp.com/{object}")].as_str().unwrap_or("nothing");
        let mac = self.mac(&self.get("Secret", object));
        assert!(digest.contains(&mac), "{deployment} was restarted for {digest}, {object} holds {mac}");
    }

    /// Several refreshes of an object with `refreshAfter: 1s`.
    pub fn several_refreshes(&self) {
        std::thread::sleep(std::time::Duration::from_secs(4));
    }
}
