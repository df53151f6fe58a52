use proptest::prelude::*;

use super::*;

fn on_a_small_stack(text: String) -> Result<Value, JsonError> {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(move || parse(text.as_bytes())).expect("a thread").join().expect("no panic")
}

fn nested(depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn numbers_are_written_as_they_were_read() {
    for text in [
        r#"{"a":1e21,"b":[1E5,-1.50e-3,{"c":2e+07}],"d":"1e5 x","e":12345678901234567890123,"f":null,"g":true}"#,
        "1.10",
        r#"{"n":10.0}"#,
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        r#"{"a":1e}"#,
        r#"{"a":"#,
        "[1,]",
        "[,1]",
        "{,}",
        r#"{"a" 1}"#,
        r#"{"a":1,}"#,
        "01",
        "1.",
        "-",
        "+1",
        "tru",
        "nullx",
        "1 2",
        "[1",
        r#""a"#,
        r#""\"#,
        r#""\u12"#,
        "\"\n\"",
        "{1:2}",
        "[1}",
        "NaN",
    ] {
        assert_eq!(parse(text.as_bytes()), Err(JsonError::Syntax), "{text:?}");
    }
    assert_eq!(parse(b"\"\xff\""), Err(JsonError::Syntax));
}

#[test]
fn depth_has_one_limit_whatever_the_numbers_look_like() {
    for inner in ["1", "1e5", "\"3e\""] {
        assert!(on_a_small_stack(nested(MAX_DEPTH, inner)).is_ok());
        for depth in [MAX_DEPTH + 1, 20_000, 1_000_000] {
            assert_eq!(on_a_small_stack(nested(depth, inner)), Err(JsonError::Depth), "{depth} {inner}");
        }
        let objects = format!("{}{inner}{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
        assert_eq!(on_a_small_stack(objects), Err(JsonError::Depth));
    }
}

#[test]
fn many_small_values_are_refused_before_they_need_the_memory() {
    for item in ["0", "[]", "{}", "\"\"", r#"{"a":0}"#, "[[[0]]]", "null"] {
        let count = 4 * 1024 * 1024 / (item.len() + 1);
        let text = format!("[{}{item}]", format!("{item},").repeat(count));
        let mut result = Ok(Value::Null);
        let memory = allocation_counter::measure(|| result = parse(text.as_bytes()));
        assert_eq!(result, Err(JsonError::Memory), "{item}");
        // A list that grows is there twice for a moment.
        assert!(memory.bytes_max < 2 * MAX_MEMORY_BYTES as u64, "{item}: {} bytes", memory.bytes_max);
    }
}

#[test]
fn what_fits_a_secret_fits() {
    let value = "x".repeat(1024 * 1024);
    let text = format!(r#"{{"data":{{"data":{{"a":"{value}"}},"metadata":{{}}}}}}"#);
    assert_eq!(parse(text.as_bytes()).unwrap()["data"]["data"]["a"], value);
    let many: Vec<String> = (0..20_000).map(|i| format!(r#""key-{i}":"a value of some length {i}""#)).collect();
    assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
}

fn json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from)];
    let leaf =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, ".{0,12}".prop_map(Value::from)];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_reads_is_read_alike(value in json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        prop_assert_eq!(parse(text.as_bytes()), Ok(value));
    }

    #[test]
    fn what_serde_refuses_is_refused(text in r#"[\[\]{}",:0-9eE.+\- \\untrfalsd]{0,24}"#) {
        let expected: Result<Value, _> = serde_json::from_str(&text);
        let found = parse(text.as_bytes());
        prop_assert_eq!(found.is_ok(), expected.is_ok(), "{} {:?}", text, found);
    }

    #[test]
    fn mutated_text_is_read_as_by_serde(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let expected: Option<Value> = serde_json::from_slice(&text).ok();
        let found = parse(&text);
        prop_assert_eq!(found.is_ok(), expected.is_some());
        if let (Ok(found), Some(expected)) = (found, expected) {
            let again: Value = serde_json::from_str(&found.to_string()).unwrap();
            prop_assert_eq!(again, expected);
        }
    }
}
