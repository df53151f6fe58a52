//! The chart and the kustomize base render, and agree with the rest of the repository.

mod ci_values;
mod csi;
mod every_value_has_effect;
mod external_secrets;
mod migration;
mod migration_eso;
mod monitoring;
mod refused;
mod rendered_contract;
mod unknown;

use std::fs;

use testenv::Tool;

use test_support::chart::{CHART, Result, files, path, run, tail, template};

/// Whether both directories have equal definitions, and some.
fn are_copies(original: &str, dir: &str) -> Result {
    let (generated, copies) = (files(original)?, files(dir)?);
    assert!(!generated.is_empty(), "{original} is empty");
    assert!(copies.keys().eq(generated.keys()), "{dir} has other files: make generate");
    for (name, text) in &generated {
        assert!(copies.get(name) == Some(text), "{dir}/{name} is not current: make generate");
    }
    Ok(())
}

/// Helm and kustomize read nothing outside their own directories, so both have a copy of the generated CRDs.
#[test]
fn the_copies_of_the_crds_are_current() -> Result {
    for dir in [&format!("{CHART}/crds"), "config/crd/bases"] {
        are_copies("crds", dir)?;
    }
    are_copies("crds/external-secrets", &format!("{CHART}/files/external-secrets"))
}

#[test]
fn the_kustomize_base_lists_every_crd() -> Result {
    let list = fs::read_to_string(path("config/crd/kustomization.yaml"))?;
    for name in files("crds")?.keys() {
        assert!(list.contains(&format!("  - bases/{name}\n")), "{name} is missing in config/crd/kustomization.yaml");
    }
    Ok(())
}

#[test]
fn versions_are_those_of_the_package() -> Result {
    let version = env!("CARGO_PKG_VERSION");
    for (file, line) in [
        ("charts/vault-secrets-operator/Chart.yaml", format!("\nversion: {version}\n")),
        ("charts/vault-secrets-operator/Chart.yaml", format!("\nappVersion: \"{version}\"\n")),
        ("config/manager/manager.yaml", format!("image: localhost/vault-secrets-operator:{version}\n")),
    ] {
        assert!(fs::read_to_string(path(file))?.contains(&line), "{file} lacks {line:?}");
    }
    Ok(())
}

#[test]
fn the_kustomize_base_renders_with_the_rights_of_the_chart() -> Result {
    let rendered = run(Tool::Kubectl, ["kustomize", "config/default"])?;
    assert!(!rendered.contains("namespace: system\n"), "a namespace was not replaced");
    for (ours, theirs) in [
        ("role.yaml", "role.yaml"),
        ("leader_election_role.yaml", "leader-election-rbac.yaml"),
        ("proxy_role.yaml", "proxy-rbac.yaml"),
        ("metrics_reader_role.yaml", "metrics-reader-rbac.yaml"),
    ] {
        let base = fs::read_to_string(path("config/rbac").join(ours))?;
        let chart = template(&[&format!("--show-only=templates/{theirs}")])?;
        let rules = tail(&base, "\nrules:");
        assert!(!rules.is_empty());
        assert!(tail(&chart, "\nrules:").starts_with(rules), "config/rbac/{ours} differs from templates/{theirs}");
    }
    Ok(())
}
