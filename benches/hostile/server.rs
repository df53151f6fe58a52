//! A server that a tenant calls Vault: each prefix of its paths hurts in another way.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Most that Vault answers in one piece, and far more than a Secret holds.
const HUGE_BYTES: usize = 30 << 20;

/// Ways to answer. Each is a path prefix of the server's address.
pub const WAYS: &[&str] = &[
    "deep",
    "deep-exponent",
    "wide",
    "huge-text",
    "endless",
    "slow",
    "eternal-lease",
    "no-token",
    "bad-json",
    "redirects",
];

/// Starts the server, which ends with the process. Gives its `host:port`.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Starts a server that accepts connections and never says a word. Gives its `host:port`.
pub fn start_silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        // The connections stay open.
        let _open: Vec<TcpStream> = listener.incoming().flatten().collect();
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut bytes = vec![0; 16 << 10];
    let Ok(length) = stream.read(&mut bytes) else { return };
    let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let Some(path) = head.split(' ').nth(1) else { return };
    let way = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if path.ends_with("/login") {
        return login(&mut stream, way);
    }
    if path.contains("/sys/") {
        return write(&mut stream, r#"{"initialized":true,"sealed":false,"standby":false,"version":"1.15.0"}"#);
    }
    let secret = |value: &str| {
        format!(
            r#"{{"data":{{"data":{{"k":{value}}},"metadata":{{"version":1,"created_time":"2026-01-15T00:00:00Z"}}}}}}"#
        )
    };
    match way {
        "deep" => write(&mut stream, &secret(&format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)))),
        "deep-exponent" => write(&mut stream, &secret(&format!("{}1e5{}", "[".repeat(20_000), "]".repeat(20_000)))),
        "wide" => write(&mut stream, &secret(&format!("[0{}]", ",0".repeat(HUGE_BYTES / 2)))),
        "huge-text" => write(&mut stream, &secret(&format!("\"{}\"", "a".repeat(HUGE_BYTES)))),
        "endless" => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"data\":{\"data\":{\"k\":\"");
            while stream.write_all(&[b'a'; 64 << 10]).is_ok() {}
        }
        "slow" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        "redirects" => {
            let _ =
                write!(stream, "HTTP/1.1 307 .\r\nLocation: {path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        "bad-json" => write(&mut stream, "{\"data\":{\"data\":{\"k\":\"\u{1}"),
        _ => write(&mut stream, &secret("\"v\"")),
    }
}

fn login(stream: &mut TcpStream, way: &str) {
    let (token, seconds) = match way {
        "eternal-lease" => ("hvs.token", u64::MAX),
        "no-token" => ("", 3600),
        _ => ("hvs.token", 3600),
    };
    let auth = format!(
        r#"{{"auth":{{"client_token":"{token}","accessor":"a","policies":["p"],"token_policies":["p"],"metadata":{{}},"lease_duration":{seconds},"renewable":true,"entity_id":"e","token_type":"service","orphan":true}}}}"#
    );
    write(stream, &auth);
}

fn write(stream: &mut TcpStream, body: &str) {
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
}
