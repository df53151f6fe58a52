use std::sync::Arc;

use super::*;
use crate::external_secret::push::{Payload, PushSource};

fn row(key: Option<&str>, property: Option<&str>, source: &PushSource) -> PushRow {
    let data = Arc::new(source.data.clone());
    let entry = json!({ "match": { "secretKey": key, "remoteRef": { "remoteKey": "k", "property": property } } });
    let payload = match key {
        Some(key) => Payload::one(&data, key).unwrap(),
        None => Payload::all(&data),
    };
    PushRow { entry: serde_json::from_value(entry).unwrap(), payload, source: Arc::new(source.clone()) }
}

fn data(entries: &[(&str, &str)]) -> Data {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

fn source(entries: &[(&str, &str)]) -> PushSource {
    PushSource { data: data(entries), ..PushSource::default() }
}

fn made(known: Option<&Content>, rows: &[PushRow], only_new: bool) -> Wanted {
    let metadata = PushMetadata::default();
    wanted(known, rows.iter().map(|row| (row, &metadata)), only_new)
}

fn holding(entries: &[(&str, &str)], mark: Option<&str>) -> Content {
    let annotations = mark.map(|mark| (MARK.to_owned(), mark.to_owned())).into_iter().collect();
    Content { data: data(entries), annotations, type_: OPAQUE.to_owned(), ..Content::default() }
}

#[test]
fn a_secret_is_made_with_a_mark_and_then_left_alone() {
    let whole = [row(None, None, &source(&[("a", "1"), ("b", "2")]))];
    let first = made(None, &whole, false);
    assert!(first.changed);
    assert_eq!(first.content, holding(&[("a", "1"), ("b", "2")], Some(MADE)));
    assert!(!made(Some(&first.content), &whole, false).changed);
    let less = [row(None, None, &source(&[("a", "1")]))];
    let second = made(Some(&first.content), &less, false);
    assert_eq!(second.content, holding(&[("a", "1")], Some(MADE)), "a key that is gone goes");
    let foreign = holding(&[("x", "y")], None);
    assert_eq!(made(Some(&foreign), &less, false).content, holding(&[("a", "1")], Some(CHANGED)));
    let equal = holding(&[("a", "1")], None);
    assert!(!made(Some(&equal), &less, false).changed, "a mark alone is no reason to write");
    assert!(!made(Some(&foreign), &less, true).changed, "it exists");
}

#[test]
fn a_key_is_put_beside_others_whatever_the_type() {
    let tls = Content { type_: "kubernetes.io/tls".to_owned(), ..holding(&[("tls.crt", "c")], None) };
    let of_source = source(&[("a", "1"), ("b", "2")]);
    let rows = [row(Some("a"), Some("a"), &of_source), row(None, Some("all"), &of_source)];
    let wanted = made(Some(&tls), &rows, false);
    let expected = [("a", "1"), ("all", r#"{"a":"1","b":"2"}"#), ("tls.crt", "c")];
    assert_eq!(wanted.content.data, data(&expected));
    assert_eq!(wanted.content.type_, "kubernetes.io/tls");
    let error = made(Some(&tls), &[row(None, None, &of_source)], false).rows.remove(0).unwrap_err();
    assert!(error.contains("of type kubernetes.io/tls, which cannot become Opaque"), "{error}");
}

#[test]
fn a_key_of_a_credential_is_put_beside_others() {
    let token = PushSource { type_: Some(SERVICE_ACCOUNT_TOKEN.to_owned()), ..source(&[("token", "t")]) };
    let [key, whole] = [row(Some("token"), Some("token"), &token), row(None, None, &token)];
    let known = holding(&[("x", "y")], None);
    let beside = made(Some(&known), std::slice::from_ref(&key), false);
    assert_eq!(beside.rows, [Ok(Pushed::Done)]);
    assert_eq!(beside.content.data, data(&[("token", "t"), ("x", "y")]));
    assert_eq!(beside.content.type_, OPAQUE);
    for (known, row) in [(None, key), (Some(&known), whole)] {
        assert!(made(known, &[row], false).rows[0].as_ref().unwrap_err().contains("credential of its own cluster"));
    }
}

#[test]
fn one_row_that_fails_holds_up_no_other() {
    let of_source = source(&[("a", "secret-1")]);
    let token = PushSource { type_: Some(SERVICE_ACCOUNT_TOKEN.to_owned()), ..of_source.clone() };
    let rows = [
        row(Some("a"), None, &of_source),
        row(Some("a"), Some("x/y"), &of_source),
        row(Some("a"), Some("token"), &token),
        row(Some("a"), Some("good"), &of_source),
    ];
    let wanted = made(None, &rows, false);
    assert_eq!(wanted.content.data, data(&[("good", "secret-1")]));
    let texts: Vec<String> = wanted.rows.into_iter().filter_map(Result::err).collect();
    assert_eq!(texts[0], "requires property in RemoteRef to push secret value if secret key is defined");
    assert_eq!(texts[1], "\"x/y\" cannot be a key of a Secret");
    assert!(texts[2].contains("credential of its own cluster"), "{texts:?}");
    assert!(!texts.concat().contains("secret-1"));
}

#[test]
fn only_what_was_pushed_is_taken_back() {
    let take = |known: &Content, properties: &[Option<&str>], kept: &[&str]| {
        let kept = kept.iter().map(|property| (*property).to_owned()).collect();
        let of_source = source(&[("a", "1")]);
        let rows: Vec<PushRow> = properties.iter().map(|p| row(Some("a"), *p, &of_source)).collect();
        rest(known, &rows.iter().map(|row| &row.entry).collect::<Vec<_>>(), &kept)
    };
    let taken = |known: &Content, properties: &[Option<&str>]| take(known, properties, &[]);
    let both = [("a", "1"), ("b", "2")];
    assert_eq!(taken(&holding(&both, None), &[None]), Rest::AsItIs, "another client has made it");
    assert_eq!(taken(&holding(&both, Some(MADE)), &[None]), Rest::Nothing);
    assert_eq!(taken(&holding(&both, Some(CHANGED)), &[None]), Rest::AsItIs);
    let left = |mark| Rest::Content(holding(&[("b", "2")], Some(mark)));
    assert_eq!(taken(&holding(&both, Some(MADE)), &[Some("a")]), left(MADE));
    assert_eq!(taken(&holding(&both, Some(CHANGED)), &[Some("a")]), left(CHANGED));
    assert_eq!(taken(&holding(&both, Some(MADE)), &[Some("a"), Some("b")]), Rest::Nothing);
    assert_eq!(taken(&holding(&both, Some(MADE)), &[Some("c")]), Rest::AsItIs);
    let emptied = Rest::Content(holding(&[], Some(CHANGED)));
    assert_eq!(taken(&holding(&[("a", "1")], Some(CHANGED)), &[Some("a")]), emptied);
    // What is pushed still keeps the Secret, even if it is not there yet.
    assert_eq!(take(&holding(&both, Some(MADE)), &[None], &["b"]), left(MADE));
    assert_eq!(take(&holding(&both, Some(CHANGED)), &[None], &["b"]), Rest::AsItIs);
    let emptied = Rest::Content(holding(&[], Some(MADE)));
    assert_eq!(take(&holding(&[("a", "1")], Some(MADE)), &[Some("a")], &["b"]), emptied);
}
