//! The functions whose results differ each time, and what no function may do to the process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vso::gocompat::template::Environment;

use crate::row::Row;

fn row(template: &str) -> Row {
    serde_json::from_value(serde_json::json!({ "template": template })).expect("a row")
}

fn rendered(template: &str) -> String {
    String::from_utf8(row(template).render().expect(template)).expect("UTF-8")
}

#[test]
fn bcrypt_verifies() {
    let hash = rendered(r#"{{ bcrypt "secret" }}"#);
    assert!(hash.starts_with("$2a$10$") && hash.len() == 60, "{hash}");
    assert!(bcrypt::verify("secret", &hash).expect("a hash"));
    assert!(!bcrypt::verify("other", &hash).expect("a hash"));
    assert_ne!(hash, rendered(r#"{{ bcrypt "secret" }}"#), "the salt is random");
    let long = "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes";
    assert_eq!(rendered(r#"{{ bcrypt (repeat 73 "x") }}"#), long);
}

#[test]
fn htpasswd_is_user_and_hash() {
    let line = rendered(r#"{{ htpasswd "user" "pass" }}"#);
    let (user, hash) = line.split_once(':').expect("a colon");
    assert_eq!(user, "user");
    assert!(bcrypt::verify("pass", hash).expect("a hash"));
    assert_eq!(rendered(r#"{{ htpasswd "a:b" "pass" }}"#), "invalid username: a:b");
}

#[test]
fn rand_int_is_in_range() {
    let mut seen = [false; 5];
    for _ in 0..200 {
        let number: usize = rendered("{{ randInt -2 3 }}").parse::<i64>().map(|n| (n + 2) as usize).expect("a number");
        seen[number] = true;
    }
    assert_eq!(seen, [true; 5]);
    for empty in ["{{ randInt 3 3 }}", "{{ randInt 3 2 }}"] {
        assert!(row(empty).render().expect_err(empty).contains("invalid argument to Intn"));
    }
}

#[test]
fn shuffle_keeps_the_letters() {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    let text = "abcdefghijklmnopqrstuvwxyzäöü";
    let shuffled = rendered(&format!("{{{{ shuffle \"{text}\" }}}}"));
    assert_eq!(sorted(&shuffled), sorted(text));
    assert_ne!(shuffled, text);
    assert_eq!(rendered(r#"{{ shuffle "" }}"#), "");
}

#[test]
fn ago_counts_from_the_clock() {
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_709_168_461_600)
    }
    let environment = Environment { now, ..Environment::default() };
    let at = |template: &str| String::from_utf8(row(template).render_in(&environment).expect(template)).expect("UTF-8");
    assert_eq!(at(r#"{{ ago (mustToDate "2006-01-02" "2024-02-29") }}"#), "1h1m2s");
    assert_eq!(at("{{ ago 1709168400 }}"), "1m2s");
    assert_eq!(at("{{ ago (int64 1709168461) }}"), "1s");
    assert_eq!(at(r#"{{ ago "yesterday" }}"#), "0s");
    assert_eq!(at(r#"{{ durationRound (mustToDate "2006-01-02" "2024-02-27") }}"#), "2d");
}

#[test]
fn nothing_exhausts_the_process() {
    let begin = Instant::now();
    for template in [
        r#"{{ repeat 1000000000000 "x" }}"#,
        r#"{{ repeat 9223372036854775807 "xy" }}"#,
        "{{ until 1000000000000 }}",
        "{{ untilStep 0 9223372036854775807 1 }}",
        "{{ untilStep 9223372036854775807 -9223372036854775807 -1 }}",
        "{{ seq 1 1 9223372036854775806 }}",
        r#"{{ indent 1000000000000 "x" }}"#,
        r#"{{ nindent 100000 (repeat 100000 "\n") }}"#,
        r#"{{ wrapWith 1 (repeat 10000 "-") (repeat 100000 "x") }}"#,
        r#"{{ replace "" (repeat 10000 "y") (repeat 100000 "x") }}"#,
        r#"{{ join (repeat 10000 "y") (until 100000) }}"#,
        r#"{{ regexReplaceAll "" (repeat 100000 "x") (repeat 10000 "y") }}"#,
        r#"{{ regexFindAll "((a{0,1000}){0,1000}){0,1000}" "a" -1 }}"#,
        r#"{{ range until 100000 }}{{ bcrypt "x" }}{{ end }}"#,
        r#"{{ $x := "x" }}{{ range until 100 }}{{ $x = printf "%s%s" $x $x }}{{ end }}"#,
        "{{ $l := list }}{{ range until 100 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}",
        "{{ $l := list }}{{ range until 100 }}{{ $l = list $l $l }}{{ end }}{{ deepEqual $l (deepCopy $l) }}",
        "{{ $l := list }}{{ range until 60 }}{{ $l = list $l $l }}{{ end }}{{ toJson $l }}",
        "{{ $d := dict }}{{ $d = set $d \"a\" $d }}{{ $d }}",
        "{{ $x := 1e300 }}{{ range until 100000 }}{{ $x = mulf $x 1e300 1e300 1e300 1e-300 }}{{ end }}{{ $x }}",
    ] {
        assert!(row(template).render().is_err(), "{template}");
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn no_function_sees_the_outside() {
    let functions = vso::gocompat::sprig::functions();
    for name in ["env", "expandenv", "getHostByName", "now", "date", "genPrivateKey", "uuidv4", "randAlphaNum"] {
        assert!(functions.get(name).is_none(), "{name}");
    }
}
