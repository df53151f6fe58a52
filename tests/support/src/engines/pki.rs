//! The engine `pki`: authorities that sign certificates.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testenv::Cluster;

use super::policies::read_and_write;
use crate::tenant::Tenant;

/// A mount of the engine, with an authority that is its default issuer.
pub struct PkiEngine<'a> {
    cluster: &'a Cluster,
    /// Path of the mount.
    pub mount: String,
}

impl<'a> PkiEngine<'a> {
    /// Mounts it for a tenant, whose role may issue and revoke certificates. Certificates begin when they are issued.
    pub fn mount(tenant: &Tenant<'a>) -> Self {
        let engine = Self { cluster: tenant.cluster, mount: format!("pki-{}", tenant.namespace) };
        let settings = json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } });
        tenant.cluster.vault("POST", &format!("sys/mounts/{}", engine.mount), Some(settings)).expect("a mount");
        engine.root("root", "87600h");
        engine.role("app", json!({}));
        tenant.allow(&[&read_and_write(&engine.mount)]);
        engine
    }

    /// Makes another root, which is the default issuer from now on. Gives its certificate.
    pub fn root(&self, name: &str, ttl: &str) -> String {
        let root = json!({ "common_name": name, "issuer_name": name, "key_type": "ec", "ttl": ttl });
        let answer = self.write("root/generate/internal", root);
        self.make_default(name);
        answer["certificate"].as_str().expect("a certificate").to_owned()
    }

    /// Makes an authority below the issuer `above`. It is the default issuer from now on.
    pub fn intermediate(&self, name: &str, above: &str, ttl: &str) -> String {
        let request = self.write("intermediate/generate/internal", json!({ "common_name": name, "key_type": "ec" }));
        let sign = json!({ "csr": request["csr"], "common_name": name, "ttl": ttl, "format": "pem" });
        let signed = self.write(&format!("issuer/{above}/sign-intermediate"), sign);
        let certificate = signed["certificate"].as_str().expect("a certificate").to_owned();
        let imported = self.write("intermediate/set-signed", json!({ "certificate": certificate }));
        let id = imported["imported_issuers"][0].as_str().expect("an issuer").to_owned();
        self.write(&format!("issuer/{id}"), json!({ "issuer_name": name }));
        self.make_default(name);
        certificate
    }

    /// Makes an issuer the default one.
    pub fn make_default(&self, name: &str) {
        self.write("config/issuers", json!({ "default": name }));
    }

    /// A role for names below `example.com`; these parameters win.
    pub fn role(&self, name: &str, parameters: Value) {
        let mut role = json!({
            "allowed_domains": ["example.com"], "allow_subdomains": true, "key_type": "ec", "key_bits": 256,
            "max_ttl": "720h", "not_before_duration": "0s",
        });
        json_patch::merge(&mut role, &parameters);
        self.write(&format!("roles/{name}"), role);
    }

    /// Serial numbers of all certificates that the mount has issued, its authorities left out.
    pub fn serials(&self) -> BTreeSet<String> {
        let path = format!("{}/certs", self.mount);
        let (_, answer) =
            self.cluster.vault_raw("LIST", &path, None, self.cluster.vault_token()).expect("an answer of Vault");
        let keys = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        let serials = keys.iter().filter_map(Value::as_str).map(str::to_owned);
        serials.filter(|serial| !self.is_authority(serial)).collect()
    }

    /// Whether a certificate is revoked.
    pub fn is_revoked(&self, serial: &str) -> bool {
        self.certificate(serial)["revocation_time"].as_u64().is_some_and(|time| time > 0)
    }

    fn is_authority(&self, serial: &str) -> bool {
        let text = self.certificate(serial)["certificate"].as_str().unwrap_or_default().to_owned();
        let path = format!("{}/issuers", self.mount);
        let (_, answer) =
            self.cluster.vault_raw("LIST", &path, None, self.cluster.vault_token()).expect("an answer of Vault");
        let issuers = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        issuers.iter().filter_map(Value::as_str).any(|id| {
            let issuer = self.cluster.vault("GET", &format!("{}/issuer/{id}", self.mount), None).expect("an issuer");
            issuer["data"]["certificate"].as_str().is_some_and(|issuer| issuer.trim() == text.trim())
        })
    }

    fn certificate(&self, serial: &str) -> Value {
        let answer = self.cluster.vault("GET", &format!("{}/cert/{serial}", self.mount), None);
        answer.expect("a certificate")["data"].clone()
    }

    fn write(&self, path: &str, body: Value) -> Value {
        let answer = self.cluster.vault("POST", &format!("{}/{path}", self.mount), Some(body));
        answer.expect("Vault takes it")["data"].clone()
    }
}
