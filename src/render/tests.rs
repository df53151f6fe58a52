//! From an answer of Vault and gathered templates to the data of a Secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn text<'a>(key: &'a str, text: &'a str) -> TemplateText<'a> {
    TemplateText { key: Some(key).filter(|k| !k.is_empty()), name: if key.is_empty() { "source" } else { key }, text }
}

/// Keys and values that templates make of KV v2 data, and the keys that have no value in VSO.
fn render(templates: &[TemplateText<'_>], data: Value) -> Result<(BTreeMap<String, String>, Vec<String>), String> {
    let transformation =
        TransformationCache::default().get(templates, &[], &[".*".into()]).map_err(|e| e.to_string())?;
    let labels = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
    let answer = json!({ "data": data, "metadata": { "version": 3, "custom_metadata": null } });
    let source = SourceData::nested("kv-v2", Arc::new(answer));
    let input = Input { source: &source, exclude_raw: true, labels: Some(&labels), annotations: None };
    let built = build(&input, &transformation).map_err(|e| e.to_string())?;
    let entries = built.data.as_map().iter();
    Ok((entries.map(|(k, v)| (k.clone(), String::from_utf8(v.clone()).unwrap())).collect(), built.nil))
}

fn one(template: &str, data: Value) -> String {
    let (mut data, _) = render(&[text("out", template)], data).unwrap();
    data.remove("out").unwrap()
}

#[test]
fn what_templates_see() {
    let data = json!({ "user": "u", "n": 12345678901234567890_u64, "deep": { "list": [1, "x"] }, "none": null });
    let one = |template| one(template, data.clone());
    assert_eq!(one("{{ .Secrets.user }}-{{ .Secrets.n }}"), "u-12345678901234567890");
    assert_eq!(one("{{ index .Secrets.deep.list 1 }}"), "x");
    assert_eq!(one("{{ .Secrets.missing }}{{ .Secrets.none }}"), "<no value><no value>");
    assert_eq!(one("{{ .Metadata.version }}{{ .Labels.app }}{{ len .Annotations }}"), "3shop0");
    assert_eq!(one("{{ range $k, $v := .Secrets.deep }}{{ $k }}={{ $v }}{{ end }}"), "list=[1 x]");
    assert_eq!(one("{{ if .WrapData }}wrapped{{ end }}."), ".");
}

#[test]
fn templates_call_each_other_and_the_last_one_of_a_key_wins() {
    let named = |key: Option<&'static str>, name: &'static str, text: &'static str| TemplateText { key, name, text };
    let templates = [
        named(None, "source", "<{{ .Secrets.user }}>"),
        named(Some("a"), "a", "{{ template \"source\" . }}{{ template \"z\" . }}"),
        named(Some("b"), "b1", "first"),
        named(Some("b"), "b2", "second"),
        named(Some("z"), "z", "{{ define \"inner\" }}i{{ end }}{{ template \"inner\" }}"),
    ];
    let (data, nil) = render(&templates, json!({ "user": "u" })).unwrap();
    let expected = [("a", "<u>i"), ("b", "second"), ("z", "i")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(data, BTreeMap::from(expected));
    assert!(nil.is_empty());
}

#[test]
fn a_template_that_prints_nothing_is_the_empty_string() {
    let templates = [text("a", "{{ if .Secrets.none }}x{{ end }}"), text("b", "x"), text("c", "{{ \"\" }}")];
    let (data, nil) = render(&templates, json!({ "user": "u" })).unwrap();
    assert_eq!((data["a"].as_str(), data["b"].as_str(), data["c"].as_str()), ("", "x", ""));
    assert_eq!(nil, ["a", "c"]);
}

#[test]
fn templates_win_over_keys_of_the_source_and_are_not_filtered() {
    let transformation =
        TransformationCache::default().get(&[text("user", "t"), text("_raw", "r")], &["^user$".into()], &[]).unwrap();
    let source = SourceData::flat("kv-v1", Arc::new(json!({ "user": "u", "other": "o" })));
    let mut input = Input { source: &source, exclude_raw: true, labels: None, annotations: None };
    let built = build(&input, &transformation).unwrap().data;
    assert_eq!(built.get("user"), Some(&b"t"[..]));
    assert_eq!(built.get("_raw"), Some(&b"r"[..]));
    assert_eq!(built.as_map().len(), 2);
    input.exclude_raw = false;
    assert_eq!(build(&input, &transformation).unwrap_err(), RenderError::RawKey);
}

#[test]
fn errors_name_the_template_and_the_line_and_no_value() {
    let data = json!({ "password": "hunter2" });
    for (template, expected) in [
        ("a\n{{ if .Secrets.password }}", "parse error: template: out:2: unexpected EOF"),
        ("{{ nonsense }}", "parse error: template: out:1: function \"nonsense\" not defined"),
        ("{{ env \"HOME\" }}", "parse error: template: out:1: function \"env\" not defined"),
        (
            "{{ range .Secrets.password }}{{ end }}",
            "template: out:1:17: executing \"out\" at <.Secrets.password>: range can't iterate over",
        ),
        ("\n{{ .Bogus }}", "template: out:2:"),
        (
            "{{ template \"none\" }}",
            "template: out:1:12: executing \"out\" at <{{template \"none\"}}>: template \"none\" not defined",
        ),
        ("{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}", "template: out:1:"),
    ] {
        let error = render(&[text("out", template)], data.clone()).unwrap_err();
        assert!(error.starts_with(expected), "{template}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_call_of_a_volatile_function_is_known() {
    let volatile = |text: &str| {
        let template = TemplateText { key: Some("a"), name: "a", text };
        TransformationCache::default().get(&[template], &[], &[]).map(|transformation| transformation.is_volatile())
    };
    for call in [".Secrets.user | len", "\"shuffle\"", ".Labels.ago", "add 1 2 }} Chicago {{ 3"] {
        assert_eq!(volatile(&format!("{{{{ {call} }}}}")), Ok(false), "{call}");
    }
    for call in ["bcrypt .Secrets.user", "htpasswd \"a\" \"b\"", "randInt 1 9", "shuffle \"ab\"", "ago .Secrets.at"] {
        assert_eq!(volatile(&format!("{{{{ {call} }}}}")), Ok(true), "{call}");
    }
}

#[test]
fn what_a_kind_adds_is_in_the_secret_and_templates_win_over_it() {
    let raw = Arc::new(json!({ "ca_chain": ["a", "b"], "certificate": "c" }));
    let added = |value: &str| BTreeMap::from([("tls.crt".to_owned(), value.as_bytes().to_vec())]);
    let source = SourceData::flat("pki", raw).with_text("ca_chain", b"a\nb".to_vec()).with_added(added("chain"));
    let built = |templates: &[TemplateText<'_>], excludes: &[String]| {
        let transformation = TransformationCache::default().get(templates, &[], excludes).unwrap();
        let input = Input { source: &source, exclude_raw: true, labels: None, annotations: None };
        let data = build(&input, &transformation).unwrap().data;
        data.as_map().iter().map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(v))).collect::<Vec<_>>()
    };
    assert_eq!(built(&[], &[]), ["ca_chain=a\nb", "certificate=c", "tls.crt=chain"]);
    assert_eq!(built(&[], &[".*".into()]), ["tls.crt=chain"]);
    assert_eq!(built(&[text("tls.crt", "{{ index .Secrets.ca_chain 1 }}")], &[".*".into()]), ["tls.crt=b"]);
}
