use serde_json::json;

use super::*;
use crate::api::{PKIOrigin, PKIPendingCertificate, VaultPKISecret};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
const SERIAL: &str = "0a:0b";

fn request(digest: &str) -> PkiRequest {
    PkiRequest {
        body: json!({}),
        origin: origin(),
        revoke: false,
        format: None,
        expiry_offset: DAY,
        tls: false,
        keystores: vec![],
        issuer: None,
        digest: digest.into(),
    }
}

fn origin() -> PKIOrigin {
    PKIOrigin { mount: Some("pki".into()), namespace: Some("root".into()) }
}

fn issue(mac: &str) -> PKIIssue {
    let text = |text: &str| Some(text.to_owned());
    PKIIssue {
        secret_mac: text(mac),
        request_digest: text("request"),
        clock_difference: 0,
        issuer_fingerprint: text("issuer"),
        origin: origin(),
    }
}

/// Of a certificate that was issued ten days ago and ends in twenty.
fn synced() -> VaultPKISecretStatus {
    VaultPKISecretStatus {
        serial_number: Some(SERIAL.into()),
        expiration: Some(NOW + 20 * DAY),
        last_generation: 3,
        last_rotation: NOW - 10 * DAY,
        secret_mac: Some("mac".into()),
        valid: true,
        issue: Some(issue("mac")),
        ..VaultPKISecretStatus::default()
    }
}

fn pending() -> PKIPendingCertificate {
    PKIPendingCertificate {
        serial_number: "0c:0d".into(),
        expiration: NOW + 30 * DAY,
        last_rotation: NOW - 1,
        issue: issue("new mac"),
    }
}

struct Case {
    status: VaultPKISecretStatus,
    generation: i64,
    digest: &'static str,
    mac: Option<&'static str>,
    issuer: Option<&'static str>,
    now: i64,
}

fn case() -> Case {
    Case { status: synced(), generation: 3, digest: "request", mac: Some("mac"), issuer: Some("issuer"), now: NOW }
}

fn decided(case: &Case) -> Decision {
    decide(&Known {
        status: &case.status,
        generation: case.generation,
        request: &request(case.digest),
        held: case.mac.map(|mac| Held { mac, data: None, before_key: false }),
        found_before: None,
        issuer: case.issuer,
        now: case.now,
    })
}

/// The reason for another certificate, or the serial number of the one that stays and whether a run was cut off.
fn outcome(case: &Case) -> (String, bool) {
    match decided(case) {
        Decision::Issue(reason) => (reason.as_str().to_owned(), false),
        Decision::Keep { certificate, unfinished } => (certificate.serial, unfinished),
    }
}

#[test]
fn a_certificate_is_issued_for_a_reason_and_once() {
    let with = |change: &dyn Fn(&mut Case)| {
        let mut case = case();
        change(&mut case);
        outcome(&case)
    };
    let kept = |serial: &str| (serial.to_owned(), false);
    let issued = kept;
    assert_eq!(with(&|_| {}), kept(SERIAL));
    assert_eq!(with(&|case| case.status = VaultPKISecretStatus::default()), issued("InitialSync"));
    assert_eq!(with(&|case| (case.status.serial_number, case.mac) = (None, None)), issued("InitialSync"));
    assert_eq!(with(&|case| case.digest = "other"), issued("ResourceUpdated"));
    assert_eq!(with(&|case| case.generation = 4), kept(SERIAL), "nothing that the certificate depends on");
    assert_eq!(with(&|case| case.mac = None), issued("InexistentDestination"));
    assert_eq!(with(&|case| case.mac = Some("edited")), issued("SecretDataDrift"));
    assert_eq!(with(&|case| case.now = NOW + 19 * DAY), issued("InRenewalWindow"));
    assert_eq!(with(&|case| case.now = NOW + 17 * DAY), kept(SERIAL));
    assert_eq!(with(&|case| case.now = NOW + 900 * DAY), issued("InRenewalWindow"), "a window that was missed");
    assert_eq!(with(&|case| case.issuer = Some("other")), issued("IssuerChanged"));
    assert_eq!(with(&|case| case.issuer = None), kept(SERIAL));
    // Several at a time: VSO's order.
    assert_eq!(with(&|case| (case.digest, case.mac) = ("other", None)), issued("ResourceUpdated"));
    assert_eq!(with(&|case| (case.mac, case.now) = (None, NOW + 900 * DAY)), issued("InexistentDestination"));
    assert_eq!(with(&|case| (case.issuer, case.now) = (Some("o"), NOW + 900 * DAY)), issued("InRenewalWindow"));
}

#[test]
fn what_vso_has_issued_is_kept() {
    let mut case = case();
    case.status.issue = None;
    let Decision::Keep { certificate, unfinished: false } = decided(&case) else { panic!("it is issued anew") };
    let expected = PKIIssue { clock_difference: 0, ..issue("mac") };
    assert_eq!(certificate.issue, expected, "from now on, changes of spec and issuer are seen");
    case.generation = 4;
    assert_eq!(outcome(&case).0, "ResourceUpdated", "VSO has not said what it was issued for");
    case.generation = 3;
    case.mac = Some("edited");
    assert_eq!(outcome(&case).0, "SecretDataDrift");
}

