//! A TLS server on a real node that serves the certificate of a VaultPKISecret from a volume: the operator itself, with
//! its metrics. A client that trusts the root alone speaks to it all the time, through two replacements: no handshake
//! fails, and no pod is restarted. Without root there is no node, and the test says that it is skipped.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_support::engines::pki::PkiEngine;
use test_support::engines::read_and_write;
use test_support::{eventually, install, upgrade};
use testenv::{Cluster, Options, node};
use vso::pki::Certificate;

/// Namespace of the operator, and of the objects.
const OPERATOR: &str = "vso";
/// Name of the objects and of the Secret.
const NAME: &str = "metrics";
/// The name in the certificate.
const HOST: &str = "metrics.example.com";
/// How long a certificate is valid, and how long before its end it is replaced. The kubelet needs up to a minute and a
/// half to bring the next one into the volume.
const TTL: &str = "300s";
const OFFSET: &str = "240s";
/// Certificates that the client has to see.
const CERTIFICATES: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(900);

#[test]
fn no_handshake_fails_while_the_certificate_of_a_server_is_replaced() {
    if let Some(skip) = node::unavailable() {
        eprintln!("skipped: {skip}");
        return;
    }
    let cluster = Cluster::start(Options { node: true, ..Options::default() }).expect("the environment comes up");
    install(&cluster, Path::new(env!("CARGO_BIN_EXE_vault-secrets-operator")), OPERATOR);
    let engine = PkiEngine::on(&cluster, "pki");
    let root = cluster.dir().join("root.pem");
    std::fs::write(&root, engine.root("authority", "1000h")).expect("a file");
    objects(&cluster).iter().for_each(|object| drop(cluster.kubectl_apply(&object.to_string()).expect("accepted")));
    eventually("the first certificate", || {
        let read = ["get", "secret", NAME, "--namespace", OPERATOR, "--output=jsonpath={.data.tls\\.crt}"];
        match cluster.kubectl(&read) {
            Ok(text) if !text.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    upgrade(&cluster, OPERATOR, &["controller.manager.metrics.certificateSecret=metrics"]);
    let (pod, address) = pod(&cluster);

    let started = Instant::now();
    let mut serials: Vec<String> = vec![];
    let mut handshakes = 0;
    while serials.len() < CERTIFICATES {
        assert!(started.elapsed() < TIMEOUT, "{serials:?}");
        let certificate = handshake(&cluster, &address, &root);
        handshakes += 1;
        if serials.last() != Some(&certificate.serial) {
            assert!(!serials.contains(&certificate.serial), "one that was replaced came back");
            serials.push(certificate.serial);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let seconds = started.elapsed().as_secs();
    eprintln!("{handshakes} handshakes in {seconds} s, no failure; {} certificates", serials.len());
    assert_eq!(self::pod(&cluster), (pod, address), "no pod was restarted for it");
    let issued = engine.serials();
    assert!(serials.iter().all(|serial| issued.contains(serial)), "{serials:?} of {issued:?}");
}

/// One certificate, and the role in Vault that it is issued for.
fn objects(cluster: &Cluster) -> Vec<Value> {
    cluster.vault_policy(NAME, &read_and_write("pki")).expect("a policy");
    cluster.vault_kubernetes_role(NAME, &[NAME], &[OPERATOR], &[NAME], "1h").expect("a role");
    let own = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind,
            "metadata": { "name": NAME, "namespace": OPERATOR }, "spec": spec,
        })
    };
    let login = json!({ "role": NAME, "serviceAccount": NAME, "audiences": ["vault"] });
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": NAME, "namespace": OPERATOR } }),
        own("VaultConnection", json!({ "address": cluster.vault_addr() })),
        own(
            "VaultAuth",
            json!({ "vaultConnectionRef": NAME, "method": "kubernetes", "mount": "kubernetes", "kubernetes": login }),
        ),
        own(
            "VaultPKISecret",
            json!({
                "vaultAuthRef": NAME, "mount": "pki", "role": "app", "commonName": HOST,
                "ttl": TTL, "expiryOffset": OFFSET,
                "destination": { "name": NAME, "create": true, "type": "kubernetes.io/tls" },
            }),
        ),
    ]
}

/// Identity and address of the one pod of the operator.
#[track_caller]
fn pod(cluster: &Cluster) -> (String, String) {
    eventually("one pod that serves", || {
        let read = [
            "get",
            "pods",
            "--namespace",
            OPERATOR,
            "--selector=control-plane=controller-manager",
            "--output=jsonpath={range .items[*]}{.metadata.uid}/{.status.containerStatuses[0].restartCount} {.status.podIP} {end}",
        ];
        let text = cluster.kubectl(&read).map_err(|error| error.to_string())?;
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [identity, address] => Ok((identity.to_owned(), format!("{address}:8443"))),
            _ => Err(text),
        }
    })
}

/// Speaks TLS as a client that trusts the root alone, and gives the certificate of the server.
#[track_caller]
fn handshake(cluster: &Cluster, address: &str, root: &Path) -> Certificate {
    let output = cluster
        .command("openssl")
        .args(["s_client", "-connect", address, "-servername", HOST, "-verify_hostname", HOST, "-CAfile"])
        .arg(root)
        .args(["-no-CApath", "-no-CAstore", "-verify_return_error"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("Verify return code: 0 (ok)"), "{text}\n{said}");
    let begin = text.find("-----BEGIN CERTIFICATE-----").expect("a certificate");
    Certificate::all_from_text(&text[begin..]).expect("a certificate").remove(0)
}
