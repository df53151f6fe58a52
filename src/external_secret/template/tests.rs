//! From a template and the data of the stores to a Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::gocompat::template::{Environment, Limits};

fn decode(strategy: Option<&DecodingStrategy>, value: Vec<u8>) -> Result<Vec<u8>, String> {
    match strategy {
        Some(DecodingStrategy::Base64) => STANDARD.decode(value).map_err(|_| "illegal base64 data".to_owned()),
        _ => Ok(value),
    }
}

fn data(entries: &[(&str, &str)]) -> Data {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

fn fetched() -> Fetched {
    let config = data(&[
        ("app.properties", "user={{ .user }}"),
        ("map", "{{ .user }}: one\nother: {{ .password | quote }}\n"),
        ("bad", "{{ .user"),
    ]);
    let secret =
        data(&[("tpl", "s3cr3t-{{ .user }}"), ("bad", "x\n{{ hunter2 \"hunter2\" }}"), ("fails", "{{ .hunter2 }}")]);
    [((SourceKind::ConfigMap, "cm".to_owned()), config), ((SourceKind::Secret, "sec".to_owned()), secret)].into()
}

fn render_with(template: serde_json::Value, data: &Data) -> Result<Rendered, TemplateError> {
    let template: Template = serde_json::from_value(template).unwrap();
    let compiled = CompiledTemplate::new(&template, &fetched())?;
    compiled.render(&mut Context::new(&Limits::default(), &Environment::default()), data, decode)
}

fn render(template: serde_json::Value) -> Result<Rendered, TemplateError> {
    render_with(template, &data(&[("user", "bob"), ("password", "hunter2"), ("a-b", "dash")]))
}

fn text(data: &Data) -> BTreeMap<&str, &str> {
    data.iter().map(|(key, value)| (key.as_str(), std::str::from_utf8(value).unwrap())).collect()
}

#[test]
fn what_templates_see() {
    let one = |template: &str| {
        let rendered = render(json!({ "data": { "out": template } })).map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8(rendered.data["out"].clone()).unwrap())
    };
    assert_eq!(one("{{ .user }}:{{ .password }}").unwrap(), "bob:hunter2");
    assert_eq!(one("{{ index . \"a-b\" }}").unwrap(), "dash");
    assert_eq!(one("{{ printf \"%T\" . }}").unwrap(), "map[string]string");
    assert_eq!(
        one("{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}").unwrap(),
        "a-b=dash;password=hunter2;user=bob;"
    );
    assert_eq!(one("{{ .user | upper | b64enc }}").unwrap(), "Qk9C");
    let missing = one("{{ .nope }}").unwrap_err();
    assert_eq!(
        missing,
        "unable to execute template at key out: template: out:1:3: executing \"out\" at <.nope>: map has no entry for key \
         \"nope\""
    );
    let unknown = one("{{ env \"HOME\" }}").unwrap_err();
    assert_eq!(unknown, "unable to parse template at key out: template: out:1: function \"env\" not defined");
    for name in ["expandenv", "getHostByName", "nonsense", "getSecretKey"] {
        let error = one(&format!("{{{{ {name} .user }}}}")).unwrap_err();
        assert!(error.contains(&format!("function {name:?} not defined")), "{error}");
    }
}

#[test]
fn bytes_stay_bytes() {
    let bytes = vec![0xff, 0x00, 0x80];
    let source = Data::from([("bin".to_owned(), bytes.clone())]);
    let rendered = render_with(json!({ "data": { "out": "{{ .bin }}", "len": "{{ len .bin }}" } }), &source).unwrap();
    assert_eq!(rendered.data["out"], bytes);
    assert_eq!(rendered.data["len"], b"3");
}

#[test]
fn what_comes_later_wins() {
    let rendered = render(json!({
        "type": "kubernetes.io/basic-auth",
        "mergePolicy": "Merge",
        "templateFrom": [
            { "literal": "user: literal\na: literal\nb: literal" },
            { "literal": "b: second" },
        ],
        "data": { "a": "data" },
    }))
    .unwrap();
    assert_eq!(
        text(&rendered.data),
        BTreeMap::from([("a", "data"), ("a-b", "dash"), ("b", "second"), ("password", "hunter2"), ("user", "literal")])
    );
    assert_eq!(rendered.type_.as_deref(), Some("kubernetes.io/basic-auth"));
}

