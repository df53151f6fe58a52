//! A proxy between the operator and a real Vault: the Vault appears below a path, its events get an index as those of
//! Vault Enterprise have, and the first read that asks for it is answered as by a node that has not got that state yet.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What is put into each event.
pub const INDEX: &str = "djE6aW5kZXg=";

/// The proxy.
pub struct ReplicaProxy {
    port: u16,
    prefix: &'static str,
    /// Status, path and index of each request that names one.
    seen: Arc<Mutex<Vec<String>>>,
}

impl ReplicaProxy {
    /// In front of the server at this URL. Its thread ends with the process.
    pub fn start(server: &str, prefix: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy =
            ReplicaProxy { port: listener.local_addr().expect("an address").port(), prefix, seen: Arc::default() };
        let (server, seen) = (server.trim_start_matches("http://").to_owned(), proxy.seen.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, seen) = (server.clone(), seen.clone());
                std::thread::spawn(move || serve(client, &server, prefix, &seen));
            }
        });
        proxy
    }

    /// Address of the Vault behind it, with the path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.prefix)
    }

    /// Status, path and index of each request that named an index.
    pub fn with_index(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One request; the connection ends with its answer. `None`: the connection was closed.
fn serve(client: TcpStream, server: &str, prefix: &str, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut answer = client;
    let mut head = String::new();
    let (mut length, mut index, mut upgrade) = (0, None, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let lower = line.to_ascii_lowercase();
        match lower.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().expect("a number"),
            Some(("x-vault-index", _)) => index = line.trim_end().split_once(": ").map(|(_, value)| value.to_owned()),
            Some(("upgrade", _)) => upgrade = true,
            _ => {}
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let Some(inner) = path.strip_prefix(prefix).filter(|_| path.starts_with(prefix)) else {
        return answer.write_all(b"HTTP/1.1 421 Misdirected\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").ok();
    };
    if let Some(index) = index {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let status = if seen.is_empty() { 412 } else { 200 };
        seen.push(format!("{status} {inner} {index}"));
        if status == 412 {
            let text = r#"{"errors":["required index state not present"]}"#;
            let head =
                format!("HTTP/1.1 412 Precondition Failed\r\nconnection: close\r\ncontent-length: {}", text.len());
            return answer.write_all(format!("{head}\r\n\r\n{text}").as_bytes()).ok();
        }
    }
    let mut vault = TcpStream::connect(server).ok()?;
    let close = if upgrade { "" } else { "connection: close\r\n" };
    vault.write_all(format!("{}{close}\r\n", head.replacen(&path, inner, 1)).as_bytes()).ok()?;
    vault.write_all(&body).ok()?;
    if !upgrade {
        std::io::copy(&mut vault, &mut answer).ok()?;
        return answer.shutdown(Shutdown::Both).ok();
    }
    let mut out = vault.try_clone().ok()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut reader, &mut out);
        out.shutdown(Shutdown::Both)
    });
    let mut vault = BufReader::new(vault);
    loop {
        let mut line = String::new();
        vault.read_line(&mut line).ok().filter(|read| *read > 0)?;
        answer.write_all(line.as_bytes()).ok()?;
        if line == "\r\n" {
            break;
        }
    }
    while let Some((kind, payload)) = frame(&mut vault) {
        let text = String::from_utf8(payload)
            .ok()?
            .replace(r#""metadata":{"#, &format!(r#""metadata":{{"vault_index":"{INDEX}","#));
        let length = u16::try_from(text.len()).expect("a short message");
        let mut frame = vec![kind];
        match length {
            0..126 => frame.push(length as u8),
            _ => frame.extend([&[126][..], &length.to_be_bytes()].concat()),
        }
        frame.extend(text.as_bytes());
        answer.write_all(&frame).ok()?;
    }
    answer.shutdown(Shutdown::Both).ok()
}

/// A frame from a server (RFC 6455 section 5.2): its first byte and its content.
fn frame(server: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    server.read_exact(&mut head).ok()?;
    let length = match head[1] {
        126 => {
            let mut bytes = [0; 2];
            server.read_exact(&mut bytes).ok()?;
            u16::from_be_bytes(bytes)
        }
        short => u16::from(short),
    };
    let mut payload = vec![0; usize::from(length)];
    server.read_exact(&mut payload).ok()?;
    Some((head[0], payload))
}
