mod server;

use futures_util::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::super::request::RawRequest;
use super::*;
use server::{Identity, Server, serve, serve_tunnels};

const OK: &str = "HTTP/1.1 200 .\r\nContent-Length: 2\r\n\r\n{}";

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} .\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn config(address: &str, trust: Trust) -> ServerConfig {
    ServerConfig {
        address: address.into(),
        trust,
        tls_server_name: None,
        client_certificate: None,
        headers: vec![],
        timeout: None,
    }
}

fn named(address: &str, trust: Trust, name: &str) -> ServerConfig {
    ServerConfig { tls_server_name: Some(name.to_owned()), ..config(address, trust) }
}

/// The status of the answer, or the error.
async fn get(config: &ServerConfig) -> Result<u16, VaultError> {
    get_by(Transport::new(config, &SharedResources::default())?).await
}

async fn get_by(transport: Transport) -> Result<u16, VaultError> {
    let token = SecretString::from("hunter2");
    let call = RequestOptions { token: Some(&token), ..RequestOptions::default() };
    transport.ask(&RawRequest::get("kv/a"), "kv/a", &call).await.map(|answer| answer.status().as_u16())
}

impl Server {
    fn address(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().requests.clone()
    }
}

#[test]
fn urls_are_built_as_vaults_own_client_builds_them() {
    let transport =
        |address: &str| Transport::new(&config(address, Trust::System), &SharedResources::default()).unwrap();
    let url = |address: &str, path: &str| transport(address).url(path, None).unwrap().to_string();
    assert_eq!(url("http://v:8200", "secret/data/a"), "http://v:8200/v1/secret/data/a");
    assert_eq!(url("https://proxy/vault/", "/kv//a/"), "https://proxy/vault/v1/kv/a");
    assert_eq!(url("https://[::1]:8200", "kv/a b?#"), "https://[::1]:8200/v1/kv/a%20b%3F%23");
    assert_eq!(url("https://v", "\t/auth/token/renew-self"), "https://v/v1/auth/token/renew-self");
    assert!(transport("http://v").url("kv/../sys/mounts", None).is_err());
}

#[test]
fn a_wrong_address_is_an_error_that_names_it() {
    for address in ["", "vault:8200", "ftp://vault", "http://"] {
        let error = Transport::new(&config(address, Trust::System), &SharedResources::default())
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains("address"), "{error}");
    }
}

