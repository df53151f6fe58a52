//! Names that the chart does not know: they are installed, as VSO's chart does it, and a line in the notes names each.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use testenv::{Cluster, Options};

use test_support::chart::{CHART, Result, path, template};

/// Helm lets a template read neither `values.yaml` nor the schema: it compares the values with this list.
const KNOWN: &str = "files/known-values.txt";

/// What `helm install` prints with these values.
fn notes(cluster: &Cluster, values: &[&str]) -> Result<String> {
    let chart = path(CHART);
    let values: Vec<String> = values.iter().map(|value| format!("--set-json={value}")).collect();
    let install = ["install", "vso", &chart.to_string_lossy(), "--namespace=default", "--dry-run=client"];
    let arguments: Vec<&str> = install.into_iter().chain(values.iter().map(String::as_str)).collect();
    Ok(cluster.helm(&arguments)?)
}

#[test]
fn a_name_that_the_chart_does_not_know_is_noted() -> Result {
    let cluster = Cluster::start(Options::default())?;
    unknown_names_are_noted(&cluster)?;
    values_without_effect_are_noted(&cluster)?;
    names_below_free_maps_and_of_anchors_are_not(&cluster)
}

fn unknown_names_are_noted(cluster: &Cluster) -> Result {
    for (value, name) in [
        ("controller.replicsa=2", "controller.replicsa"),
        ("controller.manager.logging.levle=\"debug\"", "controller.manager.logging.levle"),
        ("controller.manager.image.digest=\"sha256:0\"", "controller.manager.image.digest"),
        ("defaultAuthMethod.kubernetes.audiences=[\"a\"]", "defaultAuthMethod.kubernetes.audiences"),
        ("defaultAuthMethod.vaultAuthGlobalRef.mergeStrategy.all={\"a\":1}", "vaultAuthGlobalRef.mergeStrategy.all"),
        ("csi.driver.debug=true", "csi.driver.debug"),
        ("hooks.upgradeCRDs.force=true", "hooks.upgradeCRDs.force"),
        ("hoks={\"upgradeCRDs\":{}}", "hoks"),
    ] {
        let notes = notes(cluster, &[value]).map_err(|e| format!("{value}: {e}"))?;
        assert!(notes.contains(&format!("{name}: not a value of this chart\n")), "{value}:\n{notes}");
        assert_eq!(notes.matches("not a value of this chart").count(), 1, "{value}:\n{notes}");
    }
    Ok(())
}

fn values_without_effect_are_noted(cluster: &Cluster) -> Result {
    let logging = "controller.manager.logging";
    let said = |values: &[&str]| notes(cluster, values).map(|notes| notes.matches(&format!("- {logging}.")).count());
    assert_eq!(said(&[])?, 0);
    assert_eq!(said(&[&format!("{logging}.timeEncoding=\"rfc3339nano\"")])?, 0);
    assert_eq!(said(&[&format!("{logging}={{\"timeEncoding\":\"epoch\",\"stacktraceLevel\":\"error\"}}")])?, 2);
    Ok(())
}

fn names_below_free_maps_and_of_anchors_are_not(cluster: &Cluster) -> Result {
    let values = [
        "controller.nodeSelector={\"disk\":\"ssd\"}",
        "controller.manager.resources={\"limits\":{\"cpu\":1}}",
        "controller.kubeRbacProxy={\"image\":{\"tag\":\"v1\"}}",
        "controller.manager.volumes=[{\"name\":\"a\",\"emptyDir\":{},\"mountPath\":\"/a\"}]",
        "defaultAuthMethod.params={\"a\":\"b\"}",
        "telemetry.dashboard.labels={\"team\":\"a\"}",
        "global={\"registry\":\"a\"}",
        "x-anchors={\"a\":1}",
    ];
    let notes = notes(cluster, &values)?;
    assert!(!notes.contains("not a value of this chart"), "{notes}");
    Ok(())
}

#[test]
fn a_name_that_the_chart_does_not_know_gets_into_no_object() -> Result {
    let objects = template(&[
        "--set-json=defaultAuthMethod.enabled=true",
        "--set-json=defaultAuthMethod.kubernetes={\"role\":\"r\",\"audiences\":[\"marked\"]}",
        "--set-json=defaultAuthMethod.vaultAuthGlobalRef={\"enabled\":true,\"mergeStrategy\":{\"marked\":\"union\"}}",
    ])?;
    assert!(objects.contains("vaultAuthGlobalRef:") && !objects.contains("marked"), "{objects}");
    Ok(())
}

#[test]
fn the_list_of_known_names_is_that_of_the_schema() -> Result {
    let schema: Value = serde_json::from_str(&fs::read_to_string(path(CHART).join("values.schema.json"))?)?;
    let mut expected = BTreeSet::new();
    names(&schema, &schema, "", &mut expected);
    let file = fs::read_to_string(path(CHART).join(KNOWN))?;
    let listed: BTreeSet<String> = file.lines().map(str::to_owned).collect();
    let differ: Vec<_> = expected.symmetric_difference(&listed).collect();
    assert!(differ.is_empty(), "{KNOWN} and values.schema.json differ in {differ:?}");
    Ok(())
}

/// The names below a map whose names are fixed.
fn names(schema: &Value, map: &Value, above: &str, all: &mut BTreeSet<String>) {
    for (name, member) in map["properties"].as_object().into_iter().flatten() {
        let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let reference = member["$ref"].as_str().and_then(|r| r.strip_prefix("#/definitions/"));
        names(schema, reference.map_or(member, |r| &schema["definitions"][r]), &name, all);
        all.insert(name);
    }
}
