//! The chart and the kustomize base render, and agree with the rest of the repository.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use testenv::{Tool, Tools};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const CHART: &str = "charts/vault-secrets-operator";

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

/// The output of a program that must succeed without a cluster.
fn run(tool: Tool, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<String> {
    let output = Command::new(Tools::default().path(tool)?)
        .args(arguments)
        .current_dir(path("."))
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("KUBECONFIG", "/dev/null")
        .output()?;
    if !output.status.success() {
        let (out, err) = (&output.stdout, &output.stderr);
        return Err(format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn template(arguments: &[&str]) -> Result<String> {
    let always = ["template", "vso", CHART, "--namespace=vso-system"];
    run(Tool::Helm, always.iter().chain(arguments))
}

/// From `from` on.
fn tail<'a>(text: &'a str, from: &str) -> &'a str {
    text.find(from).map_or("", |at| &text[at..])
}

/// Helm and kustomize read nothing outside their own directories, so both have a copy of the generated CRDs.
#[test]
fn the_copies_of_the_crds_are_current() -> Result {
    let generated = files("crds")?;
    assert!(!generated.is_empty(), "crds/ is empty");
    for dir in [&format!("{CHART}/crds"), "config/crd/bases"] {
        let copies = files(dir)?;
        assert!(copies.keys().eq(generated.keys()), "{dir} has other files than crds/: cp crds/*.yaml {dir}/");
        for (name, text) in &generated {
            assert!(copies.get(name) == Some(text), "{dir}/{name} is not current: cp crds/*.yaml {dir}/");
        }
    }
    Ok(())
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

/// Every file in `ci/` is a values file that must work.
#[test]
fn every_values_file_passes_helm_lint_and_renders() -> Result {
    let values = files(&format!("{CHART}/ci"))?;
    assert!(!values.is_empty());
    for name in values.keys() {
        let values = format!("--values={CHART}/ci/{name}");
        run(Tool::Helm, ["lint", "--strict", CHART, &values]).map_err(|e| format!("{name}: {e}"))?;
        let rendered = template(&[&values]).map_err(|e| format!("{name}: {e}"))?;
        assert!(!rendered.contains(": null"), "{name} renders a null");
    }
    Ok(())
}

#[test]
fn values_that_cannot_work_are_refused_with_a_reason() -> Result {
    for (values, reason) in [
        ("controller.rbac.scope=all", "must be \"cluster\" or \"namespaces\""),
        ("controller.rbac.scope=namespaces", "controller.manager.watchNamespaces"),
        ("defaultVaultConnection.enabled=true", "defaultVaultConnection.address"),
        ("controller.replicas=2,controller.podDisruptionBudget.enabled=true", "maxUnavailable or minAvailable"),
    ] {
        let error = template(&["--set", values]).err().map(|e| e.to_string());
        assert!(error.as_ref().is_some_and(|e| e.contains(reason)), "{values}: {error:?}");
    }
    Ok(())
}

/// People patch the arguments by position.
#[test]
fn arguments_keep_their_order() -> Result {
    let rendered = template(&["--show-only=templates/deployment.yaml"])?;
    let arguments: Vec<&str> =
        tail(&rendered, "args:").lines().skip(1).map_while(|line| line.trim().strip_prefix("- ")).collect();
    let expected = [
        "--health-probe-bind-address=:8081",
        "--metrics-bind-address=:8080",
        "--leader-elect",
        "--global-vault-auth-options=allow-default-globals",
        "--backoff-initial-interval=5s",
        "--backoff-max-interval=60s",
        "--backoff-max-elapsed-time=0s",
        "--backoff-multiplier=1.50",
        "--backoff-randomization-factor=0.50",
        "--zap-log-level=info",
        "--zap-time-encoding=rfc3339",
        "--zap-stacktrace-level=panic",
    ];
    assert_eq!(arguments, expected);
    Ok(())
}

/// With `scope: namespaces` there is no right outside the watched namespaces and the operator's own.
#[test]
fn namespaced_scope_gives_no_right_on_the_cluster() -> Result {
    let rendered = template(&["--values=charts/vault-secrets-operator/ci/namespaces-values.yaml"])?;
    assert!(rendered.contains("--watch-namespaces=team-a,team-b\n"));
    assert!(!rendered.contains("kind: ClusterRole"), "a cluster-wide right");
    for namespace in ["team-a", "team-b", "vso-system"] {
        assert!(rendered.contains(&format!("namespace: {namespace}\n")), "nothing in {namespace}");
    }
    Ok(())
}

#[test]
fn the_kustomize_base_renders_with_the_rights_of_the_chart() -> Result {
    let rendered = run(Tool::Kubectl, ["kustomize", "config/default"])?;
    assert!(!rendered.contains("namespace: system\n"), "a namespace was not replaced");
    for (ours, theirs) in [("role.yaml", "role.yaml"), ("leader_election_role.yaml", "leader-election-rbac.yaml")] {
        let base = fs::read_to_string(path("config/rbac").join(ours))?;
        let chart = template(&[&format!("--show-only=templates/{theirs}")])?;
        let rules = tail(&base, "\nrules:");
        assert!(!rules.is_empty());
        assert!(tail(&chart, "\nrules:").starts_with(rules), "config/rbac/{ours} differs from templates/{theirs}");
    }
    Ok(())
}