#[test]
fn a_wrong_server_name_is_an_error_that_names_it() {
    for name in ["", "a b", "a:1", "https://v"] {
        let error = Transport::new(&named("https://v", Trust::System, name), &SharedResources::default())
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains("tlsServerName"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused_and_nothing_is_sent() {
    let authority = Identity::authority(&["127.0.0.1"]);
    let trust = Trust::Pem(authority.pem());
    let leaf = Identity::new(&["127.0.0.1"], Some(&authority), |_| ());
    for status in [301, 302, 307, 308] {
        for scheme in ["http", "ws"] {
            let plain = serve(None, OK).await;
            let tls = serve(Some(&leaf), &redirect(status, &format!("{}/v1/kv/a", plain.address(scheme)))).await;
            let config = config(&tls.address("https"), trust.clone());
            let result = get(&config).await;
            let transport = Transport::new(&config, &SharedResources::default()).unwrap();
            let token = SecretString::from("hunter2");
            let call = RequestOptions { token: Some(&token), ..RequestOptions::default() };
            let opened = transport.open("sys/events/subscribe/kv*", "json=true", &call).await;
            if status == 308 {
                // Vault's client does not follow it.
                assert_eq!(result, Ok(308));
                assert!(matches!(opened, Ok(Opened::Answer(answer)) if answer.status() == 308));
            } else {
                for error in [result.unwrap_err(), opened.err().expect("refused")] {
                    assert_eq!(error.kind, ErrorKind::Protocol);
                    assert!(error.message.contains("protocol downgrade"), "{error}");
                }
            }
            assert_eq!(plain.requests(), Vec::<String>::new(), "{status} {scheme}");
        }
    }
}

#[tokio::test]
async fn one_redirect_is_followed_with_the_token_and_the_method() {
    let active = serve(None, OK).await;
    for status in [301, 302, 307] {
        let standby = serve(None, &redirect(status, &format!("{}/v1/kv/a", active.address("http")))).await;
        let transport =
            Transport::new(&config(&standby.address("http"), Trust::System), &SharedResources::default()).unwrap();
        let token = SecretString::from("hunter2");
        let call = RequestOptions { token: Some(&token), ..RequestOptions::default() };
        let request = RawRequest::put("kv/a", serde_json::json!({}));
        assert_eq!(transport.ask(&request, "kv/a", &call).await.unwrap().status(), 200);
        let request = active.requests().pop().unwrap();
        assert!(request.starts_with("PUT /v1/kv/a ") && request.contains("x-vault-token: hunter2"), "{request}");
        assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", active.port)), "{request}");
        let again = serve(None, &redirect(status, &format!("{}/v1/kv/a", standby.address("http")))).await;
        let error = get(&config(&again.address("http"), Trust::System)).await.unwrap_err();
        assert_eq!((error.kind, error.message.contains("more than once")), (ErrorKind::Unavailable, true), "{error}");
    }
}

#[tokio::test]
async fn the_server_name_changes_what_is_verified_and_not_where_a_connection_leads() {
    let authority = Identity::authority(&[]);
    let trust = || Trust::Pem(authority.pem());
    let leaf = Identity::new(&["vault.example.com", "192.0.2.7"], Some(&authority), |_| ());
    let server = serve(Some(&leaf), OK).await;
    for name in ["vault.example.com", "192.0.2.7"] {
        assert_eq!(get(&named(&server.address("https"), trust(), name)).await, Ok(200), "{name}");
    }
    assert_eq!(server.seen.lock().names, ["vault.example.com"], "an IP address is no name to send");
    for request in server.requests() {
        assert!(request.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{request}");
    }
    let error = get(&named(&server.address("https"), trust(), "other.example.com")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Tls, "{error}");
    assert_eq!(get(&config(&server.address("https"), trust())).await.unwrap_err().kind, ErrorKind::Tls);

    // A standby leads to another host, whose certificate has that name too.
    let standby = serve(Some(&leaf), &redirect(307, &format!("https://localhost:{}/v1/kv/a", server.port))).await;
    for name in ["vault.example.com", "192.0.2.7"] {
        let before = server.requests().len();
        assert_eq!(get(&named(&standby.address("https"), trust(), name)).await, Ok(200), "{name}");
        assert_eq!(server.requests().len(), before + 1);
        assert!(server.requests()[before].contains(&format!("host: localhost:{}\r\n", server.port)));
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_host_and_not_for_the_server_name() {
    let authority = Identity::authority(&[]);
    let leaf = Identity::new(&["vault.example.com"], Some(&authority), |_| ());
    let server = serve(Some(&leaf), OK).await;
    let proxy = serve_tunnels(server.port).await;
    let proxies = Proxies::new("", &format!("http://user:pass@127.0.0.1:{}", proxy.port), "");
    let config = named("https://inside.example:8200", Trust::Pem(authority.pem()), "vault.example.com");
    assert_eq!(get_by(Transport::with_proxies(&config, &SharedResources::default(), proxies).unwrap()).await, Ok(200));
    let asked = proxy.requests().pop().unwrap();
    assert!(asked.starts_with("CONNECT inside.example:8200 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("proxy-authorization: basic "), "{asked}");
    assert!(!server.requests()[0].to_lowercase().contains("proxy-authorization"));
    assert_eq!(server.seen.lock().names, ["vault.example.com"]);

    // Without TLS the proxy gets the request itself.
    let proxy = serve(None, OK).await;
    let proxies = || Proxies::new(&format!("http://user:pass@127.0.0.1:{}", proxy.port), "", "*.excepted");
    let plain = self::config("http://inside.example:8200", Trust::System);
    assert_eq!(get_by(Transport::with_proxies(&plain, &SharedResources::default(), proxies()).unwrap()).await, Ok(200));
    let request = proxy.requests().pop().unwrap();
    assert!(request.starts_with("GET http://inside.example:8200/v1/kv/a HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("proxy-authorization: Basic "), "{request}");
    // Loopback is never asked for through it.
    let local = serve(None, OK).await;
    for host in ["127.0.0.1", "localhost"] {
        let config = self::config(&format!("http://{host}:{}", local.port), Trust::System);
        assert_eq!(
            get_by(Transport::with_proxies(&config, &SharedResources::default(), proxies()).unwrap()).await,
            Ok(200)
        );
    }
    assert_eq!((local.requests().len(), proxy.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_certificate_that_was_given_itself_is_trusted() {
    let names = ["127.0.0.1"];
    let old = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let authority = Identity::authority(&[]);
    let other = Identity::authority(&names);
    for identity in [
        Identity::authority(&names),
        Identity::new(&names, None, |_| ()),
        Identity::new(&names, Some(&authority), |_| ()),
    ] {
        let server = serve(Some(&identity), OK).await;
        let address = server.address("https");
        assert_eq!(get(&config(&address, Trust::Pem(identity.pem()))).await, Ok(200));
        let both = [other.pem(), identity.pem()].concat();
        assert_eq!(get(&config(&address, Trust::Pem(both))).await, Ok(200));
        // The name counts.
        let error = get(&named(&address, Trust::Pem(identity.pem()), "vault.example.com")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Tls, "{error}");
    }
    // So do the dates.
    for identity in [
        Identity::new(&names, None, old),
        Identity::new(&names, Some(&authority), old),
        Identity::new(&names, None, |params| {
            old(params);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }),
    ] {
        let server = serve(Some(&identity), OK).await;
        let error = get(&config(&server.address("https"), Trust::Pem(identity.pem()))).await.unwrap_err();
        assert!(error.kind == ErrorKind::Tls && error.message.contains("expired"), "{error}");
    }
    // Another certificate is another one, however it is called.
    for (shown, given) in [
        (Identity::authority(&names), Identity::authority(&names)),
        (Identity::new(&names, Some(&authority), |_| ()), Identity::new(&names, Some(&authority), |_| ())),
        (Identity::new(&names, None, |_| ()), Identity::new(&names, None, |_| ())),
    ] {
        let server = serve(Some(&shown), OK).await;
        let error = get(&config(&server.address("https"), Trust::Pem(given.pem()))).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Tls, "{error}");
        assert_eq!(server.requests().len(), 0);
        let skipped = get(&config(&server.address("https"), Trust::InsecureSkipVerify)).await;
        assert_eq!(skipped, Ok(200));
    }
}

#[tokio::test]
async fn failures_on_the_way_are_told_apart() {
    let silent = serve(None, "").await;
    let config =
        |address: String| ServerConfig { timeout: Some(Duration::from_millis(500)), ..config(&address, Trust::System) };
    assert_eq!(get(&config(silent.address("http"))).await.unwrap_err().kind, ErrorKind::TimedOut);
    // The TLS handshake belongs to the connection: it is accepted, and nothing comes.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    assert_eq!(get(&config(address)).await.unwrap_err().kind, ErrorKind::Unreachable);
    let closed = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
    assert_eq!(get(&config(format!("http://{closed}"))).await.unwrap_err().kind, ErrorKind::Unreachable);
    assert_eq!(get(&config("http://no.such.host.invalid".into())).await.unwrap_err().kind, ErrorKind::Unreachable);
    let length = MAX_ANSWER_BYTES + 1;
    let long = format!("HTTP/1.1 200 .\r\nContent-Length: {length}\r\n\r\n{}", " ".repeat(length));
    let long = serve(None, &long).await;
    let patient = ServerConfig { timeout: None, ..config(long.address("http")) };
    let error = get(&patient).await.unwrap_err();
    assert!(error.kind == ErrorKind::Protocol && error.message.contains("4 MiB"), "{error}");
}

#[tokio::test]
async fn the_headers_of_a_connection_are_sent_and_ours_cannot_be_displaced() {
    let server = serve(None, OK).await;
    let headers = [("x-extra", "one"), ("x-extra", "two"), ("X-Vault-Token", "theirs"), ("User-Agent", "theirs")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let config = ServerConfig { headers, ..config(&server.address("http"), Trust::System) };
    assert_eq!(get(&config).await, Ok(200));
    let request = server.requests().pop().unwrap();
    for line in
        ["x-extra: one", "x-extra: two", "x-vault-token: hunter2", "user-agent: theirs", "x-vault-request: true"]
    {
        assert!(request.contains(&format!("{line}\r\n")), "{request}");
    }
    assert!(!request.contains("x-vault-token: theirs"));
}

/// 4 MiB in pieces, each of which counts as held from when it is taken until the answer is dropped.
fn long_body(taken: Arc<Mutex<usize>>) -> impl Body<Data = Bytes, Error = hyper::Error> + Unpin {
    const PIECE: &[u8] = &[b' '; SMALL_ANSWER_BYTES];
    let pieces = futures_util::stream::iter(0..MAX_ANSWER_BYTES / PIECE.len()).then(move |_| {
        let taken = taken.clone();
        async move {
            tokio::task::yield_now().await;
            *taken.lock() += PIECE.len();
            Ok(Frame::data(Bytes::from_static(PIECE)))
        }
    });
    StreamBody::new(Box::pin(pieces))
}

#[tokio::test]
async fn the_long_answers_of_all_servers_together_fit_a_fixed_amount_of_memory() {
    const SERVERS: usize = 20;
    let shared = SharedResources::default();
    let (held, most) = (Arc::<Mutex<usize>>::default(), Mutex::new(0));
    let read = async |i: usize| {
        let config = config(&format!("http://127.0.0.1:{}", i + 1), Trust::System);
        let transport = Transport::new(&config, &shared).unwrap();
        let answer = transport.receive(Response::new(long_body(held.clone()))).await.unwrap();
        // It is parsed now.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut held = held.lock();
        let mut most = most.lock();
        *most = (*most).max(*held);
        *held -= answer.body().len();
    };
    futures_util::future::join_all((0..SERVERS).map(read)).await;
    let most = *most.lock();
    let unasked = 2 * SERVERS * SMALL_ANSWER_BYTES;
    assert!((MAX_ANSWER_BYTES..=long_answers::MAX_READING_BYTES + unasked).contains(&most), "{most} bytes");
}

/// Servers begin a long answer and never end it.
#[tokio::test]
async fn long_answers_that_do_not_end_give_way_to_others() {
    const SERVERS: usize = 60;
    let mut shared = SharedResources::default();
    shared.long_answers.max_turn = Duration::from_millis(20);
    let transport = || Transport::new(&config("http://127.0.0.1:1", Trust::System), &shared).unwrap();
    let endless = |transport: Transport| async move {
        let piece = || Ok(Frame::data(Bytes::from_static(&[b' '; SMALL_ANSWER_BYTES])));
        let pieces = futures_util::stream::iter([piece(), piece(), piece()]);
        let body = StreamBody::new(pieces.chain(futures_util::stream::pending::<Result<_, hyper::Error>>()));
        transport.receive(Response::new(body)).await.map(|answer| answer.body().len())
    };
    let alone = tokio::spawn(endless(transport()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!alone.is_finished(), "no other waits");
    let slow: Vec<_> = (0..SERVERS).map(|_| tokio::spawn(endless(transport()))).collect();
    assert!(matches!(alone.await.unwrap(), Err(TransportError::GaveWay)));
    transport().receive(Response::new(long_body(Arc::default()))).await.expect("it gets its turn");
    slow.iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn the_authorities_of_the_system_are_read_once_and_only_for_https() {
    let shared = SharedResources::default();
    let plain = serve(None, OK).await;
    let transport = Transport::new(&config(&plain.address("http"), Trust::System), &shared).unwrap();
    assert_eq!(get_by(transport).await, Ok(200));
    assert!(!shared.authorities.are_read(), "plain HTTP needs none");
    let authority = Identity::authority(&["127.0.0.1"]);
    let given = Transport::new(&config("https://127.0.0.1:1", Trust::Pem(authority.pem())), &shared).unwrap();
    assert!(get_by(given).await.is_err() && !shared.authorities.are_read(), "others are given");
    let server = serve(Some(&authority), OK).await;
    let mut verifiers = vec![];
    for _ in 0..2 {
        let transport = Transport::new(&config(&server.address("https"), Trust::System), &shared).unwrap();
        assert_eq!(get_by(transport).await.unwrap_err().kind, ErrorKind::Tls);
        verifiers.push(shared.authorities.verifier().await.unwrap());
    }
    assert!(Arc::ptr_eq(&verifiers[0], &verifiers[1]));
}
