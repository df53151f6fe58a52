//! A server between the operator and Vault that forwards bytes, requests or tunnels.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Listens, forwards to Vault what it is sent, and remembers the first line of each connection. It ends with the
/// process.
pub struct Forwarder {
    /// Where it listens.
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    target: Arc<Mutex<String>>,
}

impl Forwarder {
    /// What comes with `prefix` before the path of Vault's API goes to `target` without it.
    pub fn of_http(listen: &str, target: &str, prefix: &'static str) -> Self {
        let target = target.to_owned();
        Self::new(listen, move |mut client, head| {
            let server = TcpStream::connect(&target).expect("Vault");
            let mut to_server = server.try_clone().expect("a socket");
            let answers = client.try_clone().expect("a socket");
            thread::spawn(move || copy(server, answers));
            let mut chunk = head;
            loop {
                // The head of a request comes in one piece, from this client on this machine.
                let text = String::from_utf8(chunk).expect("requests are text");
                to_server.write_all(text.replace(prefix, "").as_bytes()).expect("Vault reads");
                chunk = match receive(&mut client) {
                    Some(chunk) => chunk,
                    None => return,
                };
            }
        })
    }

    /// Bytes, to `target`.
    pub fn of_tcp(target: &str) -> Self {
        let current = Arc::new(Mutex::new(target.to_owned()));
        let target = current.clone();
        let forwarder = Self::new("127.0.0.1:0", move |client, head| {
            let target = target.lock().expect("no panic").clone();
            let mut server = TcpStream::connect(target).expect("the target");
            server.write_all(&head).expect("the target reads");
            let (answers, requests) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || copy(server, answers));
            copy(client, requests);
        });
        Self { target: current, ..forwarder }
    }

    /// Bytes, to `target`; what a client sends waits for `pause` first.
    pub fn of_slow_tcp(target: &str, pause: Duration) -> Self {
        let target = target.to_owned();
        Self::new("127.0.0.1:0", move |mut client, head| {
            let mut server = TcpStream::connect(&target).expect("the target");
            let (answers, from_server) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || copy(from_server, answers));
            let mut next = Some(head);
            while let Some(chunk) = next {
                thread::sleep(pause);
                if server.write_all(&chunk).is_err() {
                    return;
                }
                next = receive(&mut client);
            }
        })
    }

    /// Leads to another target from now on; connections that are open end.
    pub fn turn_to(&self, target: &str) {
        *self.target.lock().expect("no panic") = target.to_owned();
        self.open.lock().expect("no panic").drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// An HTTP proxy that tunnels (RFC 9110, CONNECT), and is alone in knowing the host `vault.inside`: this machine.
    pub fn of_tunnels() -> Self {
        Self::new("127.0.0.1:0", |mut client, head| {
            let head = String::from_utf8_lossy(&head).into_owned();
            let target = head.split(' ').nth(1).expect("a target").replace("vault.inside", "127.0.0.1");
            let server = TcpStream::connect(target).expect("the target");
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("the client reads");
            let (answers, requests) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            thread::spawn(move || copy(server, answers));
            copy(client, requests);
        })
    }

    fn new(listen: &str, serve: impl Fn(TcpStream, Vec<u8>) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind(listen).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, open) = (Arc::new(Mutex::new(vec![])), Arc::new(Mutex::new(vec![])));
        let (notes, connections) = (seen.clone(), open.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, serve, notes) = (client.expect("a connection"), serve.clone(), notes.clone());
                connections.lock().expect("no panic").push(client.try_clone().expect("a socket"));
                thread::spawn(move || {
                    let Some(head) = receive(&mut client) else { return };
                    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                    notes.lock().expect("no panic").push(line);
                    serve(client, head);
                });
            }
        });
        Self { port, seen, open, target: Arc::default() }
    }

    /// First lines of the connections so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

/// What was sent, until the connection ends.
fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 * 1024];
    match stream.read(&mut buffer) {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(buffer[..n].to_vec()),
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
