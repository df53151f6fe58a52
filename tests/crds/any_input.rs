//! Whatever the schema allows, our types keep it.
//!
//! Members that are empty are left out, as VSO leaves them out when it writes: an empty string, list or map
//! and a `false` without a default mean the same as no member.

use proptest::prelude::*;
use proptest::strategy::{BoxedStrategy, Just};
use serde_json::{Map, Value, json};
use vso::api::crd;

use crate::every_member::rewritten;

/// A value that the schema allows.
fn any_value(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(values) = schema["enum"].as_array() {
        return prop::sample::select(values.clone()).boxed();
    }
    match schema["type"].as_str().unwrap() {
        "boolean" if schema.get("default").is_none() => Just(json!(true)).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            let bound = |name: &str, otherwise: i64| schema[name].as_f64().map_or(otherwise, |f| f as i64);
            (bound("minimum", i64::MIN)..=bound("maximum", i64::MAX)).prop_map(Value::from).boxed()
        }
        "string" => {
            // Without the anchors, which a generator cannot follow.
            let pattern = schema["pattern"].as_str().map(|p| p.trim_matches(['^', '$']));
            let strings = prop::string::string_regex(pattern.unwrap_or("[ -~é☃]{1,12}")).unwrap();
            strings.prop_map(Value::from).boxed()
        }
        "array" => prop::collection::vec(any_value(&schema["items"]), 1..3).prop_map(Value::from).boxed(),
        "object" if schema["additionalProperties"].is_object() => {
            let values = any_value(&schema["additionalProperties"]);
            let maps = prop::collection::btree_map("[a-z]{1,4}", values, 1..3);
            maps.prop_map(|map| Value::Object(map.into_iter().collect())).boxed()
        }
        "object" => any_object(schema),
        other => panic!("{other}"),
    }
}

/// What is required or has a default is there, as it is in what the API server stores; the rest may be.
fn any_object(schema: &Value) -> BoxedStrategy<Value> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut members = Just(Map::new()).boxed();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let always = required.contains(&name.as_str());
        let name = name.clone();
        let value = if always || member.get("default").is_some() {
            any_value(member).prop_map(Some).boxed()
        } else {
            prop::option::of(any_value(member)).boxed()
        };
        let both = (members, value).prop_map(move |(mut map, value)| {
            if let Some(value) = value.filter(|v| always || *v != json!({})) {
                map.insert(name.clone(), value);
            }
            map
        });
        members = both.boxed();
    }
    members.prop_map(Value::Object).boxed()
}

#[test]
fn what_the_schema_allows_is_kept() {
    for definition in crd::all() {
        let kind = &definition.spec.names.kind;
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let spec = any_value(&schema["openAPIV3Schema"]["properties"]["spec"]);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
        let check = |spec: Value| {
            let object = json!({
                "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind, "metadata": { "name": "a" }, "spec": spec,
            });
            prop_assert_eq!(rewritten(&object).to_string(), object.to_string());
            Ok(())
        };
        runner.run(&spec, check).unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}
