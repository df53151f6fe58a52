//! The language against vectors that Go has written, and what Go does not have: limits.

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
    let digit = |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|d| *d == c);
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
