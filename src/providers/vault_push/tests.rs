use std::sync::Arc;

use super::*;
use crate::external_secret::push::{Payload, PushSource};

fn row(key: Option<&str>, property: Option<&str>, data: &[(&str, &str)]) -> PushRow {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
    let data = Arc::new(data);
    let entry = json!({ "match": { "secretKey": key, "remoteRef": { "remoteKey": "k", "property": property } } });
    let payload = match key {
        Some(key) => Payload::one(&data, key).unwrap(),
        None => Payload::all(&data),
    };
    PushRow { entry: serde_json::from_value(entry).unwrap(), payload, source: Arc::new(PushSource::default()) }
}

fn holding(members: Value) -> Found {
    Found { members: members.as_object().cloned(), version: 3, custom_metadata: Map::new() }
}

fn made(found: &Found, rows: &[PushRow], only_new: bool) -> (Value, bool, Vec<Result<Pushed, String>>) {
    let rows: Vec<&PushRow> = rows.iter().collect();
    let Wanted { members, changed, rows } = wanted(found, &rows, only_new, true);
    (Value::Object(members), changed, rows)
}

#[test]
fn a_property_is_put_beside_others_and_all_keys_in_the_place_of_others() {
    let found = holding(json!({ "a": "old", "b": "stays", "n": 1 }));
    let one = |value: &str| row(Some("a"), Some("a"), &[("a", value)]);
    let (members, changed, rows) = made(&found, &[one("new")], false);
    assert_eq!((members, changed, rows), (json!({ "a": "new", "b": "stays", "n": 1 }), true, vec![Ok(Pushed::Done)]));
    assert!(!made(&found, &[one("old")], false).1, "nothing is different");
    let (members, changed, _) = made(&found, &[row(None, None, &[("x", "1"), ("y", "2")])], false);
    assert_eq!((members, changed), (json!({ "x": "1", "y": "2" }), true));
    let both = [one("new"), row(None, None, &[("x", "1")])];
    assert_eq!(made(&found, &both, false).0, json!({ "x": "1", "a": "new" }), "all of it comes first");
    let object = row(Some("j"), None, &[("j", r#"{"deep":{"n":1.50}}"#)]);
    assert_eq!(made(&Found::default(), &[object], false).0.to_string(), r#"{"deep":{"n":1.50}}"#);
    let bundle = row(None, Some("all"), &[("x", "1"), ("y", "<2>")]);
    assert_eq!(made(&Found::default(), &[bundle], false).0, json!({ "all": r#"{"x":"1","y":"<2>"}"# }));
}

#[test]
fn numbers_that_vault_has_made_floats_are_no_change() {
    let found = holding(json!({ "n": 1000, "deep": [{ "m": 1.5 }] }));
    let pushed = |text: &str| row(Some("j"), None, &[("j", text)]);
    assert!(!made(&found, &[pushed(r#"{"n":1e3,"deep":[{"m":1.50}]}"#)], false).1);
    assert!(made(&found, &[pushed(r#"{"n":1001,"deep":[{"m":1.5}]}"#)], false).1);
    assert!(made(&found, &[pushed(r#"{"n":1000,"deep":[{"m":1.5},0]}"#)], false).1);
}

#[test]
fn what_is_there_stays_where_only_new_secrets_are_wanted() {
    let found = holding(json!({ "a": "old", "none": null }));
    let rows = [row(Some("a"), Some("a"), &[("a", "new")]), row(Some("a"), Some("none"), &[("a", "new")])];
    let (members, changed, rows) = made(&found, &rows, true);
    assert_eq!((members, changed), (json!({ "a": "old", "none": "new" }), true));
    assert_eq!(rows, [Ok(Pushed::Existed), Ok(Pushed::Done)]);
    assert!(!made(&found, &[row(None, None, &[("x", "1")])], true).1);
}

#[test]
fn one_row_that_fails_holds_up_no_other() {
    let found = holding(json!({ "object": {} }));
    let rows = [
        row(Some("a"), Some("object"), &[("a", "secret-1")]),
        row(Some("a"), None, &[("a", "secret-1")]),
        row(Some("a"), Some("good"), &[("a", "1")]),
    ];
    let (members, changed, results) = made(&found, &rows, false);
    assert_eq!((members, changed), (json!({ "object": {}, "good": "1" }), true));
    let texts: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].starts_with("error converting object to string"), "{texts:?}");
    assert!(texts[1].contains("secret key \"a\" is no JSON object"), "{texts:?}");
    assert!(!texts.concat().contains("secret-1"));
    let large = "x".repeat(MAX_PUSH_BYTES);
    let rows = [row(Some("a"), Some("a"), &[("a", &large)])];
    assert!(made(&found, &rows, false).2[0].is_err());
}

#[test]
fn the_answer_says_what_is_there_and_whose_it_is() {
    let metadata = json!({ "version": 4, "custom_metadata": { "managed-by": "external-secrets", "team": "x" } });
    let secret = found(&json!({ "data": { "a": "1" }, "metadata": metadata }), true, "p").unwrap();
    assert!(secret.is_marked() && secret.version == 4 && secret.members.is_some());
    assert_eq!(secret.marked()["team"], "x", "what others have put there stays");
    let deleted = found(&json!({ "data": null, "metadata": { "version": 4 } }), true, "p").unwrap();
    assert_eq!(deleted, Found { version: 4, ..Found::default() });
    let first = json!({ "a": "1", "custom_metadata": { "managed-by": "external-secrets" } });
    let first = found(&first, false, "p").unwrap();
    assert!(first.is_marked() && first.members.unwrap().len() == 1);
    for wrong in [json!({ "a": "1" }), json!(null), json!({ "data": "x", "metadata": { "version": 1 } })] {
        assert!(found(&wrong, true, "p").is_err(), "{wrong}");
    }
}

#[test]
fn what_was_not_pushed_is_left() {
    let rest = |members: Value, properties: &[Option<&str>], kept: &[&str]| {
        let entries: Vec<PushRow> = properties.iter().map(|p| row(Some("a"), *p, &[("a", "1")])).collect();
        let entries: Vec<&PushData> = entries.iter().map(|row| &row.entry).collect();
        let kept = kept.iter().map(|property| (*property).to_owned()).collect();
        rest(&holding(members), &entries, &kept).map(Value::Object)
    };
    assert_eq!(rest(json!({ "a": "1", "b": "2" }), &[Some("a")], &[]), Some(json!({ "b": "2" })));
    assert_eq!(rest(json!({ "a": "1", "b": "2" }), &[Some("a"), Some("b")], &[]), None);
    assert_eq!(rest(json!({ "a": "1" }), &[Some("b")], &[]), Some(json!({ "a": "1" })));
    assert_eq!(rest(json!({ "a": "1", "b": "2" }), &[None], &[]), None);
    assert_eq!(rest(json!({ "a": "1", "b": "2" }), &[None], &["b"]), Some(json!({ "b": "2" })));
    assert_eq!(rest(json!({ "a": "1" }), &[Some("a")], &["b"]), Some(json!({})), "it is about to be pushed");
}
