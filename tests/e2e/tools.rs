//! Small things that the framework is made with.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

/// JSON merge (RFC 7386).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.as_object_mut().expect("an object").remove(&key);
            }
            value => merge(&mut target[key], value),
        }
    }
}

/// A file for the API server's audit log that is there when the tests have ended: `tests/rbac.rs` compares what the
/// operators asked for with what the chart allows them.
pub fn kept_audit_log() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let dir = DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-audit");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory for audit logs");
        if runs_all_tests() {
            std::fs::write(dir.join("all"), "").expect("a file");
        }
        dir
    });
    dir.join(format!("{}.log", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Whether no name of a test was given to this process.
fn runs_all_tests() -> bool {
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--test-threads" | "--format" | "--color" => drop(args.next()),
            "--skip" | "--exact" | "--ignored" => return false,
            option if option.starts_with('-') => {}
            _ => return false,
        }
    }
    true
}

/// A port on which nobody listens now, nor calls out from.
pub fn free_port() -> u16 {
    testenv::free_ports(1).expect("a free port")[0]
}

/// The body of an answer of 200, or the whole answer.
pub fn http_get(port: u16, path: &str) -> Result<String, String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").map_err(|e| e.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(text) }
}
