//! Servers whose clock differs, and servers whose answers are no certificates.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::fixture::PkiFixture;
use test_support::auth_mounts::secret;
use test_support::http_server::{Answer, Request, serve};
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually};
use vso::pki::Certificate;

const KIND: &str = "vaultpkisecret";

/// A server that issues certificates on a clock of its own.
struct Server {
    address: String,
    issued: Arc<Mutex<Vec<String>>>,
}

/// What is wrong with an answer.
type Fault = fn(&mut Value);

impl Server {
    /// `ahead`: by how many seconds its clock is ahead. `tells`: its answers say what time it has.
    fn start(ahead: i64, ttl: i64, tells: bool, fault: Fault) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(vec![]).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, "root");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).expect("a root").pem();
        let issuer = Issuer::new(parameters, key);
        let issued = Arc::new(Mutex::new(vec![]));
        let serials = issued.clone();
        let host = serve(Arc::new(move |request: &Request| {
            let now = Utc::now().timestamp() + ahead;
            let headers = if tells { vec![("Date", http_date(now))] } else { vec![] };
            if !request.path.contains("/issue/") {
                return Answer { headers, ..Answer::refusal(404, "") };
            }
            let mut data = certificate(&issuer, &root, now, ttl);
            serials.lock().expect("it").push(data["serial_number"].as_str().expect("a number").to_owned());
            fault(&mut data);
            Answer { headers, ..Answer::json(&json!({ "data": data })) }
        }));
        Self { address: format!("http://{host}"), issued }
    }

    fn issued(&self) -> usize {
        self.issued.lock().expect("it").len()
    }

    /// Makes a VaultAuth and a VaultConnection for it.
    fn connect(&self, tenant: &Tenant<'_>, name: &str) {
        tenant.apply(&tenant.object("VaultConnection", name, json!({ "address": self.address })));
        let reference = json!({ "name": "fixed-token", "key": "token" });
        let spec = json!({ "vaultConnectionRef": name, "method": "token", "token": { "secretRef": reference } });
        tenant.apply(&tenant.object("VaultAuth", name, spec));
    }
}

fn http_date(seconds: i64) -> String {
    let date: DateTime<Utc> = DateTime::from_timestamp(seconds, 0).expect("a time");
    date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn certificate(issuer: &Issuer<'_, KeyPair>, root: &str, now: i64, ttl: i64) -> Value {
    let key = KeyPair::generate().expect("a key");
    let time = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs());
    let mut parameters = CertificateParams::new(vec!["web.example.com".to_owned()]).expect("parameters");
    (parameters.not_before, parameters.not_after) = (time(now - 30), time(now + ttl));
    let made = parameters.signed_by(&key, issuer).expect("a certificate");
    let read = Certificate::from_der(made.der()).expect("it is read");
    json!({
        "certificate": read.pem(), "issuing_ca": root, "private_key": key.serialize_pem(), "private_key_type": "ec",
        "serial_number": read.serial, "expiration": read.not_after,
    })
}

#[test]
fn clocks_may_differ_by_ten_minutes() {
    let tenant = Tenant::new("pki-clock");
    let pki = PkiFixture::new(&tenant);
    tenant.apply(&secret("fixed-token", "token", "fixed"));
    let _operator = tenant.operator(&NO_ELECTION);
    let cases = [("slow", -600, true), ("fast", 600, true), ("slow-untold", -600, false), ("fast-untold", 600, false)];
    let servers = cases.map(|(name, ahead, tells)| {
        let server = Server::start(ahead, 30, tells, |_| {});
        server.connect(&tenant, name);
        tenant.apply(&pki.object(name, &[], json!({ "vaultAuthRef": name, "mount": "pki" })));
        server
    });
    let first = cases.map(|(name, ..)| pki.wait_synced(name).serial);
    for ((name, ahead, tells), serial) in cases.iter().zip(&first) {
        let status = &tenant.get(KIND, name).expect("the object")["status"];
        let difference = status["issue"]["clockDifference"].as_i64().unwrap_or_default();
        // What is not told is seen where a certificate begins in the future. These begin 30 s before their issue.
        let known = if *tells { *ahead } else { (*ahead - 30).max(0) };
        assert!((difference + known).abs() <= 2, "{name}: {difference}");
        pki.wait_replaced(name, serial);
    }
    // Where the difference is known, a certificate of 30 s is replaced after 18.5 to 20 s. Where it is not, it is not
    // known when a certificate ends that is shorter than the difference; it is not replaced without a pause all the
    // same.
    std::thread::sleep(Duration::from_secs(30));
    for ((name, ..), server) in cases.iter().zip(&servers) {
        let limit = if name.ends_with("untold") { 20 } else { 5 };
        assert!((2..=limit).contains(&server.issued()), "{name}: {}", server.issued());
    }
}

#[test]
fn answers_that_are_no_certificates_are_told_apart() {
    let tenant = Tenant::new("pki-hostile");
    let pki = PkiFixture::new(&tenant);
    tenant.apply(&secret("fixed-token", "token", "fixed"));
    let operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let cases: [(&str, Fault, &str); 7] = [
        ("unreadable", |data| data["certificate"] = json!("c2VjcmV0LWh1bnRlcjI="), "it is no X.509 certificate"),
        ("no-key", |data| drop(data.as_object_mut().map(|data| data.remove("private_key"))), "it has no private_key"),
        ("no-serial", |data| data["serial_number"] = json!(""), "it has no serial_number"),
        ("other-serial", |data| data["serial_number"] = json!("0a:0b"), "has the serial number"),
        (
            "other-key",
            |data| data["private_key"] = json!(KeyPair::generate().expect("a key").serialize_pem()),
            "its private_key is not that of its certificate",
        ),
        ("chain", |data| data["ca_chain"] = json!(["hunter2"]), "its ca_chain cannot be read"),
        ("long", |data| data["more"] = json!("x".repeat(100_000)), "longer than any certificate"),
    ];
    let servers = cases.map(|(name, fault, _)| {
        let server = Server::start(0, 3600, true, fault);
        server.connect(&tenant, name);
        tenant.apply(&pki.object(name, &[], json!({ "vaultAuthRef": name, "mount": "pki" })));
        server
    });
    for (name, _, text) in cases {
        tenant.wait_condition_of(KIND, name, ("SecretSynced", "False", Some("VaultClientError")), &[text]);
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    let ended = Server::start(0, -60, true, |_| {});
    ended.connect(&tenant, "ended");
    tenant.apply(&pki.object("ended", &[], json!({ "vaultAuthRef": "ended", "mount": "pki" })));
    tenant.wait_condition(KIND, "ended", "SecretSynced", "False", "has ended already");
    eventually("tries that are repeated", || if servers.iter().all(|s| s.issued() > 1) { Ok(()) } else { Err("one") });
    tenant.assert_nothing_leaked(&operator, &["hunter2", "c2VjcmV0"]);
}
