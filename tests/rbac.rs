//! The rights that the chart gives, against those that are used: what the end-to-end tests left in the audit logs of
//! their API servers. Nothing was asked for without a rule, and no rule is there without use.
//!
//! Cargo runs this after `e2e`. It needs a run of all end-to-end tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use test_support::chart::{Result, documents, template};
use test_support::kept_audit_logs;
use testenv::Server;

/// Verb, group, resource with subresource.
type Right = (String, String, String);

/// What is needed, but shows in no audit log of these tests.
const UNSEEN: [(&str, &str, &str, &str); 2] = [
    // Repeated events are counted up at most every ten minutes.
    ("controller-manager", "patch", "", "events"),
    // A server-side apply that makes an object is authorized as create too, but logged as patch.
    ("upgrade-crds", "create", "apiextensions.k8s.io", "customresourcedefinitions"),
];

/// Values of the operators of the end-to-end tests: all that the operator can serve.
const SERVED: &str = "--set=externalSecrets.enabled=true,reloader.enabled=true,reloader.configMaps=true";
/// The group whose kinds are not served by default.
const EXTERNAL: &str = "external-secrets.io";

/// What the end of a name of a ServiceAccount may do with these values.
fn granted(values: &[&str]) -> Result<BTreeMap<String, BTreeSet<Right>>> {
    let rendered = documents(&template(values)?)?;
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut roles = BTreeMap::<(String, String), BTreeSet<Right>>::new();
    for role in rendered.iter().filter(|d| d["kind"] == "Role" || d["kind"] == "ClusterRole") {
        let rights = roles.entry((role["kind"].to_string(), role["metadata"]["name"].to_string())).or_default();
        for rule in role["rules"].as_array().into_iter().flatten() {
            for verb in list(&rule["verbs"]) {
                for group in list(&rule["apiGroups"]) {
                    rights.extend(list(&rule["resources"]).into_iter().map(|r| (verb.clone(), group.clone(), r)));
                }
            }
        }
    }
    let mut granted = BTreeMap::<String, BTreeSet<Right>>::new();
    for binding in rendered.iter().filter(|d| d["kind"] == "RoleBinding" || d["kind"] == "ClusterRoleBinding") {
        let role = &binding["roleRef"];
        let rights = &roles[&(role["kind"].to_string(), role["name"].to_string())];
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let name = subject["name"].as_str().unwrap_or_default();
            granted.entry(account(name).to_owned()).or_default().extend(rights.iter().cloned());
        }
    }
    Ok(granted)
}

/// The name of a ServiceAccount without that of the release.
fn account(name: &str) -> &str {
    name.split_once("vault-secrets-operator-").map_or(name, |(_, rest)| rest)
}

#[test]
fn what_is_not_switched_on_gives_no_right() -> Result {
    let (all, default) = (granted(&[SERVED])?, granted(&[])?);
    let external = |granted: &BTreeMap<String, BTreeSet<Right>>| {
        granted.values().flatten().filter(|(_, group, _)| group.ends_with(EXTERNAL)).count()
    };
    assert!(external(&all) > 0);
    assert_eq!(external(&default), 0);
    let workloads = |granted: &BTreeMap<String, BTreeSet<Right>>| {
        let watched = |(verb, group, _): &&Right| {
            ["list", "watch"].contains(&verb.as_str()) && ["apps", "argoproj.io", "batch"].contains(&group.as_str())
        };
        granted.values().flatten().filter(watched).count()
    };
    assert_eq!((workloads(&all), workloads(&default)), (10, 0));
    // Rules on one object count as those on all here, so the ConfigMaps are not among them.
    let only = all["controller-manager"].difference(&default["controller-manager"]);
    let core: Vec<_> =
        only.filter(|(_, group, _)| group.is_empty()).map(|(verb, _, of)| format!("{verb} {of}")).collect();
    let expected = [
        "list configmaps",
        "list namespaces",
        "list serviceaccounts",
        "patch namespaces",
        "update secrets",
        "watch configmaps",
        "watch namespaces",
        "watch serviceaccounts",
    ];
    assert_eq!(core, expected);
    Ok(())
}

#[test]
fn every_right_is_used_and_none_is_missing() -> Result {
    let dir = kept_audit_logs(Server::Vault);
    if !dir.join("all").exists() {
        println!("skipped: run all end-to-end tests first, cargo test --test e2e");
        return Ok(());
    }
    let granted = granted(&[SERVED])?;
    assert!(granted.contains_key("controller-manager"), "{granted:?}");
    let mut used = BTreeMap::<String, BTreeSet<Right>>::new();
    let mut wrong = vec![];
    for entry in std::fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "log") {
            continue;
        }
        for event in testenv::kept_kube_audit(&path)? {
            let Some(name) = event.user.strip_prefix("system:serviceaccount:").and_then(|u| u.split(':').nth(1)) else {
                continue;
            };
            let Some(rights) = granted.get(account(name)).filter(|_| name.contains("vault-secrets-operator")) else {
                continue;
            };
            // Discovery is open to everybody.
            if event.resource.is_empty() {
                continue;
            }
            let resource = match event.subresource.as_str() {
                "" => event.resource.clone(),
                sub => format!("{}/{sub}", event.resource),
            };
            let right = (event.verb.clone(), event.group.clone(), resource);
            if !rights.contains(&right) {
                wrong.push(format!("{} asked without a rule: {right:?} {} {}", account(name), event.uri, event.code));
            }
            used.entry(account(name).to_owned()).or_default().insert(right);
        }
    }
    for (account, rights) in &granted {
        let used = used.remove(account).unwrap_or_default();
        let unseen = |(verb, group, resource): &&Right| {
            UNSEEN.contains(&(account.as_str(), verb.as_str(), group.as_str(), resource.as_str()))
        };
        wrong.extend(
            rights
                .difference(&used)
                .filter(|right| !unseen(right))
                .map(|right| format!("{account} never used its right to {right:?}")),
        );
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
