//! What templates cost here and in Go, on the same machine in one run, alternating template by template. Run with
//! `hack/bench-templates`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::AllocationInfo;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use vso::gocompat::sprig;
use vso::gocompat::template::{Limits, Record, Set, Value};

/// How long one measurement lasts; Go's takes as long.
const LASTS: Duration = Duration::from_secs(1);

/// Per operation.
#[derive(Deserialize)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
    bytes: f64,
}

#[derive(Deserialize)]
struct Measured {
    output: String,
    parse: Cost,
    execute: Cost,
}

/// What people use templates for, as in `config/samples/transformation`, and one that is all work.
const TEMPLATES: [(&str, &str); 7] = [
    ("one key", "postgres://{{ .Secrets.username | urlquery }}:{{ .Secrets.password | urlquery }}@db:5432/app"),
    (
        "dockerconfigjson",
        r#"{{- $auth := printf "%s:%s" (get .Secrets "username") (get .Secrets "password") | b64enc -}}
{{- $login := dict "username" (get .Secrets "username") "password" (get .Secrets "password") "auth" $auth -}}
{{- dict "auths" (dict (get .Secrets "host") $login) | mustToJson -}}"#,
    ),
    ("properties", "{{- range $key, $value := .Secrets }}{{ $key | replace \"_\" \".\" }}={{ $value }}\n{{ end -}}"),
    (".env", "{{- range $key, $value := .Secrets }}{{ $key | upper }}={{ $value | quote }}\n{{ end -}}"),
    ("JSON, split", "{{ $config := mustFromJson .Secrets.config }}{{ $config.db | mustToPrettyJson }}"),
    (
        "metadata",
        "[{{ index .Labels \"app\" }}]\nowner = {{ index .Annotations \"owner\" }}\nversion = {{ .Metadata.version }}\n",
    ),
    (
        "1000 turns",
        "{{ range $i := until 1000 }}{{ if mod $i 3 | eq 0 }}{{ $i | add 7 | printf \"%05d\" }}{{ end }}{{ end }}",
    ),
];

fn main() {
    let input = json!({
        "Secrets": {
            "username": "app", "password": "p@ss w/rd&1", "host": "registry.example.com", "pool_max_size": "20",
            "pool_timeout_ms": "3000", "config": r#"{"debug":false,"db":{"user":"app","ports":[5432,5433],"tls":true}}"#,
        },
        "Metadata": { "version": 3, "custom_metadata": null },
        "Annotations": { "owner": "team-a" },
        "Labels": { "app": "orders" },
    });
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/golden");
    let mut go = Command::new("go")
        .args(["run", ".", "bench"])
        .current_dir(module)
        .env("GOMAXPROCS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Go is installed");
    let mut requests = go.stdin.take().expect("piped");
    let mut answers = BufReader::new(go.stdout.take().expect("piped")).lines();

    println!("{:<24} {:^26} {:^26}   {:^19}", "", "here", "Go", "here / Go");
    println!(
        "{:<24} {:>9} {:>7} {:>8} {:>9} {:>7} {:>8}   {:>9} {:>10}",
        "", "per s", "allocs", "bytes", "per s", "allocs", "bytes", "speed", "allocs"
    );
    for (name, template) in TEMPLATES {
        // One side at a time: the other waits.
        writeln!(requests, "{}", json!({ "template": template, "input": input })).expect("Go reads");
        let theirs: Measured =
            serde_json::from_str(&answers.next().expect("an answer").expect("an answer")).expect("an answer");
        let functions = sprig::functions();
        let parse = || Set::parse(&[("t", template)], &functions).expect("it parses");
        let (set, root, limits) = (parse(), root(&input), Limits::default());
        let execute = || set.execute("t", &root, &limits).expect("it executes");
        assert_eq!(STANDARD.encode(execute()), theirs.output, "{name}");
        show(&format!("{name}, parse"), &cost(|| drop(parse())), &theirs.parse);
        show(name, &cost(|| drop(execute())), &theirs.execute);
    }
    drop(requests);
    assert!(go.wait().expect("Go ends").success());
}

/// The dot of the templates.
fn root(input: &Json) -> Value {
    let fields = ["Secrets", "Metadata", "Annotations", "Labels"].map(|name| (name, Value::from_json(&input[name])));
    Value::Object(Arc::new(Record::new("main.Root", fields.into())))
}

fn cost(work: impl Fn()) -> Cost {
    let AllocationInfo { count_total, bytes_total, .. } = allocation_counter::measure(&work);
    let (mut times, started) = (0u32, Instant::now());
    while started.elapsed() < LASTS {
        (0..16).for_each(|_| work());
        times += 16;
    }
    let nanoseconds = started.elapsed().as_secs_f64() * 1e9 / f64::from(times);
    Cost { nanoseconds, allocations: count_total as f64, bytes: bytes_total as f64 }
}

fn show(name: &str, here: &Cost, go: &Cost) {
    println!(
        "{name:<24} {:>9.0} {:>7.0} {:>8.0} {:>9.0} {:>7.0} {:>8.0}   {:>8.1}x {:>9.2}x",
        1e9 / here.nanoseconds,
        here.allocations,
        here.bytes,
        1e9 / go.nanoseconds,
        go.allocations,
        go.bytes,
        go.nanoseconds / here.nanoseconds,
        here.allocations / go.allocations,
    );
}
