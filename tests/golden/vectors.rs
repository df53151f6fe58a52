//! Every vector that Go has written, through this crate's template engine and functions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use vso::gocompat::template::Environment;
use vso::gocompat::{eso, sprig};

use crate::row::{Row, same, shown};

/// The functions that VSO allows, one a line, sorted.
const NAMES: &str = include_str!("functions.txt");

/// Vectors that are not those of templates.
const OTHERS: [&str; 2] = ["cron.jsonl", "property.jsonl"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the vectors are there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| {
        // Vectors of the language alone have another form.
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        name.ends_with(".jsonl") && !(name.starts_with("lang") && name != "language.jsonl")
    });
    files.sort();
    files
}

fn rows() -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    for file in files(&directory()) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if OTHERS.contains(&&*name) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("readable");
        for (i, line) in text.lines().enumerate() {
            rows.push((format!("{name}:{}", i + 1), serde_json::from_str(line).expect("a row")));
        }
    }
    rows
}

#[test]
fn every_vector() {
    let rows = rows();
    let mut failed = Vec::new();
    for (place, row) in &rows {
        let (expected, got) = (row.expected(), row.render());
        let both_fail = row.any_error && expected.is_err() && got.is_err();
        if !both_fail && !same(&expected, &got) {
            failed.push(format!("{place} {}\n    Go:   {}\n    here: {}", row.template, shown(&expected), shown(&got)));
        }
    }
    println!("{} vectors, {} failed", rows.len(), failed.len());
    let most = std::env::var("GOLDEN_SHOW").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    for text in failed.iter().take(most) {
        println!("{text}");
    }
    assert!(failed.is_empty(), "{} of {} vectors failed", failed.len(), rows.len());
}

#[test]
fn every_function_is_covered() {
    let mut count: BTreeMap<&str, usize> = NAMES.lines().map(|name| (name, 0)).collect();
    let rows = rows();
    for (_, row) in &rows {
        if let Some(count) = count.get_mut(row.function.as_str()) {
            *count += 1;
        }
    }
    for (name, count) in &count {
        println!("{name:28} {count}");
    }
    // Their results cannot be written down; `properties.rs` checks them.
    let functions = sprig::functions();
    let volatile = functions.names().filter(|name| functions.get(name).is_some_and(|f| f.volatile));
    let volatile: Vec<&str> = volatile.collect();
    assert_eq!(volatile, ["ago", "bcrypt", "htpasswd", "randInt", "shuffle"]);
    let few: Vec<_> = count.iter().filter(|(name, count)| **count < 5 && !volatile.contains(name)).collect();
    assert!(few.is_empty(), "too few vectors: {few:?}");
    assert_eq!(count.len(), 179);
    assert_eq!(sprig::functions().names().collect::<Vec<_>>(), NAMES.lines().collect::<Vec<_>>());
}

/// The functions that ESO allows, one a line, sorted.
const ESO_NAMES: &str = include_str!("eso_functions.txt");

#[test]
fn every_function_of_eso_is_there_and_those_of_vso_are_among_them() {
    let (all, vso) = (eso::functions(), sprig::functions());
    assert_eq!(all.names().collect::<Vec<_>>(), ESO_NAMES.lines().collect::<Vec<_>>());
    assert_eq!(ESO_NAMES.lines().count(), 209 + 18);
    for name in vso.names().filter(|name| *name != "htpasswd") {
        let same = all.get(name).zip(vso.get(name)).is_some_and(|(a, b)| std::ptr::eq(a, b));
        assert!(same, "{name} is another function");
    }
    let volatile = all.names().filter(|name| all.get(name).is_some_and(|f| f.volatile));
    let volatile: Vec<&str> = volatile.filter(|name| vso.get(name).is_none_or(|f| !f.volatile)).collect();
    let expected = "date dateInZone date_in_zone encryptAES fullPemToPkcs12 fullPemToPkcs12Pass genCA genCAWithKey \
                    genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey htmlDate \
                    htmlDateInZone now pemToPkcs12 pemToPkcs12Pass pemTruststoreToPKCS12 pemTruststoreToPKCS12Pass \
                    randAlpha randAlphaNum randAscii randBytes randNumeric uuidv4";
    assert_eq!(volatile, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn every_function_of_eso_is_covered() {
    let (all, vso) = (eso::functions(), sprig::functions());
    let mut count: BTreeMap<&str, usize> =
        ESO_NAMES.lines().filter(|name| vso.get(name).is_none()).map(|name| (name, 0)).collect();
    let rows = rows();
    for (_, row) in rows.iter().filter(|(_, row)| row.api == "eso") {
        if let Some(count) = count.get_mut(row.function.as_str()) {
            *count += 1;
        }
    }
    println!("{count:?}");
    // `eso_properties.rs` has those whose results cannot be written down.
    let few = count.iter().filter(|(name, count)| **count < 5 && all.get(name).is_some_and(|f| !f.volatile));
    assert_eq!(few.collect::<Vec<_>>(), vec![]);
}

/// No vector draws random numbers or depends on the clock, and no function does so that is not volatile.
#[test]
fn only_volatile_functions_look_at_the_clock_or_draw_numbers() {
    let environment = Environment { now: || panic!("the clock"), random: |_| panic!("a random number") };
    for (place, row) in &rows() {
        let rendered = std::panic::catch_unwind(|| row.render_in(&environment));
        assert!(rendered.is_ok(), "{place} {}", row.template);
    }
}

/// Where Go is installed, it writes the committed vectors.
#[test]
fn vectors_are_current() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/golden");
    if Command::new("go").arg("version").output().is_err() {
        println!("skipped: no Go");
        return;
    }
    let fresh = std::env::temp_dir().join(format!("golden-{}", std::process::id()));
    let status = Command::new("go").args(["run", ".", "write"]).arg(&fresh).current_dir(module).status();
    assert!(status.expect("go runs").success());
    for file in files(&fresh) {
        let name = file.file_name().expect("a file");
        let (new, old) = (std::fs::read(&file).expect("readable"), std::fs::read(directory().join(name)));
        assert!(old.is_ok_and(|old| old == new), "{} is not current: run `make golden`", name.to_string_lossy());
    }
    assert_eq!(files(&fresh).len(), files(&directory()).len());
    std::fs::remove_dir_all(&fresh).expect("removable");
}
