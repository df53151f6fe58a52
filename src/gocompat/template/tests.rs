//! The language against vectors that Go has written, and what Go does not have: limits.

#![allow(clippy::unwrap_used)]

use super::{Limits, Set};
use functions::{functions, root};

mod functions;
mod fuzz;
mod generator;

/// What Go says: output or error.
type Outcome = Result<Vec<u8>, String>;

fn outcome(sources: &[(String, String)]) -> Outcome {
    let set = Set::parse(sources, &functions()).map_err(|error| error.go_text().to_owned())?;
    set.execute(&sources[0].0, &root(), &Limits::default()).map_err(|error| error.go_text().to_owned())
}

/// A row of `tests/golden/lang.jsonl`, as `hack/golden/lang_vectors.go` writes it.
fn golden(row: &serde_json::Value) -> Outcome {
    let text = |name: &str| row.get(name).map(|v| v.as_str().unwrap().to_owned());
    match (text("error"), text("output64")) {
        (Some(error), _) => Err(error),
        (_, Some(base64)) => Ok(decode64(&base64)),
        _ => Ok(text("output").unwrap_or_default().into_bytes()),
    }
}

/// Base64, for the rows that are not text.
fn decode64(text: &str) -> Vec<u8> {
    let digit =
        |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c);
    let bits = text.bytes().filter_map(digit).fold(Vec::new(), |mut bits, d| {
        bits.extend((0..6).rev().map(|i| d >> i & 1));
        bits
    });
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect()
}

fn sources(row: &serde_json::Value) -> Vec<(String, String)> {
    serde_json::from_value(row["sources"].clone()).unwrap()
}

#[test]
fn gives_what_go_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lang.jsonl");
    let rows = std::fs::read_to_string(path).unwrap();
    let mut differ = Vec::new();
    let mut count = 0;
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (wanted, got) = (golden(&row), outcome(&sources(&row)));
        count += 1;
        if wanted != got {
            differ.push(format!("{}\n  go:   {}\n  here: {}", row["sources"], shown(&wanted), shown(&got)));
        }
    }
    assert!(differ.is_empty(), "{} of {count} differ:\n{}", differ.len(), differ.join("\n"));
    assert!(count > 400, "{count}");
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Ok(out) => format!("{:?}", String::from_utf8_lossy(out)),
        Err(error) => format!("error {error}"),
    }
}

/// What a user is shown; nothing if there is no error.
fn shown_error(sources: &[(String, String)]) -> String {
    let executed = Set::parse(sources, &functions())
        .and_then(|set| set.execute(&sources[0].0, &root(), &Limits::default()).map(|_| ()));
    executed.map_or_else(|error| error.to_string(), |()| String::new())
}

fn execute(text: &str) -> Result<Vec<u8>, String> {
    let sources = [("t", text)];
    let set = Set::parse(&sources, &functions()).map_err(|error| error.to_string())?;
    // Not optimised, what is slow here takes long: the other limits are tried.
    let limits = Limits { time: std::time::Duration::from_secs(60), ..Limits::default() };
    set.execute("t", &root(), &limits).map_err(|error| error.to_string())
}

#[test]
fn what_a_template_may_use_has_an_end() {
    let nested = |open: &str, inside: &str, close: &str| format!("{}{inside}{}", open.repeat(5000), close.repeat(5000));
    for (text, why) in [
        ("{{ range 9223372036854775807 }}{{ end }}".to_owned(), "template takes"),
        ("{{ range 9223372036854775807 }}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{{ end }}".into(), "template "),
        ("{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}".into(), "maximum template depth"),
        ("{{ $s := \"ab\" }}{{ range 64 }}{{ $s = print $s $s }}{{ end }}".into(), "too much memory"),
        ("{{ $l := list 1 }}{{ range 64 }}{{ $l = list $l $l }}{{ end }}{{ $l }}".into(), "too much memory"),
        ("{{ $l := list 1 }}{{ range 20000 }}{{ $l = list $l }}{{ end }}{{ $l }}".into(), "nested too deep"),
        ("{{ $m := dict }}{{ set $m \"m\" $m }}".into(), "hold itself"),
        ("{{ set .Secrets.map \"m\" .Secrets }}".into(), "hold itself"),
        (format!("{{{{ len (printf \"{}\"{}) }}}}", "%1000000d".repeat(100), " 1".repeat(100)), "too much memory"),
        (nested("{{ if 1 }}", "", "{{ end }}"), "max expression depth"),
        (format!("{{{{ {} }}}}", nested("(", "1", ")")), "max expression depth"),
        ("{{ . }}".repeat(20_000), "too long"),
    ] {
        let error = execute(&text).unwrap_err();
        assert!(error.contains(why), "{}: {error}", &text[..text.len().min(80)]);
    }
}

#[test]
fn nesting_within_the_limits_needs_no_large_stack() {
    // Every template nests as deep as the parser allows, and calls the next one.
    let open = "{{ if 1 }}".repeat(90) + "{{ template \"t\" }}" + &"{{ end }}".repeat(90);
    assert!(execute(&open).unwrap_err().contains("nested too deep"));
    let parens = format!("{{{{ {}1{} }}}}", "(print ".repeat(95), ")".repeat(95));
    assert_eq!(execute(&parens), Ok(b"1".to_vec()));
    let chain = format!("{{{{ if 0 }}}}{}{{{{ else }}}}end{{{{ end }}}}", "{{ else if 0 }}".repeat(3000));
    assert_eq!(execute(&chain), Ok(b"end".to_vec()));
}

#[test]
fn errors_show_no_value() {
    for (text, shown) in [
        ("{{ range .Secrets.str }}{{ end }}", "range can't iterate over <redacted>"),
        (
            "{{ range $i, $j := len .Secrets.str }}{{ end }}",
            "can't use <redacted> to iterate over more than one variable",
        ),
        ("{{ eq .Secrets.list .Secrets.list }}", "non-comparable type []interface {}"),
        ("{{ .Secrets.float.Int64 }}", "strconv.ParseInt: parsing <redacted>: invalid syntax"),
        ("{{ .Secrets.str | call }}", "non-function of type string"),
        ("{{ index .Secrets.list (len .Secrets.utf8) }}", "index out of range: <redacted>"),
    ] {
        let error = execute(text).unwrap_err();
        assert!(error.ends_with(shown), "{text}: {error}");
    }
    assert_eq!(
        format!("{:?} {:?}", super::Value::str("s3cret"), super::Str::from("s3cret")),
        "Value(string) Str(6 bytes)"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "(\\{\\{|\\}\\}|[ -~]|\\PC|\n| -|- |range|end|if|\\.Secrets|\\$x|:=|\\||\"|`|'|\\(|\\)|printf|index|0x|1e){0,40}") {
        let _ = execute(&text);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
        let _ = execute(&format!("{{{{ {} }}}}", String::from_utf8_lossy(&bytes)));
    }
}
