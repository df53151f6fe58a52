//! `externalSecrets`: what it adds, and the definitions of its kinds beside those of ESO.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use testenv::{Cluster, Options};

use test_support::chart::{CHART, NAMESPACE, Result, documents, files, object, path, template};

const ENABLED: &str = "--set=externalSecrets.enabled=true";
const NAMESPACES: &str = "--values=charts/vault-secrets-operator/ci/namespaces-values.yaml";
/// The kinds with two versions.
const DEFINITIONS: [&str; 4] = ["clusterexternalsecrets", "clustersecretstores", "externalsecrets", "secretstores"];

/// Group, resource and verb of each right in the roles of the operator, those of its own namespace left out.
fn rights(arguments: &[&str]) -> Result<BTreeSet<(String, String, String)>> {
    let mut rights = BTreeSet::new();
    for role in documents(&template(arguments)?)? {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        if !name.ends_with("-manager-role") || role["metadata"]["namespace"] == NAMESPACE {
            continue;
        }
        for rule in role["rules"].as_array().into_iter().flatten() {
            let texts = |member: &str| -> Vec<String> {
                rule[member].as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect()
            };
            // A rule on one object is not one on all.
            let only = rule["resourceNames"].as_array().map_or(String::new(), |names| format!(" {names:?}"));
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    let resource = format!("{resource}{only}");
                    rights.extend(texts("verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
    }
    assert!(!rights.is_empty(), "no role of the operator");
    Ok(rights)
}

/// What the value adds to the rights of the operator, as `verb resource`.
fn added(arguments: &[&str]) -> Result<Vec<String>> {
    let without = rights(arguments)?;
    let with = rights(&[arguments, &[ENABLED]].concat())?;
    assert!(with.is_superset(&without));
    let mut added: Vec<_> = with.difference(&without).map(|(_, resource, verb)| format!("{verb} {resource}")).collect();
    added.sort();
    Ok(added)
}

#[test]
fn nothing_of_it_is_there_by_default() -> Result {
    let all = "--set-json=controller.rbac.clusterRoleAggregation.viewerRoles=[\"*\"]";
    for arguments in [&[][..], &[all], &[NAMESPACES], &["--set=externalSecrets.controllerClass=other"]] {
        let rendered = template(arguments)?;
        for word in ["external-secrets", "externalsecret", "pushsecret", "secretstore"] {
            assert!(!rendered.contains(word), "{arguments:?} renders {word}");
        }
    }
    Ok(())
}

#[test]
fn rights_grow_by_what_it_needs_in_each_scope() -> Result {
    let in_a_namespace = [
        "get configmaps",
        "list configmaps",
        "list externalsecrets",
        "list passwords",
        "list pushsecrets",
        "list secretstores",
        "list serviceaccounts",
        "list uuids",
        "list vaultdynamicsecrets",
        "patch externalsecrets",
        "patch externalsecrets/status",
        "patch pushsecrets",
        "patch pushsecrets/status",
        "patch secretstores",
        "patch secretstores/status",
        "update secrets",
        "watch configmaps",
        "watch externalsecrets",
        "watch passwords",
        "watch pushsecrets",
        "watch secretstores",
        "watch serviceaccounts",
        "watch uuids",
        "watch vaultdynamicsecrets",
    ];
    let in_the_cluster = [
        "list clustersecretstores",
        "list namespaces",
        "patch clustersecretstores",
        "patch clustersecretstores/status",
        "watch clustersecretstores",
        "watch namespaces",
    ];
    let external_secrets_of_many = [
        "create externalsecrets",
        "delete externalsecrets",
        "list clusterexternalsecrets",
        "patch clusterexternalsecrets",
        "patch clusterexternalsecrets/status",
        "patch namespaces",
        "update externalsecrets",
        "watch clusterexternalsecrets",
    ];
    let push_secrets_of_many = [
        "create pushsecrets",
        "delete pushsecrets",
        "list clusterpushsecrets",
        "patch clusterpushsecrets/status",
        "update pushsecrets",
        "watch clusterpushsecrets",
    ];
    assert_eq!(added(&[NAMESPACES])?, in_a_namespace);
    let mut all = [&in_a_namespace[..], &in_the_cluster, &external_secrets_of_many, &push_secrets_of_many].concat();
    all.sort_unstable();
    assert_eq!(added(&[])?, all);
    for (value, rights) in [
        ("processClusterExternalSecret", &external_secrets_of_many[..]),
        ("processClusterPushSecret", &push_secrets_of_many),
    ] {
        let left: Vec<_> = all.iter().filter(|right| !rights.contains(right)).collect();
        assert_eq!(added(&[&format!("--set=externalSecrets.{value}=false")])?.iter().collect::<Vec<_>>(), left);
    }
    let rendered = documents(&template(&[NAMESPACES, ENABLED])?)?;
    assert!(rendered.iter().all(|document| document["kind"] != "ClusterRole"));
    Ok(())
}

#[test]
fn people_get_roles_for_its_kinds() -> Result {
    let viewers = "--set-json=controller.rbac.clusterRoleAggregation.viewerRoles=[\"ExternalSecret\",\"secretstore\"]";
    let documents = documents(&template(&[ENABLED, viewers])?)?;
    let joined = &object(&documents, "ClusterRole", "-aggregate-role-viewer")?["aggregationRule"];
    let one = |name: &str| json!({ "matchLabels": { "vso.hashicorp.com/role-instance": name } });
    let expected = [one("externalsecret-viewer-role"), one("secretstore-viewer-role")];
    assert_eq!(joined["clusterRoleSelectors"], json!(expected));
    for kind in [
        "externalsecret",
        "pushsecret",
        "secretstore",
        "clustersecretstore",
        "clusterexternalsecret",
        "clusterpushsecret",
    ] {
        for (role, writes) in [("viewer", false), ("editor", true)] {
            let role = object(&documents, "ClusterRole", &format!("-vault-secrets-operator-{kind}-{role}-role"))?;
            let rule = &role["rules"][0];
            assert_eq!(
                (&rule["apiGroups"], &rule["resources"]),
                (&json!(["external-secrets.io"]), &json!([format!("{kind}s")]))
            );
            assert_eq!(rule["verbs"].to_string().contains("create"), writes, "{rule}");
        }
    }
    Ok(())
}

#[test]
fn the_definitions_serve_both_versions() -> Result {
    let rendered = documents(&template(&[ENABLED])?)?;
    for name in DEFINITIONS {
        let named = |d: &&Value| d["metadata"]["name"] == format!("{name}.external-secrets.io");
        let definition = rendered.iter().find(named).ok_or("no definition")?;
        let versions = definition["spec"]["versions"].as_array().cloned().unwrap_or_default();
        let served: Vec<_> = versions.iter().map(|v| (v["name"].as_str(), &v["served"], &v["storage"])).collect();
        let (yes, no) = (json!(true), json!(false));
        assert_eq!(served, [(Some("v1"), &yes, &yes), (Some("v1beta1"), &yes, &no)], "{name}");
    }
    Ok(())
}

/// Of ESO's release or of no release at all: they stay as they are. Those of the release follow the chart, and outlive
/// it.
#[test]
fn definitions_of_others_are_left_alone_and_own_ones_are_upgraded() -> Result {
    let cluster = Cluster::start(Options::default())?;
    let definition = |name: &str| -> Result<Value> {
        let name = format!("{name}.external-secrets.io");
        Ok(serde_json::from_str(&cluster.kubectl(&["get", "crd", &name, "-o=json"])?)?)
    };
    let described = |of: &Value| of["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"].clone();
    let stored = files("crds/external-secrets")?;
    let file = |name: &str| stored[&format!("external-secrets.io_{name}.yaml")].clone();

    let mut of_eso: Value = serde_saphyr::from_str(&file("secretstores"))?;
    of_eso["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    of_eso["metadata"]["annotations"] = json!({ "meta.helm.sh/release-name": "external-secrets", "meta.helm.sh/release-namespace": "external-secrets" });
    let mut of_nobody: Value = serde_saphyr::from_str(&file("externalsecrets"))?;
    for foreign in [&mut of_eso, &mut of_nobody] {
        describe(foreign, "of another");
        foreign["spec"]["versions"][1]["served"] = json!(false);
        cluster.kubectl_apply(&foreign.to_string())?;
    }
    let foreign = || Result::Ok([definition("secretstores")?, definition("externalsecrets")?]);
    let versions = |of: [Value; 2]| of.map(|definition| definition["metadata"]["resourceVersion"].clone());
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    let before = versions(foreign()?);

    // An earlier chart with another definition.
    let older = cluster.dir().join("older");
    copy(&path(CHART), &older)?;
    let changed = older.join("files/external-secrets/external-secrets.io_clustersecretstores.yaml");
    let mut earlier: Value = serde_saphyr::from_str(&fs::read_to_string(&changed)?)?;
    describe(&mut earlier, "earlier");
    fs::write(&changed, earlier.to_string())?;
    // No node, so neither pods nor hooks can run.
    let values = ["--namespace=vso", ENABLED, "--set=controller.replicas=0", "--no-hooks"];
    let (older, current) = (older.to_string_lossy().into_owned(), path(CHART).to_string_lossy().into_owned());
    cluster.helm(&[&["install", "vso", &older, "--create-namespace"], &values[..]].concat())?;
    let own = definition("clustersecretstores")?;
    assert_eq!(described(&own), "earlier");
    assert_eq!(own["metadata"]["annotations"]["meta.helm.sh/release-name"], "vso");
    assert_eq!(versions(foreign()?), before);

    cluster.helm(&[&["upgrade", "vso", &current], &values[..]].concat())?;
    let upgraded = definition("clustersecretstores")?;
    assert_eq!(upgraded["metadata"]["uid"], own["metadata"]["uid"]);
    assert_ne!(described(&upgraded), "earlier");
    assert_eq!(versions(foreign()?), before);

    let off = ["--namespace=vso", "--set=controller.replicas=0", "--no-hooks"];
    cluster.helm(&[&["upgrade", "vso", &current], &off[..]].concat())?;
    assert_eq!(
        definition("clustersecretstores")?["metadata"]["uid"],
        own["metadata"]["uid"],
        "it goes with no release"
    );
    cluster.helm(&[&["upgrade", "vso", &current], &values[..]].concat())?;
    cluster.helm(&["uninstall", "vso", "--namespace=vso", "--no-hooks"])?;
    assert_eq!(
        definition("clustersecretstores")?["metadata"]["uid"],
        own["metadata"]["uid"],
        "it goes with no release"
    );
    assert_eq!(versions(foreign()?), before);
    Ok(())
}

/// The API server wants one schema in all versions of a definition with selectable fields.
fn describe(definition: &mut Value, description: &str) {
    for version in definition["spec"]["versions"].as_array_mut().into_iter().flatten() {
        version["schema"]["openAPIV3Schema"]["description"] = json!(description);
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
