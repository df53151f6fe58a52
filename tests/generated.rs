//! Generated files in the repository are what the generators make today.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use vso::api::crd;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Content by file name of the definitions in `dir`.
fn stored(dir: &Path, prefix: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(prefix) {
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    files
}

#[test]
fn crds_are_current() {
    are_current("secrets.hashicorp.com_", &crd::all(), ["crds", "charts/vault-secrets-operator/crds"], "");
    let dirs = ["crds/external-secrets", "charts/vault-secrets-operator/files/external-secrets"];
    are_current("", &crd::external_secrets(), dirs, "--external-secrets ");
}

/// The chart has its own copies, since helm takes definitions from nowhere else.
fn are_current(prefix: &str, definitions: &[CustomResourceDefinition], dirs: [&str; 2], option: &str) {
    let made: BTreeMap<_, _> = definitions.iter().map(|crd| (crd::file_name(crd), crd::yaml(crd).unwrap())).collect();
    for dir in dirs {
        let stored = stored(&root().join(dir), prefix);
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        let regenerate = format!("regenerate with: cargo run -- crds {option}--dir {dir}");
        assert_eq!(names(&stored), names(&made), "files in {dir}; {regenerate}");
        for (name, content) in &made {
            if &stored[name] != content {
                let line = stored[name].lines().zip(content.lines()).position(|(a, b)| a != b);
                panic!("{dir}/{name} is not current, from line {:?}; {regenerate}", line.map(|n| n + 1));
            }
        }
    }
}
