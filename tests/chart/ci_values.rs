//! Every file in the chart's `ci/` is a values file that must work: helm takes it, and a real API server what it
//! becomes.

use std::fmt::Write as _;

use testenv::{Cluster, Options, Tool};

use test_support::chart::{CHART, NAMESPACE, Result, documents, run, values_files};

/// Kinds of the Prometheus operator. The API server only has to know that they exist: their schemas are not ours.
const PROMETHEUS: [(&str, &str); 2] = [("ServiceMonitor", "servicemonitors"), ("PrometheusRule", "prometheusrules")];

#[test]
fn every_values_file_passes_helm_lint() -> Result {
    let files = values_files()?;
    assert!(files.len() >= 30, "only {} files", files.len());
    for (name, file) in &files {
        run(Tool::Helm, ["lint", "--strict", CHART, &format!("--values={file}")])
            .map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// Server-side dry run with strict validation: unknown fields, wrong types, invalid names and duplicate entries are
/// errors. Each file is a release of its own name, so that an error tells the file.
#[test]
fn an_api_server_takes_what_every_values_file_becomes() -> Result {
    let cluster = Cluster::start(Options::default())?;
    for namespace in [NAMESPACE, "team-a", "team-b"] {
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    let mut stream = run(Tool::Helm, ["show", "crds", CHART])?;
    for (kind, plural) in PROMETHEUS {
        stream += &definition(kind, plural);
    }
    cluster.kubectl_apply(&stream)?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;

    let mut all = String::new();
    let mut accounts = String::new();
    for (name, file) in values_files()? {
        let namespace = format!("--namespace={NAMESPACE}");
        let rendered = run(Tool::Helm, ["template", &name, CHART, &namespace, &format!("--values={file}")])
            .map_err(|e| format!("{name}: {e}"))?;
        let has_null = rendered.lines().any(|line| line.ends_with(": null"));
        assert!(!has_null, "{name} renders a null");
        writeln!(all, "---\n{rendered}")?;
        for account in documents(&rendered)?.iter().filter(|d| d["kind"] == "ServiceAccount") {
            writeln!(accounts, "---\n{account}")?;
        }
    }
    // A pod is refused if its ServiceAccount is not there.
    cluster.kubectl_apply(&accounts)?;
    let file = cluster.dir().join("rendered.yaml");
    std::fs::write(&file, &all)?;
    let file = file.to_string_lossy().into_owned();
    cluster.kubectl(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o=name", "-f", &file])?;
    Ok(())
}

fn definition(kind: &str, plural: &str) -> String {
    format!(
        "---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {plural}.monitoring.coreos.com
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {{ kind: {kind}, plural: {plural} }}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {{ type: object, x-kubernetes-preserve-unknown-fields: true }}
"
    )
}
