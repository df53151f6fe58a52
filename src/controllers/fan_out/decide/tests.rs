use serde_json::{Value, json};

use super::*;
use crate::api::external_secrets::{ClusterExternalSecret, ClusterPushSecret, ExternalSecret};

fn object(spec: Value) -> ClusterExternalSecret {
    let mut full = json!({ "externalSecretSpec": { "data": [{ "secretKey": "k", "remoteRef": { "key": "a" } }] } });
    json_patch::merge(&mut full, &spec);
    let mut object = ClusterExternalSecret::new("all", serde_json::from_value(full).unwrap());
    object.metadata.uid = Some("uid".into());
    object
}

fn namespace(name: &str, team: &str) -> (String, Arc<NamespaceState>) {
    let labels = [("team".to_owned(), team.to_owned())].into();
    (name.to_owned(), Arc::new(NamespaceState { labels, ..NamespaceState::default() }))
}

fn changed(
    (name, state): (String, Arc<NamespaceState>),
    change: impl FnOnce(&mut NamespaceState),
) -> (String, Arc<NamespaceState>) {
    let mut state = (*state).clone();
    change(&mut state);
    (name, Arc::new(state))
}

/// What the object has made in a namespace.
fn made(object: &ClusterExternalSecret, namespace: &str) -> Arc<ExternalSecret> {
    Arc::new(wanted(object, namespace))
}

/// The steps and what is said of the namespaces, as one line each.
fn told(
    object: &ClusterExternalSecret,
    namespaces: &[(String, Arc<NamespaceState>)],
    inner: &[Arc<ExternalSecret>],
) -> Result<Vec<String>, String> {
    let decision = decide(object, namespaces, inner)?;
    let steps = decision.steps.iter().map(|(namespace, step)| match step {
        Step::Create(made) => format!("create {namespace}/{}", made.metadata.name.as_deref().unwrap()),
        Step::Replace(made) => format!("replace {namespace}/{}", made.metadata.name.as_deref().unwrap()),
        Step::Delete(made) => format!("delete {namespace}/{}", made.metadata.name.as_deref().unwrap()),
    });
    let mut all: Vec<String> = steps.collect();
    all.extend(decision.right.iter().map(|namespace| format!("right {namespace}")));
    all.extend(decision.failed.iter().map(|failure| format!("failed {}", failure.namespace)));
    all.extend(decision.release.iter().map(|namespace| format!("release {namespace}")));
    Ok(all)
}

#[test]
fn selectors_and_names_are_alternatives() {
    let namespaces = [namespace("a", "red"), namespace("b", "blue"), namespace("c", "green")];
    let red = json!({ "matchLabels": { "team": "red" } });
    let blue = json!({ "matchExpressions": [{ "key": "team", "operator": "In", "values": ["blue"] }] });
    for (spec, expected) in [
        (json!({}), vec![]),
        (json!({ "namespaceSelector": red }), vec!["create a/all"]),
        (json!({ "namespaceSelectors": [red, blue] }), vec!["create a/all", "create b/all"]),
        (json!({ "namespaceSelector": red, "namespaces": ["c", "gone"] }), vec!["create a/all", "create c/all"]),
        (json!({ "namespaces": ["a"], "namespaceSelector": red, "externalSecretName": "x" }), vec!["create a/x"]),
        (json!({ "namespaceSelectors": [{}] }), vec!["create a/all", "create b/all", "create c/all"]),
    ] {
        assert_eq!(told(&object(spec.clone()), &namespaces, &[]).unwrap(), expected, "{spec}");
    }
}

