//! What tests of VaultPKISecrets have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use test_support::engines::pki::PkiEngine;
use test_support::kube_client::{KubeClient, decoded};
use test_support::{Tenant, eventually};
use vso::pki::{Certificate, Issued};

/// A key with another certificate.
pub const NO_PAIR: &str = "no pair";

/// Tells the other threads of a test that it has ended, in whichever way.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A tenant with a PKI engine.
pub struct PkiFixture<'a> {
    pub tenant: &'a Tenant<'a>,
    pub engine: PkiEngine<'a>,
    pub api: KubeClient,
}

/// What a Secret holds.
pub struct Held {
    pub serial: String,
    pub certificate: Certificate,
    pub secret: Value,
}

impl Held {
    /// A line of the private key, which must be nowhere else.
    pub fn key_line(&self) -> &str {
        let key = self.secret["key"].as_str().expect("a key");
        key.lines().nth(1).expect("a second line")
    }
}

impl<'a> PkiFixture<'a> {
    pub fn new(tenant: &'a Tenant<'a>) -> Self {
        Self { tenant, engine: PkiEngine::mount(tenant), api: KubeClient::of(tenant.cluster) }
    }

    /// A VaultPKISecret for a Secret of type `kubernetes.io/tls`, which restarts Deployments. Members of `spec` win.
    pub fn object(&self, name: &str, deployments: &[&str], spec: Value) -> Value {
        let targets: Vec<_> = deployments.iter().map(|d| json!({ "kind": "Deployment", "name": d })).collect();
        let mut full = json!({
            "vaultAuthRef": "app",
            "mount": self.engine.mount,
            "role": "app",
            "commonName": format!("{name}.example.com"),
            "rolloutRestartTargets": targets,
            "destination": { "name": name, "create": true, "type": "kubernetes.io/tls" },
        });
        json_patch::merge(&mut full, &spec);
        self.tenant.object("VaultPKISecret", name, full)
    }

    pub fn patch(&self, name: &str, patch: Value) {
        self.api.patch("VaultPKISecret", &self.tenant.namespace, name, &patch).expect("the object is patched");
    }

    /// How often the pod template of a Deployment was changed since it was made.
    pub fn restarts(&self, deployment: &str) -> i64 {
        let object = self.tenant.get("Deployment", deployment).expect("the Deployment");
        object["metadata"]["generation"].as_i64().expect("a generation") - 1
    }

    /// What a Secret holds. The error begins with [`NO_PAIR`] if its key is not that of its certificate.
    pub fn held(&self, name: &str) -> Result<Held, String> {
        let secret = self.tenant.get("secret", name).map_err(|error| error.to_string())?;
        let text = |keys: [&str; 2]| keys.iter().find_map(|key| decoded(&secret, key)).ok_or(format!("no {}", keys[0]));
        let (chain, key) = (text(["tls.crt", "certificate"])?, text(["tls.key", "private_key"])?);
        let certificate = Certificate::all_from_text(&chain).map_err(|error| error.to_string())?.remove(0);
        let answer = json!({ "certificate": chain, "private_key": key, "serial_number": certificate.serial });
        Issued::parse(Arc::new(answer), None).map_err(|error| format!("{NO_PAIR}: {error}"))?;
        Ok(Held { serial: certificate.serial.clone(), certificate, secret: json!({ "key": key }) })
    }

    /// Waits until an object is synced and says so. Gives what its Secret holds.
    #[track_caller]
    pub fn wait_synced(&self, name: &str) -> Held {
        eventually(&format!("{name} is synced"), || {
            let held = self.held(name)?;
            let object = self.tenant.get("vaultpkisecret", name).map_err(|error| error.to_string())?;
            let status = &object["status"];
            let applied = status["lastGeneration"] == object["metadata"]["generation"];
            let recorded = status["serialNumber"] == held.serial.as_str() && status["valid"] == true;
            if applied && recorded && status["pending"].is_null() { Ok(held) } else { Err(status.to_string()) }
        })
    }

    /// Waits until an object is synced with another certificate.
    #[track_caller]
    pub fn wait_replaced(&self, name: &str, serial: &str) -> Held {
        eventually(&format!("another certificate for {name}"), || {
            let held = self.wait_synced(name);
            if held.serial == serial { Err("the old one") } else { Ok(held) }
        })
    }

    /// A value of a Secret.
    pub fn bytes(&self, secret: &str, key: &str) -> Vec<u8> {
        let secret = self.tenant.get("secret", secret).expect("the Secret");
        STANDARD.decode(secret["data"][key].as_str().unwrap_or_else(|| panic!("no {key}"))).expect("base64")
    }
}
