use proptest::prelude::*;

use super::*;
use crate::gocompat::template::{Environment, Limits};

fn context() -> Context {
    Context::new(&Limits::default(), &Environment::default())
}

fn found(document: &str, property: &str) -> Option<String> {
    match find(&mut context(), document.as_bytes(), property) {
        Ok(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Err(PropertyError::Missing(_)) => None,
        Err(error) => panic!("{property}: {error}"),
    }
}

#[test]
fn what_is_missing_unsupported_or_no_json_says_so() {
    let error =
        |document: &str, property: &str| find(&mut context(), document.as_bytes(), property).unwrap_err().to_string();
    assert_eq!(error(r#"{"a":1}"#, "b\"c"), r#"cannot find secret data for key: "b\"c""#);
    assert_eq!(error("hunter2", "a"), r#"cannot find secret data for key: "a": the value is not JSON"#);
    for property in ["!{x}.a", "!{x}|@keys", "!\"x", "s.@fromstr.a", "s.@fromstr|@values", "[!nan].0"] {
        let text = error(r#"{"s":"{x}"}"#, property);
        assert!(text.starts_with("unsupported property expression: "), "{property}: {text}");
    }
    let long = "a.".repeat(600);
    assert!(error("{}", &long).starts_with("unsupported property expression: "));
}

#[test]
fn a_name_that_only_looks_like_an_operator_is_a_name() {
    assert_eq!(found(r#"{"@type":"x","!":"y","a":{"@id":1}}"#, "@type").as_deref(), Some("x"));
    assert_eq!(found(r#"{"@type":"x","!":"y","a":{"@id":1}}"#, "!").as_deref(), Some("y"));
    assert_eq!(found(r#"{"@type":"x","!":"y","a":{"@id":1}}"#, "a.@id").as_deref(), Some("1"));
}

#[test]
fn the_form_of_a_value_in_the_document_is_kept() {
    let document = r#" { "o" : { "b":1, "a" : 2.50 } , "n": -1.50, "i": 007 } "#;
    assert!(find(&mut context(), document.as_bytes(), "o").is_err(), "no JSON: a leading zero");
    let document = r#" { "o" : { "b":1, "a" : 2.50 } , "n": -1.50, "i": 7, "big": 1e999 } "#;
    assert_eq!(found(document, "o").as_deref(), Some(r#"{ "b":1, "a" : 2.50 }"#));
    assert_eq!(found(document, "n").as_deref(), Some("-1.5"));
    assert_eq!(found(document, "i").as_deref(), Some("7"));
    assert_eq!(found(document, "big").as_deref(), Some("+Inf"));
}

/// Each of them would take hours if it took time that grows with the square or more.
#[test]
fn hostile_expressions_and_documents_end() {
    let wide = format!("[{}1]", r#"{"a":[1,2]},"#.repeat(80_000));
    let deep = format!("{}1{}", "{\"a\":".repeat(128), "}".repeat(128));
    let long_key = format!("{{\"{}\":1}}", "a".repeat(1 << 20));
    let stages = "#(a)#|".repeat(146) + "#";
    let stars = "*a".repeat(400) + "b";
    let nested = "#(a.".repeat(200);
    let (wildcards, counts) = ("*.".repeat(500) + "b", "#.".repeat(500) + "b");
    for (document, property) in
        [(&wide, &stages), (&long_key, &stars), (&wide, &nested), (&deep, &wildcards), (&wide, &counts)]
    {
        let _ = find(&mut context(), document.as_bytes(), property);
    }
    let stars = find(&mut context(), long_key.as_bytes(), &stars).unwrap_err();
    assert!(matches!(stars, PropertyError::Limit { .. }), "{stars}");
    let limits = Limits { time: std::time::Duration::from_secs(600), ..Limits::default() };
    let patient = &mut Context::new(&limits, &Environment::default());
    assert!(find(patient, wide.as_bytes(), "#(a.#(>1))#.a.#").is_ok(), "a large document is none too many");
    let (all, each) = ("[@this,@this]|".repeat(70) + "#", "@dig:".repeat(200) + "#");
    let (quotes, brackets) = ("@tostr|".repeat(140) + "@tostr", "[".repeat(500) + "@this" + &"]".repeat(500));
    let indent = format!("@pretty:{{\"indent\":\"{}\"}}", " ".repeat(990));
    let (literals, objects) = (format!("#.!\"{}\"", "x".repeat(1000)), "#.[@this,@this]|".repeat(60) + "#");
    for property in [&all, &each, &quotes, &brackets, &indent, &literals, &objects] {
        for document in [&wide, &deep, &long_key] {
            let _ = find(&mut context(), document.as_bytes(), property);
        }
    }
    for (document, property) in
        [(&wide, &all), (&deep, &quotes), (&wide, &indent), (&wide, &literals), (&wide, &objects)]
    {
        let error = find(&mut context(), document.as_bytes(), property).unwrap_err();
        assert!(matches!(error, PropertyError::Limit { .. }), "{property}: {error}");
    }
    let error = find(&mut context(), deep.as_bytes(), &brackets).unwrap_err().to_string();
    assert!(error.contains("more than 128 paths are within each other"), "{error}");
    assert!(find(patient, wide.as_bytes(), "@pretty|@ugly|@reverse|{n:#,x:@this}").is_ok());
    let nested_too_deep = "[".repeat(1 << 20);
    assert!(find(&mut context(), nested_too_deep.as_bytes(), "0").is_err());
}

proptest! {
    #[test]
    fn no_expression_ends_the_process(
        path in "([ab01é]|[.|#*?\\\\,:]|\\(|\\)|\\[|\\]|[{}=!<>%~\"]|@(this|keys|values|flatten|join|pretty|ugly|group|tostr|fromstr|dig:)|\\.\\.){0,12}",
        document in "(\\{\"a\":)?\\[[0-9,{}\\[\\]\"ab:]{0,20}\\]\\}?",
    ) {
        let _ = find(&mut context(), document.as_bytes(), &path);
        let fixed = r#"{"a":[{"a":1,"b":["x",2]},[0,1],"é",null],"b":{"a":{"1":true}}}"#;
        let _ = find(&mut context(), fixed.as_bytes(), &path);
    }
}