#[test]
fn what_is_right_is_left_alone_and_what_differs_is_replaced() {
    let object = object(json!({ "namespaces": ["a"], "externalSecretMetadata": { "labels": { "x": "y" } } }));
    let namespaces = [namespace("a", "red")];
    let right = made(&object, "a");
    assert_eq!(told(&object, &namespaces, std::slice::from_ref(&right)).unwrap(), ["right a"]);
    type Change = fn(&mut ExternalSecret);
    let changes: [Change; 4] = [
        |made| made.metadata.labels = None,
        |made| made.metadata.annotations = Some([("x".to_owned(), "y".to_owned())].into()),
        |made| made.spec.refresh_interval = Some("1m".into()),
        |made| made.metadata.owner_references.as_mut().unwrap()[0].uid = "of one that is gone".into(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut other = (*right).clone();
        other.metadata.finalizers = Some(vec!["f".into()]);
        change(&mut other);
        let decision = decide(&object, &namespaces, &[Arc::new(other)]).unwrap();
        let [(_, Step::Replace(new))] = &decision.steps[..] else { panic!("change {index} is not repaired") };
        assert_eq!((&new.spec, &new.metadata.labels), (&right.spec, &right.metadata.labels));
        assert_eq!(new.metadata.owner_references, right.metadata.owner_references);
        assert_eq!(new.metadata.finalizers.as_deref(), Some(&["f".to_owned()][..]), "it is another client's");
    }
}

#[test]
fn an_object_of_another_owner_is_left_alone() {
    let object = object(json!({ "namespaces": ["a"] }));
    let mut foreign = (*made(&object, "a")).clone();
    foreign.metadata.owner_references = None;
    assert_eq!(told(&object, &[namespace("a", "")], &[Arc::new(foreign.clone())]).unwrap(), ["failed a"]);
    assert!(told(&object, &[namespace("b", "")], &[Arc::new(foreign)]).unwrap().is_empty());
}

#[test]
fn what_is_not_meant_any_more_goes() {
    let before = object(json!({ "namespaces": ["a", "b"] }));
    let inner = [made(&before, "a"), made(&before, "b")];
    let namespaces = [namespace("a", ""), namespace("b", "")];
    let fewer = object(json!({ "namespaces": ["a"] }));
    assert_eq!(told(&fewer, &namespaces, &inner).unwrap(), ["delete b/all", "right a"]);
    let renamed = object(json!({ "namespaces": ["a", "b"], "externalSecretName": "new" }));
    assert_eq!(told(&renamed, &namespaces, &inner).unwrap(), ["create a/new", "create b/new"]);
    let mut foreign = (*made(&renamed, "b")).clone();
    foreign.metadata.owner_references = None;
    let both = [&inner[..], &[made(&renamed, "a"), Arc::new(foreign)]].concat();
    let then = ["delete a/all", "right a", "failed b"];
    assert_eq!(told(&renamed, &namespaces, &both).unwrap(), then, "the name of one is another's in b");
    let mut going = (*inner[1]).clone();
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        k8s_openapi::jiff::Timestamp::from_second(1).unwrap(),
    ));
    assert_eq!(told(&fewer, &namespaces, &[inner[0].clone(), Arc::new(going)]).unwrap(), ["right a"]);
}

#[test]
fn what_a_deletion_takes_back_is_done_again_after_it() {
    let object = |name: &str| {
        let spec = json!({
            "pushSecretName": name, "namespaceSelectors": [{}],
            "pushSecretSpec": { "secretStoreRefs": [{ "name": "out" }], "selector": { "secret": { "name": "s" } } },
        });
        let mut object = ClusterPushSecret::new("all", serde_json::from_value(spec).unwrap());
        object.metadata.uid = Some("uid".into());
        object
    };
    let (before, after) = (object("old"), object("new"));
    let namespaces = [namespace("a", "")];
    let old = Arc::new(wanted(&before, "a"));
    let first = decide(&after, &namespaces, std::slice::from_ref(&old)).unwrap();
    assert!(matches!(&first.steps[..], [(_, Step::Delete(gone))] if gone.metadata.name.as_deref() == Some("old")));
    assert!(first.right.is_empty());
    let then = decide(&after, &namespaces, &[]).unwrap();
    assert!(matches!(&then.steps[..], [(_, Step::Create(_))]));
    // The new name is another's: what was done stays.
    let mut foreign = wanted(&after, "a");
    foreign.metadata.owner_references = None;
    let kept = decide(&after, &namespaces, &[old, Arc::new(foreign)]).unwrap();
    assert!(kept.steps.is_empty() && kept.failed.len() == 1);
}

#[test]
fn a_namespace_that_no_list_has_shown_loses_nothing() {
    let object = object(json!({ "namespaceSelector": { "matchLabels": { "team": "red" } } }));
    assert!(told(&object, &[], &[made(&object, "a")]).unwrap().is_empty());
}

