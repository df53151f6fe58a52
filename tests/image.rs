//! The operator's image: made twice from the same binary it is the same, and what is in it is what the chart expects.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Unpacked: manifest, configuration, and the files of its one layer.
struct Image {
    digest: String,
    config: Value,
    files: String,
}

fn make(dir: &Path) -> Image {
    let (archive, unpacked) = (dir.join("image.tar"), dir.join("oci"));
    std::fs::create_dir_all(&unpacked).expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/image");
    let binary = env!("CARGO_BIN_EXE_vault-secrets-operator");
    run(Command::new(script).args(["--binary", binary, "--tag", "localhost/test:1", "--output"]).arg(&archive));
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&unpacked));
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON") };
    let blob = |digest: &Value| unpacked.join("blobs").join(digest.as_str().expect("a digest").replace(':', "/"));
    let digest = &read(unpacked.join("index.json"))["manifests"][0]["digest"];
    let manifest = read(blob(digest));
    let layer = blob(&manifest["layers"][0]["digest"]);
    Image {
        digest: digest.to_string(),
        config: read(blob(&manifest["config"]["digest"])),
        files: run(Command::new("tar").arg("-tvzf").arg(layer)),
    }
}

#[test]
fn the_same_binary_gives_the_same_image() {
    if Command::new("buildah").arg("--version").output().is_err() {
        println!("skipped: no buildah (Debian package buildah)");
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-{}", std::process::id()));
    let [first, second] = ["1", "2"].map(|n| make(&dir.join(n)));
    std::fs::remove_dir_all(&dir).expect("removable");
    assert_eq!(first.digest, second.digest);

    let config = &first.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/vault-secrets-operator"]));
    let has = |what: &str| first.files.lines().any(|line| line.ends_with(what));
    // Where the hooks of VSO's chart look.
    assert!(has(" scripts/upgrade-crds -> /vault-secrets-operator"), "{}", first.files);
    for file in ["scripts/crds/secrets.hashicorp.com_vaultstaticsecrets.yaml", "etc/ssl/certs/ca-certificates.crt"] {
        assert!(has(&format!(" {file}")), "{file} in {}", first.files);
    }
    assert!(!has("/sh"), "there is no shell");
}
