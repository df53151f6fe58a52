//! Random templates, here and in Go.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::generator::Generator;
use super::{golden, outcome, shown, shown_error};

const BATCH: usize = 500;

/// Renders random templates with Go as well. Needs Go: `cargo test --lib -- --ignored same_as_go`, for as long as
/// `FUZZ_SECONDS` says.
#[test]
#[ignore = "needs Go, and as much time as it is given"]
fn random_templates_give_the_same_as_go() {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seconds = number("FUZZ_SECONDS").unwrap_or(30);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/hack/golden/lang_vectors.go");
    let mut go = Command::new("go")
        .args(["run", program, "-serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (go.stdin.take().unwrap(), BufReader::new(go.stdout.take().unwrap()).lines());
    let mut generator = Generator::new(number("FUZZ_SEED").unwrap_or_else(rand::random));
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut count, mut good, mut differ) = (0, 0, Vec::new());
    while Instant::now() < end && differ.len() < 20 {
        let batch: Vec<_> = (0..BATCH).map(|_| generator.sources()).collect();
        let lines: String = batch.iter().map(|sources| serde_json::to_string(sources).unwrap() + "\n").collect();
        // Go answers while it is still being asked: a full pipe must not block both.
        let asking = std::thread::scope(|scope| {
            let input = &mut input;
            let asking = scope.spawn(move || input.write_all(lines.as_bytes()).and_then(|()| input.flush()));
            for sources in &batch {
                let row: serde_json::Value = serde_json::from_str(&output.next().unwrap().unwrap()).unwrap();
                let (wanted, got) = (golden(&row), outcome(sources));
                count += 1;
                good += usize::from(got.is_ok());
                if wanted != got && !is_limit(&wanted, &got) {
                    let (wanted, got) = (shown(&wanted), shown(&got));
                    differ.push(format!("{sources:?}\n  go:   {wanted}\n  here: {got}"));
                }
                let error = shown_error(sources);
                let text: String = sources.iter().map(|(_, text)| text.as_str()).collect();
                for secret in ["héllo", "世界", "1234567890123456789", "k:v"] {
                    if error.contains(secret) && !text.contains(secret) {
                        differ.push(format!("{sources:?} shows a value: {error}"));
                    }
                }
            }
            asking.join()
        });
        asking.unwrap().unwrap();
    }
    drop(input);
    go.wait().unwrap();
    println!("{count} templates, {good} of them without error");
    assert!(differ.is_empty(), "after {count}:\n{}", differ.join("\n"));
}

/// Go has other limits, and dies of some things.
fn is_limit(wanted: &super::Outcome, got: &super::Outcome) -> bool {
    // Addresses, in the bases that printf can print.
    let text = shown(got).to_lowercase();
    let address = 0xc0_0001_0000_u64;
    if [format!("{address:x}"), format!("{address:o}"), format!("{address:b}"), format!("{address}")]
        .iter()
        .any(|address| text.contains(address))
    {
        return true;
    }
    let Err(error) = got else { return false };
    let ours = ["nested too deep", "hold itself", "template takes", "template needs", "template writes", "depth"];
    ours.iter().any(|limit| error.contains(limit)) || wanted.as_ref().is_err_and(|error| error == "limit")
}
