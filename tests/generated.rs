//! Generated files in the repository are what the generators make today.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vso::api::crd;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Content by file name of the definitions in `dir`.
fn stored(dir: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("secrets.hashicorp.com_") {
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    files
}

#[test]
fn crds_are_current() {
    let made: BTreeMap<_, _> = crd::all().iter().map(|crd| (crd::file_name(crd), crd::yaml(crd).unwrap())).collect();
    // The chart has its own copies, since helm takes definitions from nowhere else.
    for dir in ["crds", "charts/vault-secrets-operator/crds"] {
        let path = root().join(dir);
        if dir != "crds" && !path.exists() {
            continue;
        }
        let stored = stored(&path);
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        let regenerate = format!("regenerate with: cargo run -- crds --dir {dir}");
        assert_eq!(names(&stored), names(&made), "files in {dir}; {regenerate}");
        for (name, content) in &made {
            if &stored[name] != content {
                let line = stored[name].lines().zip(content.lines()).position(|(a, b)| a != b);
                panic!("{dir}/{name} is not current, from line {:?}; {regenerate}", line.map(|n| n + 1));
            }
        }
    }
}
