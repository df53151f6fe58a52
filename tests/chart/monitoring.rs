//! The alerts and the dashboard: they parse, they fire when they should, and they name metrics that exist.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use test_support::chart::{Result, documents, object, path, template};

/// Runs promtool; `None` where there is none. Debian's package `prometheus` has it.
fn promtool(arguments: &[&str]) -> Result<Option<String>> {
    let output = match Command::new("promtool").args(arguments).current_dir(path(".")).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no promtool on this machine");
            return Ok(None);
        }
        output => output?,
    };
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(Some(text)) } else { Err(text.into()) }
}

fn alerts() -> Result<Vec<Value>> {
    let rendered = template(&["--set=telemetry.alerts.enabled=true", "--show-only=templates/prometheus-rule.yaml"])?;
    let rendered = documents(&rendered)?;
    let groups = object(&rendered, "PrometheusRule", "-alerts")?["spec"]["groups"].as_array().cloned();
    Ok(groups.into_iter().flatten().filter_map(|g| g["rules"].as_array().cloned()).flatten().collect())
}

fn dashboard() -> Result<Value> {
    let values = ["--set=telemetry.dashboard.enabled=true", "--show-only=templates/grafana-dashboard.yaml"];
    let rendered = documents(&template(&values)?)?;
    let text = &object(&rendered, "ConfigMap", "-dashboard")?["data"]["vault-secrets-operator.json"];
    Ok(serde_json::from_str(text.as_str().ok_or("no dashboard")?)?)
}

/// The queries of all panels, with Grafana's variables filled in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let fill = |text: &str| text.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$job", ".*");
    targets.filter_map(|target| target["expr"].as_str()).map(fill).collect()
}

#[test]
fn alerts_fire_when_they_should_and_only_then() -> Result {
    promtool(&["test", "rules", "tests/chart/alerts_test.yaml"])?;
    let tests = fs::read_to_string(path("tests/chart/alerts_test.yaml"))?;
    for alert in alerts()? {
        let name = alert["alert"].as_str().ok_or("a rule that is no alert")?;
        let fires = format!("alertname: {name}\n        exp_alerts:");
        assert!(tests.contains(&fires), "no test in which {name} fires");
        assert!(tests.contains(&format!("alertname: {name} }}")), "no test in which {name} is quiet");
    }
    Ok(())
}

#[test]
fn every_alert_has_a_runbook() -> Result {
    let page = fs::read_to_string(path("docs/troubleshooting.md"))?;
    let alerts = alerts()?;
    assert!(!alerts.is_empty());
    for alert in alerts {
        let name = alert["alert"].as_str().ok_or("a rule that is no alert")?;
        assert!(page.contains(&format!("\n### {name}\n")), "docs/troubleshooting.md has no heading {name}");
        assert_eq!(
            alert["annotations"]["runbook"],
            format!("docs/troubleshooting.md#{}", name.to_lowercase()),
            "the anchor of the heading {name}"
        );
    }
    Ok(())
}

#[test]
fn the_queries_of_the_dashboard_parse() -> Result {
    let queries = queries(&dashboard()?);
    assert!(queries.len() > 10, "only {} queries", queries.len());
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (i, query) in queries.iter().enumerate() {
        writeln!(rules, "      - {{ record: q{i}, expr: {} }}", serde_json::to_string(query)?)?;
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-rules.yaml");
    fs::write(&file, rules)?;
    promtool(&["check", "rules", &file.to_string_lossy()])?;
    Ok(())
}

/// `docs/metrics.md` lists the metrics; another test compares it with a scrape.
#[test]
fn alerts_and_dashboard_name_metrics_that_exist() -> Result {
    let page = fs::read_to_string(path("docs/metrics.md"))?;
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: BTreeSet<&str> = rows.collect();
    assert!(listed.contains("vso_build_info"), "{listed:?}");
    let dashboard = dashboard()?;
    let variables = dashboard["templating"]["list"].as_array().into_iter().flatten();
    let mut texts = queries(&dashboard);
    texts.extend(variables.filter_map(|v| v["definition"].as_str().map(str::to_owned)));
    texts.extend(alerts()?.iter().filter_map(|a| a["expr"].as_str().map(str::to_owned)));
    for text in texts {
        let names = metric_names(&text);
        assert!(!names.is_empty(), "no metric in {text}");
        for name in names {
            let plain = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(listed.contains(plain), "{name} is not a metric: {text}");
        }
    }
    Ok(())
}

#[test]
fn what_alerts_watch_is_on_the_dashboard() -> Result {
    let queries = queries(&dashboard()?).join("\n");
    let shown = metric_names(&queries);
    for alert in alerts()? {
        for name in metric_names(alert["expr"].as_str().unwrap_or_default()) {
            assert!(shown.contains(name), "{} watches {name}, and the dashboard does not show it", alert["alert"]);
        }
    }
    Ok(())
}

/// The words that are names of metrics, for their prefix.
fn metric_names(text: &str) -> BTreeSet<&str> {
    const PREFIXES: [&str; 6] = ["vso_", "controller_r", "workqueue_", "rest_client_", "leader_election_", "process_"];
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix))).collect()
}
