//! Many certificates of a short time, through restarts of Vault and of the operator. `PKI_FLEET=500` and
//! `PKI_MINUTES=10` make it a longer test than it is by default.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testenv::{Options, Process, VaultStorage};

use super::fixture::{End, NO_PAIR, PkiFixture};
use test_support::kube_client::decoded;
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually, own};
use vso::pki::Certificate;

const TTL_SECONDS: i64 = 60;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Serial number and end of the certificate in each Secret.
fn held(pki: &PkiFixture<'_>) -> BTreeMap<String, (String, i64)> {
    let secrets = pki.api.list("Secret", &pki.tenant.namespace).expect("a list");
    let read = |secret: &serde_json::Value| {
        let certificate = Certificate::all_from_text(&decoded(secret, "tls.crt")?).ok()?.remove(0);
        Some((secret["metadata"]["name"].as_str()?.to_owned(), (certificate.serial, certificate.not_after)))
    };
    secrets.iter().filter_map(read).collect()
}

#[test]
fn no_certificate_ends_in_a_secret_and_none_is_issued_twice() {
    let count = usize::try_from(setting("PKI_FLEET", 40)).expect("a count");
    let minutes = setting("PKI_MINUTES", 2);
    let cluster = own(Options { vault: VaultStorage::Raft, ..Options::default() });
    let tenant = Tenant::on(&cluster, "pki-fleet");
    let pki = PkiFixture::new(&tenant);
    let marker = cluster.vault_audit_marker().expect("Vault's audit log");
    let args = [&NO_ELECTION[..], &FAST_RETRY[..]].concat();
    let mut operator = tenant.operator(&args);
    let spec = json!({ "ttl": format!("{TTL_SECONDS}s") });
    let objects = (0..count).map(|n| pki.object(&format!("web-{n:03}"), &[], spec.clone()));
    pki.api.create_all(objects.collect());
    eventually("all have a certificate", || match held(&pki).len() {
        found if found == count => Ok(()),
        found => Err(found.to_string()),
    });
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let ended = AtomicBool::new(false);
    let least_left = AtomicI64::new(TTL_SECONDS);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        let _end = End(&ended);
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let now = chrono::Utc::now().timestamp();
                for (name, (serial, not_after)) in held(&pki) {
                    assert!(not_after >= now, "{name}: {serial} has ended");
                    least_left.fetch_min(not_after - now, Ordering::Relaxed);
                }
                if let Err(error) = pki.held("web-000") {
                    assert!(!error.starts_with(NO_PAIR), "{error}");
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let part = Duration::from_secs(15 * minutes);
        std::thread::sleep(part);
        operator.terminate();
        operator = tenant.operator(&args);
        std::thread::sleep(part);
        cluster.kill(Process::Vault).expect("Vault is killed");
        cluster.start_again(Process::Vault).expect("Vault starts");
        cluster.vault_unseal().expect("it is unsealed");
        std::thread::sleep(part);
        operator.kill();
        operator = tenant.operator(&args);
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
    });
    // At most one for each window: a certificate is replaced after 37 s at the earliest.
    let (entries, _) = cluster.vault_audit_since(marker).expect("Vault's audit log");
    let issue = format!("{}/issue/app", pki.engine.mount);
    for entry in
        entries.iter().filter(|entry| entry.kind == "response" && entry.path == issue && entry.error.is_empty())
    {
        let name = entry.raw["request"]["data"]["common_name"].as_str().unwrap_or_default();
        *seen.entry(name.to_owned()).or_default() += 1;
    }
    let elapsed = 60 * minutes + 30;
    let windows = usize::try_from(elapsed / 37 + 1).expect("a count");
    assert_eq!(seen.len(), count, "{seen:?}");
    let most = seen.values().max().copied().unwrap_or_default();
    // One more for a crash between an answer and the status.
    assert!(most <= windows + 1, "{most} certificates in {windows} windows");
    let (issued, least) = (seen.values().sum::<usize>(), seen.values().min().copied().unwrap_or_default());
    let left = least_left.into_inner();
    eprintln!(
        "{count} objects, {issued} certificates in {elapsed} s: {least} to {most} for one, in {windows} windows at most; none \
         had ended, {left} s were left to the oldest one"
    );
}