#[test]
fn a_selector_that_makes_no_sense_changes_nothing() {
    for (selector, expected) in [
        (json!({ "key": "team", "operator": "Is", "values": ["a"] }), "\"Is\" is not a valid label selector operator"),
        (json!({ "key": "team", "operator": "In" }), "operator In needs values, key \"team\""),
        (
            json!({ "key": "team", "operator": "Exists", "values": ["a"] }),
            "operator Exists has no values, key \"team\"",
        ),
    ] {
        let object = object(json!({ "namespaceSelectors": [{}, { "matchExpressions": [selector] }] }));
        let error = told(&object, &[namespace("a", "")], &[made(&object, "b")]).unwrap_err();
        assert_eq!(error, format!("selector 1 of the namespaces: {expected}"));
    }
}

#[test]
fn a_namespace_that_is_going_or_not_meant_loses_the_finalizer_of_eso() {
    let object = object(json!({ "namespaceSelector": { "matchLabels": { "team": "red" } } }));
    let held = |state: &mut NamespaceState| {
        state.finalizers =
            ["ces-all", "ces-other"].map(|end| format!("externalsecrets.external-secrets.io/{end}")).into();
    };
    let going = |state: &mut NamespaceState| {
        state.terminating = true;
        state.finalizers = vec!["externalsecrets.external-secrets.io/ces-all".to_owned()];
    };
    let namespaces = [
        changed(namespace("meant", "red"), held),
        changed(namespace("other", "blue"), held),
        changed(namespace("going", "red"), going),
        namespace("free", "blue"),
    ];
    let inner = [made(&object, "meant"), made(&object, "going")];
    assert_eq!(told(&object, &namespaces, &inner).unwrap(), ["right meant", "release other", "release going"]);
}

#[test]
fn a_person_asks_for_a_refresh_of_all() {
    let mut object = object(json!({ "namespaces": ["a"], "externalSecretMetadata": { "annotations": { "x": "y" } } }));
    let before = made(&object, "a");
    let annotations = [("external-secrets.io/force-sync".to_owned(), "1".to_owned()), ("z".to_owned(), "z".to_owned())];
    object.metadata.annotations = Some(annotations.into());
    let decision = decide(&object, &[namespace("a", "")], &[before]).unwrap();
    let [(_, Step::Replace(new))] = &decision.steps[..] else { panic!("it is not handed on") };
    let expected = [("external-secrets.io/force-sync", "1"), ("x", "y")];
    assert_eq!(new.metadata.annotations, Some(expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()));
    object.metadata.annotations = None;
    assert_eq!(told(&object, &[namespace("a", "")], &[Arc::new(new.clone())]).unwrap(), ["replace a/all"]);
}

/// ESO writes what it makes with Go's types: durations in their long form, and members that are structs even when they
/// are empty. A change of the text alone would be another generation of the object, for which a generator makes another
/// value.
#[test]
fn what_eso_has_made_is_right() {
    let generated = json!([{ "sourceRef": { "generatorRef": { "kind": "Password", "name": "p" } } }]);
    let windows = json!({ "kind": "allow", "windows": [{ "schedule": "@daily", "duration": "90m" }] });
    let mut spec = json!({ "refreshInterval": "24h", "dataFrom": generated, "syncWindows": windows });
    let object = object(json!({ "namespaces": ["a"], "externalSecretSpec": { "data": null } }));
    let with = |spec: &Value| {
        let mut object = object.clone();
        object.spec.external_secret_spec = serde_json::from_value(spec.clone()).unwrap();
        object
    };
    let (ours, mut theirs) = (with(&spec), (*made(&object, "a")).clone());
    spec["refreshInterval"] = json!("24h0m0s");
    spec["syncWindows"]["windows"][0]["duration"] = json!("1h30m0s");
    spec["secretStoreRef"] = json!({});
    spec["target"] = json!({});
    theirs.spec = serde_json::from_value(spec).unwrap();
    assert_eq!(told(&ours, &[namespace("a", "")], &[Arc::new(theirs)]).unwrap(), ["right a"]);

    let push = |interval: &str| {
        let spec = json!({
            "refreshInterval": interval, "secretStoreRefs": [{ "name": "out" }],
            "selector": { "secret": { "name": "s" } },
        });
        let spec = json!({ "namespaceSelectors": [{}], "pushSecretSpec": spec });
        let mut object = ClusterPushSecret::new("all", serde_json::from_value(spec).unwrap());
        object.metadata.uid = Some("uid".into());
        object
    };
    let theirs = Arc::new(wanted(&push("1h0m0s"), "a"));
    assert_eq!(decide(&push("60m"), &[namespace("a", "")], &[theirs]).unwrap().right, ["a"]);
}
