//! The chart on a real node, with an image of the operator that is under test.

use std::path::Path;

use testenv::{Cluster, image};

use crate::environment::repository;

/// Version of the operator.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Installs the chart with an image of this binary.
#[track_caller]
pub fn install(cluster: &Cluster, binary: &Path, namespace: &str) {
    let archive = cluster.dir().join("operator.tar");
    let tag = format!("localhost/vault-secrets-operator:{VERSION}");
    image::operator(binary, &tag, &archive).expect("an image");
    cluster.import_image(&archive).expect("it is imported");
    upgrade(cluster, namespace, &[]);
}

/// Installs the chart with these values, or gives its release these instead of those before.
#[track_caller]
pub fn upgrade(cluster: &Cluster, namespace: &str, values: &[&str]) {
    let chart = repository().join("charts/vault-secrets-operator");
    let chart = chart.to_str().expect("UTF-8");
    let image = format!(
        "controller.manager.image.repository=localhost/vault-secrets-operator,controller.manager.image.tag={VERSION}"
    );
    let mut arguments = vec!["upgrade", "--install", namespace, chart, "--namespace", namespace, "--create-namespace"];
    arguments.extend(["--wait", "--timeout=3m", "--set", &image]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    cluster.helm(&arguments).expect("the chart is installed");
}
