//! A server for the services of clouds, on loopback: one request a connection, answered by a closure.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request. Names of headers are in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    /// Host of the tunnel or of the header.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path with the query.
    pub path: String,
    /// Names and values of the headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Reads the text of a request, as it is on the wire or in a file.
    pub fn parse(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let mut first = lines.next().expect("a request line").split(' ');
        let mut word = || first.next().expect("a word").to_owned();
        let (method, path) = (word(), word());
        let pair = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.map(pair).collect();
        let host = headers.iter().find(|(name, _)| name == "host").map(|(_, host)| host.clone()).unwrap_or_default();
        Self { host, method, path, headers, body: body.to_owned() }
    }

    fn read(stream: &mut impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let whole = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = whole.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>())
                });
                if body.len() >= length.map_or(0, |n| n.expect("a length")) {
                    return Some(Self::parse(&whole));
                }
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

/// What is answered.
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
}

impl Answer {
    /// 200 with JSON.
    pub fn json(body: &serde_json::Value) -> Self {
        Self { status: 200, content_type: "application/json", headers: vec![], body: body.to_string() }
    }

    /// Another status, with a reason.
    pub fn refusal(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/plain", headers: vec![], body: body.to_owned() }
    }

    /// 200 with a text.
    pub fn text(body: &str) -> Self {
        Self::refusal(200, body)
    }

    fn write(&self, stream: &mut impl Write) {
        let Self { status, content_type, headers, body } = self;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} .\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
        );
        let _ = stream.flush();
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// Starts a server, which ends with the process. Gives its `host:port`.
pub fn serve(handler: Arc<Handler>) -> String {
    listen(move |mut stream| {
        if let Some(request) = Request::read(&mut stream) {
            handler(&request).write(&mut stream);
        }
    })
}

/// Starts a proxy that answers for every host to which a tunnel is asked for, with the certificate of `tls`.
pub fn serve_tunnels(tls: Arc<rustls::ServerConfig>, handler: Arc<Handler>) -> String {
    listen(move |mut stream| {
        let Some(connect) = Request::read(&mut stream) else { return };
        if connect.method != "CONNECT" {
            return Answer::refusal(405, "only CONNECT").write(&mut stream);
        }
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n");
        let connection = rustls::ServerConnection::new(tls.clone()).expect("TLS");
        let mut stream = rustls::StreamOwned::new(connection, stream);
        if let Some(mut request) = Request::read(&mut stream) {
            request.host = connect.path;
            handler(&request).write(&mut stream);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    })
}

fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}
