//! Dependencies between the modules point one way, and pure modules stay pure: read from the sources.

mod circles;
mod servers;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each module and those it may name. `docs/architecture.md` has the picture.
const ALLOWED: &[(&str, &[&str])] = &[
    ("gocompat", &[]),
    ("backoff", &[]),
    ("mac", &["gocompat"]),
    ("pki", &["render"]),
    ("workqueue", &["util"]),
    ("util", &[]),
    ("version", &[]),
    ("api", &["gocompat"]),
    ("render", &["api", "gocompat", "util"]),
    ("external_secret", &["api", "gocompat", "util"]),
    ("reloader", &["gocompat", "util"]),
    ("resolve", &["api", "gocompat"]),
    ("settings", &["api", "backoff", "gocompat"]),
    ("cli", &["api", "backoff", "gocompat", "settings", "version"]),
    ("telemetry", &["api", "gocompat", "settings", "version"]),
    ("vault", &["backoff", "gocompat", "render", "settings", "telemetry", "util"]),
    ("kubernetes", &["api", "backoff", "mac", "resolve", "settings", "telemetry", "util"]),
    ("providers", &["api", "backoff", "external_secret", "gocompat", "kubernetes", "resolve", "telemetry", "vault"]),
    ("credentials", &["api", "kubernetes", "resolve", "vault"]),
    ("sync", &["api", "kubernetes", "mac", "render", "resolve"]),
    (
        "controllers",
        &[
            "api",
            "backoff",
            "credentials",
            "external_secret",
            "kubernetes",
            "mac",
            "pki",
            "providers",
            "reloader",
            "render",
            "resolve",
            "settings",
            "sync",
            "telemetry",
            "util",
            "vault",
            "workqueue",
        ],
    ),
    ("commands", &["api", "kubernetes", "settings", "telemetry"]),
    ("operator", &["controllers", "kubernetes", "settings", "telemetry"]),
];

/// What only these modules may name, since another part of the program must not depend on it.
const CONFINED: &[(&str, &[&str])] = &[
    ("vaultrs::", &["vault"]),
    ("rustify::", &["vault"]),
    ("reqwest::", &["credentials", "vault"]),
    ("aws_sigv4::", &["credentials"]),
    ("aws_credential_types::", &["credentials"]),
    ("roxmltree::", &["credentials"]),
    ("tokio_tungstenite::", &["vault"]),
    ("prometheus::", &["telemetry"]),
    ("clap::", &["cli"]),
    ("kube::Client", &["kubernetes", "credentials", "providers", "sync", "controllers", "operator", "commands"]),
    ("kube::runtime", &["kubernetes"]),
];

/// What must not be named where there is no I/O: in these modules, and in a file whose first lines say that it is pure.
const IMPURE: &[&str] = &["tokio::", "hyper::", "std::net", "std::process", "std::env", "async fn", "kube::Client"];
const PURE: &[&str] = &[
    "gocompat",
    "backoff",
    "util",
    "mac",
    "api",
    "render",
    "pki",
    "external_secret",
    "reloader",
    "resolve",
    "workqueue",
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![];
    walk(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
            let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
            (module, path, code.join("\n"))
        })
        .collect()
}

/// Top-level modules that a text names: `crate::x`, and `use crate::{x, y}`.
fn named(code: &str) -> BTreeSet<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            None => {
                names.insert(ident(part));
            }
            Some(group) => {
                let mut depth = 1;
                let mut word = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => names.extend([ident(std::mem::take(&mut word).trim())]),
                        c if depth == 1 => word.push(c),
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
                names.insert(ident(word.trim()));
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = vec![];
    let modules: BTreeSet<&str> = ALLOWED.iter().map(|(module, _)| *module).collect();
    for (module, path, code) in sources() {
        if module == "lib" || module == "main" {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} is not in the table of this test", path.display()));
            continue;
        };
        for name in named(&code) {
            if modules.contains(name.as_str()) && name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {module} must not use {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_are_used_where_they_belong() {
    let mut wrong = vec![];
    for (module, path, code) in sources() {
        for (library, homes) in CONFINED {
            if code.contains(library) && !homes.contains(&module.as_str()) {
                wrong.push(format!("{}: {library} belongs into {homes:?}", path.display()));
            }
        }
        // Tests may ask Go what it says.
        let is_test = path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        if (PURE.contains(&module.as_str()) || says_it_is_pure(&path)) && !is_test {
            for what in IMPURE.iter().filter(|what| code.contains(*what)) {
                wrong.push(format!("{}: it does no I/O, but names {what}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn says_it_is_pure(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("Pure"))
}

/// A circle of files can only be understood as one: none is in the way of a reader, or of a new kind.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<PathBuf> = sources().into_iter().map(|(_, path, _)| path).collect();
    let circles = circles::circles(&root, &files);
    let text: Vec<String> = circles.iter().map(|circle| circle.join(", ")).collect();
    assert!(circles.is_empty(), "these files import each other in a circle:\n{}", text.join("\n"));
}

/// With two TLS providers in one process rustls refuses to choose, at start-up. `hack/deny.toml` says the same.
#[test]
fn there_is_one_tls_provider() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges=normal", "--prefix=none", "--format={p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let crates: BTreeSet<String> = String::from_utf8(tree.stdout)
        .unwrap()
        .lines()
        .filter_map(|l| l.split(' ').next().map(str::to_owned))
        .collect();
    assert!(crates.contains("aws-lc-rs"), "{}", String::from_utf8_lossy(&tree.stderr));
    for other in ["ring", "openssl-sys", "native-tls"] {
        assert!(!crates.contains(other), "{other} is linked");
    }
}

#[test]
fn the_reader_of_use_lines_reads() {
    let names = named("use crate::{api, vault::{Server, x}, sync};\nfn f() { crate::render::build() }");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["api", "render", "sync", "vault"]);
}