#[test]
fn the_data_of_the_stores_stays_unless_templates_replace_it() {
    let keys = |template| render(template).unwrap().data.into_keys().collect::<Vec<_>>();
    let all = ["a-b", "password", "user"];
    assert_eq!(keys(json!({})), all);
    assert_eq!(keys(json!({ "metadata": { "labels": { "l": "{{ .user }}" } } })), all);
    assert_eq!(keys(json!({ "data": { "x": "" } })), ["x"]);
    assert_eq!(keys(json!({ "mergePolicy": "Replace", "data": { "x": "" } })), ["x"]);
    assert_eq!(keys(json!({ "mergePolicy": "Merge", "data": { "x": "" } })), ["a-b", "password", "user", "x"]);
    assert_eq!(keys(json!({ "templateFrom": [{ "target": "labels", "literal": "l: v" }] })), Vec::<String>::new());
}

#[test]
fn templates_from_other_objects() {
    let rendered = render(json!({ "templateFrom": [
        { "configMap": { "name": "cm", "items": [
            { "key": "app.properties" }, { "key": "map", "templateAs": "KeysAndValues" } ] } },
        { "secret": { "name": "sec", "items": [{ "key": "tpl", "templateAs": "Values" }] } },
        { "target": "aNNotations", "literal": "note: {{ .user }}\nnumber: 1" },
        { "target": "LABELS", "configMap": { "name": "cm", "items": [{ "key": "app.properties" }] } },
        { "literal": "decoded: aGk=", "valuesDecodingStrategy": "Base64" },
    ], "metadata": { "labels": { "l": "{{ .user }}" }, "annotations": { "note": "{{ .user }}2" } } }))
    .unwrap();
    assert_eq!(
        text(&rendered.data),
        BTreeMap::from([
            ("app.properties", "user=bob"),
            ("bob", "one"),
            ("decoded", "hi"),
            ("other", "hunter2"),
            ("tpl", "s3cr3t-bob"),
        ])
    );
    let labels = [("app.properties", "user=bob"), ("l", "bob")];
    assert_eq!(rendered.labels, labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    let annotations = [("note", "bob2"), ("number", "1")];
    assert_eq!(rendered.annotations, annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    let template: Template = serde_json::from_value(json!({ "templateFrom": [
        { "configMap": { "name": "a", "items": [] } }, { "literal": "x" }, { "secret": { "name": "b", "items": [] } },
        { "configMap": { "name": "a", "items": [] }, "secret": { "name": "a", "items": [] } },
    ] }))
    .unwrap();
    let expected = [(SourceKind::ConfigMap, "a"), (SourceKind::Secret, "b"), (SourceKind::Secret, "a")];
    assert_eq!(sources(&template), expected.map(|(kind, name)| (kind, name.to_owned())));
}

#[test]
fn errors_say_which_template_and_no_value() {
    for (template, expected) in [
        (json!({ "data": { "k": "{{ .user" } }), "unable to parse template at key k: template: k:1: unclosed action"),
        (
            json!({ "data": { "k": "{{ fail .password }}" } }),
            "unable to execute template at key k: template: k:1:3: executing \"k\" at <fail .password>: error calling fail:",
        ),
        (
            json!({ "data": { "k": "{{ atoi }}" } }),
            "unable to execute template at key k: template: k:1:3: executing \"k\" at <atoi>: wrong number of args",
        ),
        (
            json!({ "templateFrom": [{}, { "literal": "{{ .password }}" }] }),
            "could not unmarshal template to 'map[string][]byte' at key templateFrom[1].literal: error unmarshaling JSON: \
             while decoding JSON: json: cannot unmarshal string into Go value of type map[string]string",
        ),
        (
            json!({ "templateFrom": [{ "literal": "y: 1\non: 2" }] }),
            "could not unmarshal template to 'map[string][]byte' at key templateFrom[0].literal: key \"true\" is there more \
             than once",
        ),
        (
            json!({ "templateFrom": [{ "literal": "{{ .password }}: 1\n{{ .password }}: 2" }] }),
            "could not unmarshal template to 'map[string][]byte' at key templateFrom[0].literal: a key is there more than \
             once",
        ),
        (
            json!({ "templateFrom": [{ "literal": "{{ .nope }}" }] }),
            "unable to execute template at key templateFrom[0].literal: template: templateFrom[0].literal:1:3: ",
        ),
        (
            json!({ "templateFrom": [{ "configMap": { "name": "cm", "items": [{ "key": "no" }] } }] }),
            "error in configmap cm: missing key no",
        ),
        (
            json!({ "templateFrom": [{ "secret": { "name": "gone", "items": [{ "key": "no" }] } }] }),
            "error in secret gone: missing key no",
        ),
        (
            json!({ "templateFrom": [{ "configMap": { "name": "cm", "items": [{ "key": "bad" }] } }] }),
            "unable to parse template at key bad: template: bad:1: unclosed action",
        ),
        (
            json!({ "templateFrom": [{ "secret": { "name": "sec", "items": [{ "key": "bad" }] } }] }),
            "unable to parse template at key bad: template: bad:2: the error is not shown, since the template stands in a \
             Secret",
        ),
        (
            json!({ "templateFrom": [{ "secret": { "name": "sec", "items": [{ "key": "fails" }] } }] }),
            "unable to execute template at key fails: template: fails:1:3: the error is not shown, since the template \
             stands in a Secret",
        ),
        (
            json!({ "templateFrom": [{ "target": "spec", "literal": "a: b" }] }),
            "templateFrom target \"spec\" is none of Data, Annotations and Labels",
        ),
        (
            json!({ "templateFrom": [{ "configMap": { "name": "cm", "items": [{ "key": "map", "templateAs": "No" }] } }] }),
            "unknown scope \"No\": expected 'Values' or 'KeysAndValues'",
        ),
        (
            json!({ "templateFrom": [{ "literal": "a: '*'", "valuesDecodingStrategy": "Base64" }] }),
            "unable to decode the value of key a: illegal base64 data",
        ),
    ] {
        let error = render(template.clone()).expect_err(&template.to_string()).to_string();
        assert!(error.starts_with(expected), "{template}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn all_templates_of_an_object_share_one_budget() {
    let loops = |count: usize| {
        let templates: serde_json::Map<_, _> = (0..count)
            .map(|i| (format!("k{i}"), json!("{{ range until 20000 }}{{ add 1 1 | len }}{{ end }}")))
            .collect();
        render(json!({ "data": templates }))
    };
    assert!(loops(1).is_err(), "len of a number");
    let many: serde_json::Map<_, _> =
        (0..60).map(|i| (format!("k{i}"), json!("{{ range until 20000 }}{{ $x := add 1 1 }}{{ end }}"))).collect();
    let error = render(json!({ "data": many })).unwrap_err().to_string();
    assert!(error.contains("too many steps") || error.contains("takes too long"), "{error}");
    let tokens: serde_json::Map<_, _> = (0..20).map(|i| (format!("k{i}"), json!("{{ 1 }}".repeat(1000)))).collect();
    let error = render(json!({ "data": tokens })).unwrap_err().to_string();
    assert!(error.starts_with("unable to parse template at key"), "{error}");
    let long: serde_json::Map<_, _> = (0..3).map(|i| (format!("k{i}"), json!("x".repeat(1 << 20)))).collect();
    let error = render(json!({ "data": long })).unwrap_err().to_string();
    assert!(error.contains("longer than 2097152 bytes"), "{error}");
}

#[test]
fn a_call_of_a_volatile_function_is_known() {
    let volatile = |text: &str| {
        let template: Template = serde_json::from_value(json!({ "metadata": { "labels": { "l": text } } })).unwrap();
        CompiledTemplate::new(&template, &fetched()).unwrap().is_volatile()
    };
    for text in ["{{ now }}", "{{ bcrypt .x }}", "{{ .x | date \"2006\" }}"] {
        assert!(volatile(text), "{text}");
    }
    for text in ["{{ .now }}", "{{ toDate \"2006\" .x | unixEpoch }}"] {
        assert!(!volatile(text), "{text}");
    }
}

#[test]
fn equal_templates_are_parsed_once_while_they_are_in_use() {
    let cache = TemplateCache::default();
    let template = |name: &str| -> Template {
        serde_json::from_value(
            json!({ "templateFrom": [{ "configMap": { "name": name, "items": [{ "key": "map" }] } }] }),
        )
        .unwrap()
    };
    let mut fetched = fetched();
    let one = cache.get(&template("cm"), &fetched).unwrap();
    assert!(std::sync::Arc::ptr_eq(&one, &cache.get(&template("cm"), &fetched).unwrap()));
    fetched.get_mut(&(SourceKind::ConfigMap, "cm".to_owned())).unwrap().insert("map".into(), b"x".to_vec());
    assert!(!std::sync::Arc::ptr_eq(&one, &cache.get(&template("cm"), &fetched).unwrap()), "the ConfigMap has changed");
    drop(one);
    assert!(cache.in_use(&template("cm"), &super::tests::fetched()).is_none());
}
