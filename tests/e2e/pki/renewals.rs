//! Certificates that are replaced in time, once, and what follows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::fixture::{End, NO_PAIR, PkiFixture};
use test_support::engines::pki::PkiEngine;
use test_support::engines::read_and_write;
use test_support::{NO_ELECTION, Tenant, eventually};

#[test]
fn a_certificate_is_replaced_in_its_window_and_the_old_one_revoked() {
    let tenant = Tenant::new("pki-renew");
    let pki = PkiFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &["app"], json!({ "ttl": "24s", "revoke": true })));
    let mut serials = vec![pki.wait_synced("web").serial];
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&ended);
        scope.spawn(|| {
            // A key is never paired with another certificate, and no certificate ends in the Secret.
            while !ended.load(Ordering::Relaxed) {
                match pki.held("web") {
                    Ok(held) => {
                        let now = chrono::Utc::now().timestamp();
                        assert!(held.certificate.not_after > now, "{} has ended", held.serial);
                    }
                    Err(error) => assert!(!error.starts_with(NO_PAIR), "{error}"),
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for round in 1..=3 {
            if round == 2 {
                operator.terminate();
                operator = tenant.operator(&NO_ELECTION);
            }
            let old = serials.last().expect("one").clone();
            let held = pki.wait_replaced("web", &old);
            eventually("the old one is revoked", || if pki.engine.is_revoked(&old) { Ok(()) } else { Err("not yet") });
            eventually("a restart", || match pki.restarts("app") {
                done if done == round => Ok(()),
                done => Err(done.to_string()),
            });
            serials.push(held.serial);
        }
    });
    tenant.wait_event("web", "SecretRotated", "sync_reason=InRenewalWindow");
    tenant.wait_event("web", "CertificateRevoked", &serials[0]);
    let current = pki.wait_synced("web").serial;
    assert!(pki.engine.serials().len() <= serials.len() + 1, "at most one for each window");
    tenant.kubectl(&["delete", "vaultpkisecret", "web", "--timeout=60s"]).expect("it goes");
    assert!(pki.engine.serials().iter().all(|serial| pki.engine.is_revoked(serial)), "{current} too");
}

#[test]
fn a_certificate_is_revoked_at_the_mount_that_has_issued_it() {
    let tenant = Tenant::new("pki-moved");
    let pki = PkiFixture::new(&tenant);
    let other = PkiEngine::on(tenant.cluster, &format!("{}-other", pki.engine.mount));
    tenant.allow(&[&read_and_write(&pki.engine.mount), &read_and_write(&other.mount)]);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &[], json!({ "ttl": "10m", "revoke": true })));
    for (from, to) in [(&pki.engine, &other), (&other, &pki.engine)] {
        let old = pki.wait_synced("web").serial;
        pki.patch("web", json!({ "spec": { "mount": to.mount } }));
        pki.wait_replaced("web", &old);
        eventually("the old one is revoked", || if from.is_revoked(&old) { Ok(()) } else { Err("not yet") });
    }
    tenant.kubectl(&["delete", "vaultpkisecret", "web", "--timeout=60s"]).expect("it goes");
    assert!(pki.engine.serials().iter().all(|serial| pki.engine.is_revoked(serial)));
}

#[test]
fn a_replaced_certificate_is_revoked_when_its_users_are_restarted() {
    let tenant = Tenant::new("pki-revoke-later");
    let pki = PkiFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[&NO_ELECTION[..], &["--rollout-window=10s"]].concat());
    tenant.apply(&pki.object("web", &["app"], json!({ "ttl": "10m", "revoke": true })));
    let old = pki.wait_synced("web").serial;
    pki.patch("web", json!({ "spec": { "commonName": "other.example.com" } }));
    pki.wait_replaced("web", &old);
    eventually("the old one is revoked", || {
        let is_revoked = pki.engine.is_revoked(&old);
        assert!(!is_revoked || pki.restarts("app") == 1, "it is in use");
        if is_revoked { Ok(()) } else { Err("not yet") }
    });
    // A restart that fails is not waited for.
    let old = pki.wait_synced("web").serial;
    let gone = json!([{ "kind": "Deployment", "name": "gone" }]);
    pki.patch("web", json!({ "spec": { "commonName": "web.example.com", "rolloutRestartTargets": gone } }));
    pki.wait_replaced("web", &old);
    eventually("it is revoked, too", || if pki.engine.is_revoked(&old) { Ok(()) } else { Err("not yet") });
}

#[test]
fn a_certificate_is_revoked_though_the_vault_auth_has_gone_before() {
    let tenant = Tenant::new("pki-auth-gone");
    let pki = PkiFixture::new(&tenant);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &[], json!({ "ttl": "10m", "revoke": true })));
    let serial = pki.wait_synced("web").serial;
    tenant.kubectl(&["delete", "vaultauth", "app"]).expect("it is deleted");
    tenant.wait_condition("vaultpkisecret", "web", "SecretSynced", "False", "VaultAuth");
    tenant.kubectl(&["delete", "vaultpkisecret", "web", "--timeout=60s"]).expect("it goes");
    eventually("it is revoked", || if pki.engine.is_revoked(&serial) { Ok(()) } else { Err("not yet") });
}
