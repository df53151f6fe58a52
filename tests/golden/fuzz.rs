//! Random templates, rendered by Go (`hack/golden fuzz`, a child process) and by this crate.
//!
//! Without Go there is nothing to compare with. `GOLDEN_FUZZ_SECONDS` says how long, `GOLDEN_FUZZ_SEED` where to begin.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::generate::Generator;
use crate::row::{Row, same, shown};

struct Go {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Go {
    fn start() -> Option<Go> {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/golden");
        let binary = std::env::temp_dir().join(format!("golden-fuzz-{}", std::process::id()));
        let build = Command::new("go").args(["build", "-o"]).arg(&binary).arg(".").current_dir(module).status().ok()?;
        assert!(build.success());
        let mut child = Command::new(&binary)
            .arg("fuzz")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        std::fs::remove_file(&binary).expect("removable");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Some(Go { child, input, output })
    }

    fn answer(&mut self, row: &Row) -> Row {
        let line = serde_json::to_string(row).expect("a row");
        writeln!(self.input, "{line}").expect("Go reads");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("Go answers");
        assert!(!answer.is_empty(), "Go died of {line}");
        serde_json::from_str(&answer).expect("a row")
    }
}

#[test]
fn random_templates() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let Some(mut go) = Go::start() else {
        println!("skipped: no Go");
        return;
    };
    let seed = number("GOLDEN_FUZZ_SEED").unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(number("GOLDEN_FUZZ_SECONDS").unwrap_or(3));
    let mut generator = Generator::new(seed);
    let (mut rendered, mut errors, mut unstable, mut limits, mut failed) = (0u64, 0u64, 0u64, 0u64, 0u64);
    while Instant::now() < end {
        let row = generator.row();
        let got = row.render();
        rendered += 1;
        errors += u64::from(got.is_err());
        // Go would die of a map within itself; the other limits are this crate's own too.
        let own = ["too much memory", "too many steps", "takes too long", "would hold itself", "nested too deep"];
        if got.as_ref().is_err_and(|text| own.iter().any(|own| text.contains(own))) {
            limits += 1;
            continue;
        }
        let mut answer = go.answer(&row);
        // Go's slices can be lengthened into spare room behind them, here that is an error.
        if got.as_ref().is_err_and(|text| text.contains("slice index out of bounds")) && !same(&answer.expected(), &got)
        {
            limits += 1;
            continue;
        }
        // The order of Go's maps may decide: it is asked again.
        let mut tries = 0;
        while !same(&answer.expected(), &got) && !answer.unstable && tries < 8 {
            answer = go.answer(&row);
            tries += 1;
        }
        if answer.unstable || tries > 0 && same(&answer.expected(), &got) {
            unstable += 1;
        } else if tries > 0 {
            failed += 1;
            if failed <= 40 {
                let input = row.input.as_ref().map_or("", |input| input.get());
                println!(
                    "{}\n  {input}\n    Go:   {}\n    here: {}",
                    row.template,
                    shown(&answer.expected()),
                    shown(&got)
                );
            }
        }
    }
    drop(go.input);
    go.child.wait().expect("Go ends");
    println!(
        "seed {seed}: {rendered} templates ({errors} errors, {unstable} unstable, {limits} limits), {failed} differ"
    );
    assert_eq!(failed, 0);
}
