//! The chart and the kustomize base agree with the rest of the repository.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

type Outcome = Result<(), Box<dyn Error>>;

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn files(dir: &str) -> io::Result<BTreeMap<String, String>> {
    fs::read_dir(path(dir))?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, fs::read_to_string(entry.path())?))
        })
        .collect()
}

/// Helm and kustomize read nothing outside their own directories, so both have a copy of the generated CRDs.
#[test]
fn the_copies_of_the_crds_are_current() -> Outcome {
    let generated = files("crds")?;
    assert!(!generated.is_empty(), "crds/ is empty");
    for dir in ["charts/vault-secrets-operator/crds", "config/crd/bases"] {
        let copies = files(dir)?;
        assert_eq!(copies.keys().collect::<Vec<_>>(), generated.keys().collect::<Vec<_>>(), "files in {dir}");
        for (name, text) in &generated {
            assert!(copies.get(name) == Some(text), "{dir}/{name} is not current: cp crds/*.yaml {dir}/");
        }
    }
    Ok(())
}

#[test]
fn the_kustomize_base_lists_every_crd() -> Outcome {
    let list = fs::read_to_string(path("config/crd/kustomization.yaml"))?;
    for name in files("crds")?.keys() {
        assert!(list.contains(&format!("  - bases/{name}\n")), "{name} is missing in config/crd/kustomization.yaml");
    }
    Ok(())
}

#[test]
fn versions_are_those_of_the_package() -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let chart = fs::read_to_string(path("charts/vault-secrets-operator/Chart.yaml"))?;
    assert!(chart.contains(&format!("\nversion: {version}\n")), "version in Chart.yaml");
    assert!(chart.contains(&format!("\nappVersion: \"{version}\"\n")), "appVersion in Chart.yaml");
    let manager = fs::read_to_string(path("config/manager/manager.yaml"))?;
    assert!(manager.contains(&format!("image: localhost/vault-secrets-operator:{version}\n")), "image in config/manager");
    Ok(())
}