#[test]
fn a_run_that_was_cut_off_is_taken_up_where_it_was() {
    let mut case = case();
    case.status.pending = Some(pending());
    // Before the write.
    assert_eq!(outcome(&case), (SERIAL.to_owned(), false));
    assert_eq!(serials(&case.status, SERIAL, &[]), ["0c:0d"], "it never got into the Secret");
    // After it.
    case.mac = Some("new mac");
    assert_eq!(outcome(&case), ("0c:0d".to_owned(), true));
    assert_eq!(serials(&case.status, "0c:0d", &[]), [SERIAL]);
    // After the first certificate of all.
    case.status = VaultPKISecretStatus { pending: Some(pending()), ..VaultPKISecretStatus::default() };
    assert_eq!(outcome(&case), ("0c:0d".to_owned(), true));
    case.mac = None;
    assert_eq!(outcome(&case).0, "InitialSync");
}

#[test]
fn times_are_those_of_the_certificate() {
    use crate::pki::Certificate;
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    parameters.serial_number = Some(vec![10, 11].into());
    // 2026-01-01 to 2026-03-02.
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2026, 3, 2);
    let made = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let pem = Certificate::from_der(made.der()).unwrap().pem();
    let data = BTreeMap::from([("by-a-template".to_owned(), pem.into_bytes())]);
    let mut status = synced();
    // An old status, or one that was edited.
    (status.expiration, status.last_rotation) = (Some(NOW + 9000 * DAY), 0);
    let decided = |now, data, before_key, mac| {
        decide(&Known {
            status: &status,
            generation: 3,
            request: &request("request"),
            held: Some(Held { mac, data, before_key }),
            found_before: None,
            issuer: None,
            now,
        })
    };
    let (begin, end) = (1_767_225_600, 1_772_409_600);
    let due = |now| decided(now, Some(&data), false, "mac") == Decision::Issue(IssueReason::InRenewalWindow);
    assert!(!due(begin) && !due(end - 5 * DAY) && due(end - DAY) && due(end));
    let Decision::Keep { certificate, .. } = decided(begin, Some(&data), false, "mac") else { panic!("issued") };
    assert_eq!(certificate.lifetime, Lifetime { not_before: begin, not_after: end });

    // Another key of the MACs: what has not been touched since is known by the certificate.
    let Decision::Keep { certificate, .. } = decided(begin, Some(&data), true, "by a new key") else {
        panic!("issued")
    };
    assert_eq!(certificate.issue.secret_mac.as_deref(), Some("by a new key"));
    let drift = Decision::Issue(IssueReason::SecretDataDrift);
    assert_eq!(decided(begin, Some(&data), false, "by a new key"), drift);
    assert_eq!(decided(begin, Some(&BTreeMap::new()), true, "by a new key"), drift);
}

#[test]
fn a_status_without_an_end_is_no_certificate_to_keep() {
    let mut case = case();
    case.status.expiration = None;
    assert_eq!(outcome(&case).0, "InRenewalWindow");
}

fn serials(status: &VaultPKISecretStatus, current: &str, orphans: &[PKIReplacedCertificate]) -> Vec<String> {
    superseded(status, current, orphans).into_iter().map(|certificate| certificate.serial_number).collect()
}

#[test]
fn what_is_superseded_is_revoked_once() {
    let status = VaultPKISecretStatus {
        replaced_certificates: ["1", "2", "1"].map(|serial| replaced(serial, &PKIIssue::default())).to_vec(),
        pending: Some(PKIPendingCertificate { serial_number: "3".into(), ..pending() }),
        ..synced()
    };
    let orphans = ["4", "2", ""].map(|serial| replaced(serial, &PKIIssue::default()));
    assert_eq!(serials(&status, "5", &orphans), ["1", "2", SERIAL, "3", "4"]);
    assert_eq!(serials(&status, SERIAL, &[]), ["1", "2", "3"]);
    assert_eq!(serials(&VaultPKISecretStatus::default(), SERIAL, &[]), Vec::<String>::new());
    let many = (0..100).map(|n| replaced(&n.to_string(), &PKIIssue::default())).collect();
    let left = serials(&VaultPKISecretStatus { replaced_certificates: many, ..synced() }, SERIAL, &[]);
    assert_eq!((left.len(), left.last().map(String::as_str)), (MAX_REPLACED, Some("99")));
}

/// The status is input like any other.
#[test]
fn any_status_is_decided_on() {
    for status in [
        json!({ "serialNumber": "", "expiration": i64::MAX, "lastRotation": i64::MIN }),
        json!({ "serialNumber": "x", "expiration": i64::MIN, "lastRotation": i64::MAX,
                "issue": { "clockDifference": i64::MIN, "secretMAC": "mac" } }),
        json!({ "pending": { "serialNumber": "y", "expiration": i64::MAX, "lastRotation": i64::MIN,
                "issue": { "clockDifference": i64::MAX, "secretMAC": "mac" } } }),
    ] {
        let object = json!({ "metadata": {}, "spec": {}, "status": status });
        let object: VaultPKISecret = serde_json::from_value(object).unwrap();
        for now in [i64::MIN, 0, NOW, i64::MAX] {
            outcome(&Case { status: object.status.clone().unwrap(), now, ..case() });
        }
    }
}
