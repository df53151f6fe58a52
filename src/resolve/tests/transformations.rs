//! What is gathered for a destination, in which order, and what is wrong with it.

use super::*;
use crate::api::Transformation;

fn with(mut world: World, id: &str, valid: Option<bool>, spec: serde_json::Value) -> World {
    let (namespace, name) = id.split_once('/').unwrap();
    let mut object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    if let Some(valid) = valid {
        object["status"] = json!({"valid": valid, "error": ""});
    }
    let object = serde_json::from_value(with_type(object, "SecretTransformation")).unwrap();
    world.transformations.insert(ObjectRef::new(namespace, name), Arc::new(object));
    world
}

fn gather(spec: serde_json::Value, world: &World) -> Result<ResolvedTransformation, PlanError> {
    let spec: Transformation = serde_json::from_value(spec).unwrap();
    transformation(&spec, &ObjectRef::new("app", "s"), world)
}

/// `key=name` of each template, in order.
fn names(gathered: &ResolvedTransformation) -> Vec<String> {
    gathered.templates.iter().map(|t| format!("{}={}", t.key.as_deref().unwrap_or(""), t.name)).collect()
}

fn error(spec: serde_json::Value, world: &World) -> String {
    match gather(spec, world) {
        Err(PlanError::Transformation(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> serde_json::Value {
    json!({ "text": text })
}

#[test]
fn names_and_order() {
    let world = with(
        World::default(),
        "team/st",
        Some(true),
        json!({
            "templates": { "b": text("B"), "z": { "name": "own", "text": "Z" } },
            "sourceTemplates": [{ "name": "helper", "text": "H" }, text("H1")],
        }),
    );
    let refs = json!([{ "namespace": "team", "name": "st" }]);
    let inline = json!({ "a": text("A"), "c": { "name": "named", "text": "C" } });
    let all = gather(json!({ "templates": inline, "transformationRefs": refs }), &world).unwrap();
    assert_eq!(names(&all), ["=helper", "=team/st/1", "a=app/s/a", "b=team/st/b", "c=named", "z=own"]);
    assert_eq!(all.templates[0].text, "H");

    let some = json!([{ "namespace": "team", "name": "st", "templateRefs": [{ "name": "z", "keyOverride": "y" }, { "name": "b" }] }]);
    let some = gather(json!({ "transformationRefs": some }), &world).unwrap();
    assert_eq!(names(&some), ["=helper", "=team/st/1", "b=team/st/b", "y=own"]);

    // A template whose key is the name of one that is there already is left out.
    let named = json!({ "a": { "name": "b", "text": "A" } });
    let named = gather(json!({ "templates": named, "transformationRefs": refs }), &world).unwrap();
    assert_eq!(names(&named), ["=helper", "=team/st/1", "a=b", "z=own"]);

    // Of templates for one key the one with the larger name comes last and wins.
    let same = gather(json!({ "templates": { "b": text("mine") }, "transformationRefs": refs }), &world).unwrap();
    assert_eq!(names(&same), ["=helper", "=team/st/1", "b=app/s/b", "b=team/st/b", "z=own"]);
}

#[test]
fn filters_are_united_and_sorted() {
    let world = with(World::default(), "app/st", Some(true), json!({ "includes": ["b", "a"], "excludes": ["x"] }));
    let filters = |reference: serde_json::Value| {
        let spec = json!({ "includes": ["c", "a"], "excludes": ["y"], "transformationRefs": [reference] });
        let all = gather(spec, &world).unwrap();
        (all.includes.join(""), all.excludes.join(""))
    };
    assert_eq!(filters(json!({ "name": "st" })), ("abc".into(), "xy".into()));
    assert_eq!(filters(json!({ "name": "st", "ignoreIncludes": true })), ("ac".into(), "xy".into()));
    assert_eq!(filters(json!({ "name": "st", "ignoreExcludes": true })), ("abc".into(), "y".into()));
}

#[test]
fn what_does_not_fit_is_named_all_at_once() {
    let templates = json!({ "templates": { "a": { "name": "n", "text": "" } } });
    let world = with(World::default(), "app/st", Some(true), templates.clone());
    let world = with(world, "app/bad", Some(false), templates.clone());
    let world = with(world, "app/new", None, json!({}));
    let kind = "secrets.hashicorp.com/v1beta1, Kind=SecretTransformation";
    let refs = |refs: serde_json::Value| error(json!({ "transformationRefs": refs }), &world);
    assert_eq!(
        refs(json!([{ "name": "st" }, { "name": "st", "namespace": "app" }])),
        "duplicate SecretTransformation ref app/st"
    );
    assert_eq!(refs(json!([{ "name": "bad" }])), format!("app/bad is in an invalid state, {kind}"));
    assert_eq!(refs(json!([{ "name": "new" }])), format!("app/new is in an invalid state, {kind}"));
    assert_eq!(
        refs(json!([{ "name": "st", "templateRefs": [{ "name": "b" }] }])),
        format!("template \"b\" not found in object app/st, {kind}")
    );
    assert_eq!(
        refs(json!([{ "name": "gone" }, { "name": "bad" }])),
        format!("SecretTransformation app/gone does not exist\napp/bad is in an invalid state, {kind}")
    );
    let inline = json!({ "k": { "name": "n", "text": "" } });
    assert_eq!(
        error(json!({ "templates": inline, "transformationRefs": [{ "name": "st" }] }), &world),
        "duplicate template name \"n\""
    );
    assert_eq!(
        refs(json!([{ "name": "st", "namespace": "elsewhere" }])),
        "SecretTransformation elsewhere/st is in a namespace that this operator does not watch"
    );
}
