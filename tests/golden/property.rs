//! Parts of JSON documents: what gjson finds has to be found, and nothing else.

use vso::external_secret::property::{PropertyError, find};
use vso::gocompat::template::{Context, Environment, Limits};

#[derive(serde::Deserialize)]
struct Row {
    document: String,
    path: String,
    found: bool,
    #[serde(default)]
    text: String,
}

/// What may make what is no JSON. gjson looks for parts in that, too; here it is an error.
const NO_JSON: [&str; 4] = ["!", "@fromstr", "@tostr", "preserve"];

#[test]
fn properties_are_those_of_gjson() {
    let file = std::env::var_os("GOLDEN_PROPERTIES")
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/property.jsonl").into());
    let rows = std::fs::read_to_string(file).expect("the vectors");
    let (mut found, mut unsupported, mut wrong) = (0, 0, Vec::new());
    for line in rows.lines() {
        let row: Row = serde_json::from_str(line).expect("a row");
        let mut context = Context::new(&Limits::default(), &Environment::default());
        let answer = find(&mut context, row.document.as_bytes(), &row.path);
        let equal = match &answer {
            Ok(bytes) => row.found && bytes == row.text.as_bytes(),
            Err(PropertyError::Missing(_)) => !row.found,
            Err(PropertyError::Unsupported { .. }) => {
                unsupported += 1;
                NO_JSON.iter().any(|syntax| row.path.contains(syntax))
            }
            Err(_) => false,
        };
        found += usize::from(row.found && answer.is_ok());
        if !equal {
            wrong.push(format!(
                "{} of {}: {:?}, gjson has {:?}",
                row.path,
                row.document,
                answer.map(|b| String::from_utf8_lossy(&b).into_owned()),
                row.found.then_some(row.text)
            ));
        }
    }
    assert!(found > 5000, "{found} rows find something");
    assert!(unsupported < 300, "{unsupported} rows are not supported");
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}
