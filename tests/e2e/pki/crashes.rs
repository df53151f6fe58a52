//! Crashes of the operator, and the way from VSO: nothing is issued, restarted or lost for them.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::fixture::PkiFixture;
use test_support::audit::{Count, describe};
use test_support::restarts::RestartFixture;
use test_support::{NO_ELECTION, Tenant, eventually};

/// Objects of the test that kills the operator.
const MANY: usize = 8;
const ROUNDS: i64 = 4;

#[test]
fn a_crash_at_any_moment_loses_no_restart_and_repeats_none() {
    let tenant = Tenant::new("pki-crash");
    let pki = PkiFixture::new(&tenant);
    let names: Vec<String> = (0..MANY).map(|n| format!("web-{n}")).collect();
    let mut operator = tenant.operator(&NO_ELECTION);
    for name in &names {
        tenant.apply(&tenant.workload("Deployment", name));
        tenant.apply(&pki.object(name, &[name], json!({ "ttl": "24h", "revoke": true })));
    }
    let mut serials: Vec<String> = names.iter().map(|name| pki.wait_synced(name).serial).collect();
    let count = Count::start(&tenant);
    let mut random = StdRng::seed_from_u64(3);
    let mut crashes = 0;
    for round in 1..=ROUNDS {
        for name in &names {
            pki.patch(name, json!({ "spec": { "altNames": [format!("r{round}.example.com")] } }));
        }
        for _ in 0..random.random_range(1..4) {
            std::thread::sleep(Duration::from_millis(random.random_range(0..700)));
            operator.kill();
            crashes += 1;
            operator = tenant.operator(&NO_ELECTION);
        }
        for (name, serial) in names.iter().zip(&mut serials) {
            *serial = pki.wait_replaced(name, serial).serial;
            let held = tenant.get("secret", name).expect("the Secret");
            let writes = count.writes("secrets", name);
            eventually(&format!("restarts of {name}"), || match pki.restarts(name) {
                done if writes.contains(&done) => Ok(()),
                done => Err(format!("{done} restarts for {writes:?} contents, {}", held["metadata"])),
            });
        }
    }
    operator.kill();
    let _operator = tenant.operator(&NO_ELECTION);
    std::thread::sleep(Duration::from_secs(3));
    for name in &names {
        let (done, writes) = (pki.restarts(name), count.writes("secrets", name));
        assert!(writes.contains(&done), "{name}, after one more start: {done} restarts for {writes:?} contents");
    }
    // What the operator has seen of Vault's answers is revoked. What it was killed before it saw is not known.
    let stray = || {
        let all = pki.engine.serials().into_iter();
        all.filter(|serial| !serials.contains(serial) && !pki.engine.is_revoked(serial)).count()
    };
    eventually("the rest is revoked", || match stray() {
        left if left <= crashes => Ok(()),
        left => Err(format!("{left} are not, for {crashes} crashes")),
    });
    assert!(serials.iter().all(|serial| !pki.engine.is_revoked(serial)));
}

#[test]
fn what_vso_has_issued_is_taken_over_as_it_is() {
    let tenant = Tenant::new("pki-vso");
    let pki = PkiFixture::new(&tenant);
    let rig = RestartFixture::new(&tenant);
    // It makes the key of the MACs.
    tenant.operator(&NO_ELECTION).terminate();
    let path = format!("{}/issue/app", pki.engine.mount);
    let body = json!({ "common_name": "web.example.com", "ttl": "240h" });
    let answer = tenant.cluster.vault("PUT", &path, Some(body)).expect("a certificate")["data"].take();
    let text = |key: &str| answer[key].as_str().expect("text").to_owned();
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut object = pki.object("web", &["app"], json!({}));
    object["metadata"]["finalizers"] = json!(["vaultpkisecrets.secrets.hashicorp.com/finalizer"]);
    tenant.apply(&object);
    let uid = tenant.get("vaultpkisecret", "web").expect("the object")["metadata"]["uid"].take();
    let chain = format!("{}\n{}", text("certificate"), text("issuing_ca"));
    tenant.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": "web",
            "labels": {
                "app.kubernetes.io/component": "secret-sync", "app.kubernetes.io/managed-by": "hashicorp-vso",
                "app.kubernetes.io/name": "vault-secrets-operator", "secrets.hashicorp.com/vso-ownerRefUID": uid,
            },
            "ownerReferences": [{ "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultPKISecret", "name": "web",
                "uid": uid }],
        },
        "stringData": {
            "tls.crt": chain, "tls.key": text("private_key"), "ca.crt": text("issuing_ca"),
            "certificate": text("certificate"), "private_key": text("private_key"), "_raw": answer.to_string(),
            "serial_number": text("serial_number"),
        },
    }));
    let secret = tenant.get("secret", "web").expect("the Secret");
    let now = chrono::Utc::now().timestamp();
    let status = json!({ "status": {
        "serialNumber": answer["serial_number"], "expiration": answer["expiration"], "lastGeneration": 1,
        "lastRotation": now, "secretMAC": rig.mac(&secret), "valid": true, "error": "",
    } });
    rig.api.patch_status("VaultPKISecret", &tenant.namespace, "web", &status).expect("a status");
    let count = Count::start(&tenant);
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.wait_condition("vaultpkisecret", "web", "CertificateValid", "True", &text("serial_number"));
    operator.terminate();
    let _operator = tenant.operator(&NO_ELECTION);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(pki.wait_synced("web").serial, text("serial_number"));
    assert_eq!(pki.engine.serials().len(), 1);
    let writes: Vec<_> = count.requests().into_iter().filter(|e| e.is_write() && e.name == "web").collect();
    assert!(
        writes.len() == 1 && writes[0].subresource == "status",
        "the status gets what VSO does not record, once: {}",
        describe(&writes)
    );
    // What VSO put on goes.
    tenant.kubectl(&["delete", "vaultpkisecret", "web", "--timeout=30s"]).expect("it goes");
}
