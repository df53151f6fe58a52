//! The samples of config/samples/pki, each applied as it stands there but for the mount in Vault.

use std::fs;
use std::path::{Path, PathBuf};

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use serde_json::json;

use super::fixture::PkiFixture;
use test_support::{NO_ELECTION, Tenant};
use vso::pki::Certificate;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/pki")
}

fn apply(pki: &PkiFixture<'_>, file: &str) {
    let text = fs::read_to_string(samples().join(file)).expect("the sample");
    assert!(text.contains("  mount: pki\n"), "{file} has another mount");
    let text = text.replace("  mount: pki\n", &format!("  mount: {}\n", pki.engine.mount));
    let here = pki.tenant.cluster.dir().join(format!("{}-{file}", pki.tenant.namespace));
    fs::write(&here, text).expect("a file");
    pki.tenant.kubectl(&["apply", "--filename", here.to_str().expect("UTF-8")]).expect("the sample is accepted");
}

#[test]
fn every_sample_works() {
    let tenant = Tenant::new("pki-samples");
    let pki = PkiFixture::new(&tenant);
    pki.engine.intermediate("internal", "root", "8760h");
    pki.engine.role("web", json!({ "not_before_duration": "30s" }));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    let files = ["tls.yaml", "issuer.yaml", "keystores.yaml", "bundle.yaml"];
    let mut there: Vec<_> =
        fs::read_dir(samples()).expect("the samples").map(|e| e.expect("a file").file_name()).collect();
    there.sort();
    let mut tested = files.to_vec();
    tested.sort_unstable();
    assert_eq!(there, tested, "each sample has a test");
    files.iter().for_each(|file| apply(&pki, file));
    for name in ["web", "internal", "java"] {
        pki.wait_synced(name);
    }
    assert_eq!(tenant.get("secret", "web").expect("it")["type"], "kubernetes.io/tls");
    let store = KeyStore::from_pkcs12(&pki.bytes("java", "keystore.p12"), "change-me", Pkcs12ImportPolicy::Strict);
    assert_eq!(store.expect("a keystore").private_key_chain().map(|(alias, _)| alias.to_owned()), Some("app".into()));
    tenant.wait_condition("vaultpkisecret", "haproxy", "SecretSynced", "True", "");
    let bundle = tenant.value("haproxy", "site.pem").expect("a bundle");
    assert_eq!(Certificate::all_from_text(&bundle).expect("certificates").len(), 2, "{bundle}");
    assert!(bundle.trim_end().ends_with("PRIVATE KEY-----"));
}
