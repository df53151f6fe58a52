//! What Reloader's own tests expect, row by row, by the names of their files.

use serde_json::{Value, json};

use super::*;
use crate::reloader::references;

const AUTO: &str = "reloader.stakater.com/auto";
const SECRET_AUTO: &str = "secret.reloader.stakater.com/auto";
const CONFIG_MAP_AUTO: &str = "configmap.reloader.stakater.com/auto";
const SECRET_LIST: &str = "secret.reloader.stakater.com/reload";
const CONFIG_MAP_LIST: &str = "configmap.reloader.stakater.com/reload";
const SEARCH: &str = "reloader.stakater.com/search";
const EXCLUDE_SECRET: &str = "secrets.exclude.reloader.stakater.com/reload";
const EXCLUDE_CONFIG_MAP: &str = "configmaps.exclude.reloader.stakater.com/reload";

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn map(pairs: Pairs<'_>) -> Annotations {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A pod template that reads the Secrets `one` and `two` and the ConfigMaps of equal names.
fn template(annotations: Pairs<'_>) -> Value {
    let env =
        ["one", "two"].map(|name| json!([{ "secretRef": { "name": name } }, { "configMapRef": { "name": name } }]));
    let env: Vec<&Value> = env.iter().flat_map(|both| both.as_array().unwrap()).collect();
    json!({ "metadata": { "annotations": map(annotations) }, "spec": { "containers": [{ "envFrom": env }] } })
}

fn declared(workload: Pairs<'_>, on_template: Pairs<'_>) -> Option<Declared> {
    Declared::of(&map(workload), &template(on_template), false)
}

/// Whether the workload is restarted for a Secret of this name; then the same for a ConfigMap.
fn restarted(workload: Pairs<'_>, on_template: Pairs<'_>, name: &str, traits: Pairs<'_>) -> (bool, bool) {
    let traits = Traits::of(Some(&map(traits)));
    let declared = declared(workload, on_template);
    let is = |kind| declared.as_ref().is_some_and(|declared| declared.reload(kind, name, traits));
    (is(SourceKind::Secret), is(SourceKind::ConfigMap))
}

const YES: (bool, bool) = (true, true);
const NO: (bool, bool) = (false, false);

#[test]
fn auto_reload_test() {
    for (what, workload, expected) in [
        ("auto=true", &[(AUTO, "true")][..], YES),
        ("auto=false", &[(AUTO, "false")], NO),
        ("no annotation", &[], NO),
        ("auto=1", &[(AUTO, "1")], YES),
        ("auto=yes is no boolean", &[(AUTO, "yes")], NO),
        ("configmap auto only", &[(CONFIG_MAP_AUTO, "true")], (false, true)),
        ("secret auto only", &[(SECRET_AUTO, "true")], (true, false)),
        ("secret auto=false", &[(SECRET_AUTO, "false")], NO),
        ("auto=true with secret auto=false", &[(AUTO, "true"), (SECRET_AUTO, "false")], YES),
        ("auto=false with secret auto=true", &[(AUTO, "false"), (SECRET_AUTO, "true")], (true, false)),
    ] {
        assert_eq!(restarted(workload, &[], "one", &[]), expected, "{what}");
    }
    assert_eq!(restarted(&[(AUTO, "true")], &[], "three", &[]), NO, "what is not referenced");
}

#[test]
fn exclude_test() {
    let secret = &[(AUTO, "true"), (EXCLUDE_SECRET, "one")][..];
    assert_eq!(restarted(secret, &[], "one", &[]), (false, true), "should NOT reload when excluded Secret changes");
    assert_eq!(restarted(secret, &[], "two", &[]), YES, "should reload when non-excluded Secret changes");
    let config_map = &[(AUTO, "true"), (EXCLUDE_CONFIG_MAP, "one")][..];
    assert_eq!(
        restarted(config_map, &[], "one", &[]),
        (true, false),
        "should NOT reload when excluded ConfigMap changes"
    );
    assert_eq!(restarted(config_map, &[], "two", &[]), YES, "should reload when non-excluded ConfigMap changes");
    let both = &[(AUTO, "true"), (EXCLUDE_SECRET, " two , one ")][..];
    assert!(!restarted(both, &[], "one", &[]).0, "a list");
    let exact = &[(AUTO, "true"), (EXCLUDE_SECRET, "o.*")][..];
    assert_eq!(restarted(exact, &[], "one", &[]), YES, "exceptions are no expressions");
    let listed = &[(SECRET_LIST, "one,two"), (EXCLUDE_SECRET, "one")][..];
    assert_eq!(restarted(listed, &[], "one", &[]), NO, "an exception to what is listed");
    let search = &[(SEARCH, "true"), (EXCLUDE_SECRET, "one")][..];
    let matched = &[("reloader.stakater.com/match", "true")][..];
    assert_eq!(restarted(search, &[], "one", matched), (false, true), "an exception to what is searched for");
    let on_template = &[(AUTO, "true"), (EXCLUDE_SECRET, "one")][..];
    assert_eq!(restarted(&[], on_template, "one", &[]), YES, "exceptions on the pod template do not count");
}

#[test]
fn search_match_test() {
    let matched = &[("reloader.stakater.com/match", "true")][..];
    let search = &[(SEARCH, "true")][..];
    assert_eq!(restarted(search, &[], "one", matched), YES, "search and match");
    assert_eq!(restarted(search, &[], "one", &[]), NO, "search but no match");
    assert_eq!(restarted(&[], &[], "one", matched), NO, "match but no search");
    assert_eq!(restarted(search, &[], "three", matched), NO, "what is not referenced");
    assert_eq!(restarted(search, &[], "one", &[("reloader.stakater.com/match", "True")]), NO, "only \"true\" counts");
    assert_eq!(restarted(&[(SEARCH, "1")], &[], "one", matched), NO, "only \"true\" counts");
    assert_eq!(restarted(&[], search, "one", matched), YES, "search on the pod template only");
}

#[test]
fn resource_ignore_test() {
    let ignored = &[("reloader.stakater.com/ignore", "true")][..];
    assert_eq!(restarted(&[(AUTO, "true")], &[], "one", ignored), NO, "ignored with auto");
    assert_eq!(restarted(&[(SECRET_LIST, "one")], &[], "one", ignored), NO, "ignored although listed");
    let both = &[("reloader.stakater.com/ignore", "true"), ("reloader.stakater.com/match", "true")][..];
    assert_eq!(restarted(&[(SEARCH, "true")], &[], "one", both), NO, "ignored although it matches");
    let not = &[("reloader.stakater.com/ignore", "false")][..];
    assert_eq!(restarted(&[(AUTO, "true")], &[], "one", not), YES, "ignore=false");
}

#[test]
fn combination_test() {
    let explicit = &[(AUTO, "true"), (CONFIG_MAP_LIST, "extra"), (SECRET_LIST, "extra")][..];
    assert_eq!(restarted(explicit, &[], "one", &[]), YES, "auto-detected beside explicitly listed");
    assert_eq!(restarted(explicit, &[], "extra", &[]), YES, "explicitly listed and not referenced");
    let excluded = &[(AUTO, "true"), (EXCLUDE_SECRET, "two"), (EXCLUDE_CONFIG_MAP, "two")][..];
    assert_eq!(restarted(excluded, &[], "two", &[]), NO, "excluded");
    assert_eq!(restarted(excluded, &[], "one", &[]), YES, "non-excluded");
    let several = &[(SECRET_LIST, "a, b"), (CONFIG_MAP_LIST, "c")][..];
    for (name, expected) in [("a", (true, false)), ("b", (true, false)), ("c", (false, true)), ("one", NO)] {
        assert_eq!(restarted(several, &[], name, &[]), expected, "any of multiple explicitly listed: {name}");
    }
}

#[test]
fn regex_test() {
    let listed = |list: &str, name: &str| restarted(&[(SECRET_LIST, list)], &[], name, &[]).0;
    assert!(listed("app-secret-.*", "app-secret-1"), "should reload when Secret matching pattern changes");
    assert!(!listed("app-secret-.*", "other-1"), "should NOT reload when Secret NOT matching pattern changes");
    assert!(!listed("app", "app-1") && !listed("app-?", "my-app-"), "the whole name has to match");
    assert!(listed("a.c, [xy]z", "xz") && listed("a.c, [xy]z", "abc"), "several");
    assert!(listed("[, app", "app"), "one that is wrong does not spoil the others");
    let wrong = declared(&[(SECRET_LIST, "[, app")], &[]).unwrap().complaints;
    assert!(wrong[0].contains("\"[\"") && wrong[0].contains("missing closing ]"), "{wrong:?}");
    let many: Vec<String> = (0..150).map(|n| format!("s{n}")).collect();
    let declared = declared(&[(SECRET_LIST, &many.join(","))], &[]).unwrap();
    assert!(declared.complaints[0].contains("more than 100"), "{:?}", declared.complaints);
    let hostile = format!("{},((a{{100}}){{100}}){{100}}", "x{1000}".repeat(30));
    let found = Declared::of(&map(&[(SECRET_LIST, &hostile)]), &json!({}), false).unwrap();
    assert!(!found.complaints.is_empty(), "too large");
}

#[test]
fn workloads_test() {
    let auto = &[(AUTO, "true")][..];
    assert_eq!(restarted(&[], auto, "one", &[]), YES, "annotation on pod template only");
    assert_eq!(restarted(&[(AUTO, "false")], auto, "one", &[]), NO, "that of the workload counts, if there is one");
    let typed = &[(SECRET_AUTO, "false")][..];
    assert_eq!(restarted(typed, auto, "one", &[]), (false, true), "each kind is looked at by itself");
    assert!(declared(&[("other", "true")], &[]).is_none() && declared(&[], &[]).is_none(), "nothing is asked for");
}

#[test]
fn reference_methods_test() {
    let pod = json!({
        "initContainers": [{ "envFrom": [{ "secretRef": { "name": "init" } }] }],
        "containers": [{
            "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "key", "key": "k" } } }],
            "volumeMounts": [{ "name": "projected" }],
        }],
        "volumes": [{ "name": "projected", "projected": { "sources": [{ "secret": { "name": "projected" } }] } }],
        "imagePullSecrets": [{ "name": "pull" }],
    });
    assert_eq!(references::references(&pod).len(), 3);
    let declared = Declared::of(&map(&[(AUTO, "true")]), &json!({ "spec": pod }), false).unwrap();
    for (name, expected) in [("init", true), ("key", true), ("projected", true), ("pull", false)] {
        assert_eq!(declared.reload(SourceKind::Secret, name, Traits::default()), expected, "{name}");
    }
}

#[test]
fn auto_reload_all_test() {
    let is = |workload: Pairs<'_>, on_template: Pairs<'_>, name: &str| {
        let declared = Declared::of(&map(workload), &template(on_template), true);
        let of = |kind| declared.as_ref().is_some_and(|declared| declared.reload(kind, name, Traits::default()));
        (of(SourceKind::Secret), of(SourceKind::ConfigMap))
    };
    for (what, workload, on_template, expected) in [
        ("no annotation", &[][..], &[][..], YES),
        ("auto=false opts out", &[(AUTO, "false")], &[], NO),
        ("the same on the pod template", &[], &[(AUTO, "false")], NO),
        ("secret auto=false opts out for Secrets", &[(SECRET_AUTO, "false")], &[], (false, true)),
        ("an annotation without a value", &[(AUTO, "")], &[], YES),
        ("a list of others", &[(SECRET_LIST, "extra")], &[], YES),
        ("an exception", &[(EXCLUDE_SECRET, "one")], &[], (false, true)),
    ] {
        assert_eq!(is(workload, on_template, "one"), expected, "{what}");
    }
    assert_eq!(is(&[], &[], "three"), NO, "what is not referenced");
    assert!(Declared::of(&map(&[]), &json!({}), true).is_none(), "nothing is kept of what uses nothing");
}

#[test]
fn pause_period_test() {
    let of = |text| declared(&[(AUTO, "true"), (PAUSE_PERIOD, text)], &[]).unwrap();
    assert_eq!(of("1m30s").pause_period, Some(Duration::from_secs(90)));
    for wrong in ["", "five minutes", "-1s"] {
        let declared = of(wrong);
        assert_eq!(declared.pause_period, None);
        assert!(declared.complaints[0].contains(PAUSE_PERIOD), "{wrong}");
    }
}
