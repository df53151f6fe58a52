//! Which Secrets and ConfigMaps the containers of a pod template read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::source::{Source, SourceKind};

/// What the containers and init containers read by variables and mounted volumes. Pull secrets do not count, nor does a
/// volume that none of them mounts.
pub(super) fn references(pod: &Value) -> BTreeSet<Source> {
    let containers = || list(pod, "initContainers").chain(list(pod, "containers"));
    let mounted: BTreeSet<&str> =
        containers().flat_map(|c| list(c, "volumeMounts")).filter_map(|m| text(m, "/name")).collect();
    let is_mounted = |volume: &&Value| text(volume, "/name").is_some_and(|name| mounted.contains(name));
    let of_volumes = list(pod, "volumes").filter(is_mounted).flat_map(of_volume);
    let of_variables = containers().flat_map(of_container);
    of_volumes.chain(of_variables).collect()
}

fn of_volume(volume: &Value) -> Vec<Source> {
    let own = sources(volume, "/secret/secretName", "/configMap/name");
    let projected = volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten();
    own.into_iter().chain(projected.flat_map(|part| sources(part, "/secret/name", "/configMap/name"))).collect()
}

fn of_container(container: &Value) -> Vec<Source> {
    let one = list(container, "env")
        .flat_map(|env| sources(env, "/valueFrom/secretKeyRef/name", "/valueFrom/configMapKeyRef/name"));
    let all = list(container, "envFrom").flat_map(|env| sources(env, "/secretRef/name", "/configMapRef/name"));
    one.chain(all).collect()
}

fn sources(value: &Value, secret: &str, config_map: &str) -> Vec<Source> {
    let secret = text(value, secret).map(|name| Source::new(SourceKind::Secret, name));
    let config_map = text(value, config_map).map(|name| Source::new(SourceKind::ConfigMap, name));
    secret.into_iter().chain(config_map).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(pod: Value) -> Vec<String> {
        references(&pod).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_containers_read_is_referenced_and_nothing_else() {
        let env = |reference: Value| json!({ "containers": [{ "env": [{ "name": "A", "valueFrom": reference }] }] });
        let mounted =
            |volume: Value| json!({ "containers": [{ "volumeMounts": [{ "name": "v" }] }], "volumes": [volume] });
        let projected = json!({ "name": "v", "projected": { "sources": [
            { "secret": { "name": "a" } }, { "configMap": { "name": "b" } }, { "serviceAccountToken": {} },
        ] } });
        for (what, pod, expected) in [
            ("secretKeyRef", env(json!({ "secretKeyRef": { "name": "a", "key": "k" } })), &["Secret/a"][..]),
            ("configMapKeyRef", env(json!({ "configMapKeyRef": { "name": "a", "key": "k" } })), &["ConfigMap/a"]),
            ("fieldRef", env(json!({ "fieldRef": { "fieldPath": "a" } })), &[]),
            (
                "envFrom",
                json!({ "containers": [{ "envFrom": [
                    { "secretRef": { "name": "a" } }, { "configMapRef": { "name": "b" } },
                ] }] }),
                &["ConfigMap/b", "Secret/a"],
            ),
            (
                "init container envFrom",
                json!({ "initContainers": [{ "envFrom": [{ "secretRef": { "name": "a" } }] }] }),
                &["Secret/a"],
            ),
            (
                "init container volume",
                json!({
                    "initContainers": [{ "volumeMounts": [{ "name": "v" }] }],
                    "volumes": [{ "name": "v", "secret": { "secretName": "a" } }],
                }),
                &["Secret/a"],
            ),
            ("volume", mounted(json!({ "name": "v", "secret": { "secretName": "a" } })), &["Secret/a"]),
            ("volume of a ConfigMap", mounted(json!({ "name": "v", "configMap": { "name": "a" } })), &["ConfigMap/a"]),
            ("projected", mounted(projected), &["ConfigMap/b", "Secret/a"]),
            ("volume that none mounts", mounted(json!({ "name": "w", "secret": { "secretName": "a" } })), &[]),
            ("pull secret", json!({ "imagePullSecrets": [{ "name": "a" }], "containers": [{}] }), &[]),
            ("no pod", json!(null), &[]),
            ("nonsense", json!({ "containers": "x", "volumes": { "a": 1 } }), &[]),
        ] {
            assert_eq!(found(pod), expected, "{what}");
        }
    }
}
