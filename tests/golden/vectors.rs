//! Every vector that Go has written, through this crate's template engine and functions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use vso::gocompat::sprig;
use vso::gocompat::template::Environment;

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
        if !same(&expected, &got) {
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

/// No vector calls a volatile function, and no other function reads the clock or draws random numbers.
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
