use std::sync::Mutex as Lock;

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::token::Granted;
use super::*;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use crate::vault::request::Auth;
use crate::vault::{Read, ReadCache, ServerConfig, SharedResources, Trust, kv};

/// Gives what the test has put there.
struct Provider(Arc<Lock<Result<String, CredentialError>>>);

#[async_trait::async_trait]
impl CredentialProvider for Provider {
    fn login_path(&self) -> Option<String> {
        None
    }

    async fn proof(&self) -> Result<Proof, CredentialError> {
        let secret = self.0.lock().unwrap().clone()?.into();
        Ok(Proof::Token(ProvidedToken { secret, credential_uid: "u".into(), location: "a file".into() }))
    }
}

/// A session whose server is never asked.
fn session(content: &Arc<Lock<Result<String, CredentialError>>>) -> Arc<Session> {
    session_at("http://127.0.0.1:1", &SharedResources::default(), content)
}

fn session_at(
    address: &str,
    shared: &SharedResources,
    content: &Arc<Lock<Result<String, CredentialError>>>,
) -> Arc<Session> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = ServerConfig {
        address: address.into(),
        trust: Trust::System,
        tls_server_name: None,
        client_certificate: None,
        headers: vec![],
        timeout: None,
    };
    let metrics = Metrics::new(&Settings::default()).unwrap();
    let changed = mpsc::unbounded_channel().0;
    let server = Server::new(&config, shared, changed, metrics.client.of_connection("ns/c")).unwrap();
    let source = TokenSource { provider: Box::new(Provider(content.clone())), store: None };
    Arc::new(Session::new(Identity([0; 32]), Arc::new(server), source, CREDENTIAL_BACKOFF))
}

/// The token is as old as if it had been read that long ago.
async fn age(session: &Session, by: Duration) {
    let mut inner = session.inner.lock().await;
    let State::Live(token) = &inner.state else { panic!("no token") };
    let verified = token.verified.checked_sub(by).expect("a machine that is up for longer");
    inner.state = State::Live(Arc::new(Token { verified, ..(**token).clone() }));
}

async fn secret(session: &Arc<Session>) -> Result<String, String> {
    session.token().await.map(|token| token.secret.expose_secret().to_owned()).map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_provided_token_is_read_again_after_a_minute_of_use() {
    let content = Arc::new(Lock::new(Ok("one".to_owned())));
    let session = session(&content);
    assert_eq!(secret(&session).await.as_deref(), Ok("one"));
    let serial = session.token_info().await.map(|info| info.serial);
    *content.lock().unwrap() = Ok("two".to_owned());
    assert_eq!(secret(&session).await.as_deref(), Ok("one"), "nothing tells of it");
    age(&session, Duration::from_secs(60)).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("two"));
    assert_ne!(session.token_info().await.map(|info| info.serial), serial);

    // Events and shared reads go on with a token that is as it was.
    let serial = session.token_info().await.map(|info| info.serial);
    age(&session, Duration::from_secs(60)).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("two"));
    assert_eq!(session.token_info().await.map(|info| info.serial), serial);
    assert_eq!(session.token_info().await.map(|info| info.renewable), Some(false));
}

#[tokio::test]
async fn a_provided_token_stays_while_it_cannot_be_read_and_is_given_up_when_it_is_gone() {
    let content = Arc::new(Lock::new(Ok("one".to_owned())));
    let session = session(&content);
    assert_eq!(secret(&session).await.as_deref(), Ok("one"));
    *content.lock().unwrap() = Err(CredentialError::Unavailable("no answer".into()));
    age(&session, Duration::from_secs(60)).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("one"));
    *content.lock().unwrap() = Err(CredentialError::Unusable("there is none".into()));
    assert_eq!(secret(&session).await.as_deref(), Ok("one"), "it was asked for a moment ago");
    age(&session, Duration::from_secs(60)).await;
    assert_eq!(secret(&session).await, Err("there is none".to_owned()));
    assert!(session.next_login().await.is_some(), "the next look has its time");
}

#[tokio::test]
async fn a_credential_that_changed_counts_at_once() {
    let content = Arc::new(Lock::new(Ok("one".to_owned())));
    let session = session(&content);
    let serial = async || session.token_info().await.map(|info| info.serial);
    let told = async |is_sure: bool| session.on_credential_change(Instant::now(), is_sure).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("one"));
    let first = serial().await;
    told(true).await;
    assert_eq!(serial().await, first, "it is the same");
    *content.lock().unwrap() = Ok("two".to_owned());
    session.on_credential_change(Instant::now() - Duration::from_secs(3), true).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("one"), "it was read since");
    *content.lock().unwrap() = Err(CredentialError::Unavailable("no answer".into()));
    told(true).await;
    assert_eq!(serial().await, first, "it cannot be told");
    *content.lock().unwrap() = Ok("two".to_owned());
    told(false).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("two"));
    *content.lock().unwrap() = Err(CredentialError::Unusable("there is none".into()));
    told(true).await;
    assert_eq!(secret(&session).await, Err("there is none".to_owned()));
    *content.lock().unwrap() = Ok("two".to_owned());
    assert_eq!(secret(&session).await, Err("there is none".to_owned()), "it is not asked for again yet");
    told(true).await;
    assert_eq!(secret(&session).await.as_deref(), Ok("two"));

    // The credential behind the token of an earlier process is not known.
    session.inner.lock().await.credential = None;
    let before = serial().await;
    told(false).await;
    assert_eq!(serial().await, before);
    session.inner.lock().await.credential = None;
    told(true).await;
    assert_eq!(serial().await, None);
}

#[tokio::test]
async fn a_denial_stands_until_another_token_is_provided() {
    let content = Arc::new(Lock::new(Ok("one".to_owned())));
    let session = session(&content);
    let denied = session.token().await.expect("a token");
    let judge = || session.on_permission_denied(&denied, ("", "p"));
    *content.lock().unwrap() = Ok("two".to_owned());
    assert_eq!(judge().await, AfterDenial::Stands, "it was read a moment ago");
    *content.lock().unwrap() = Ok("one".to_owned());
    age(&session, Duration::from_secs(5)).await;
    assert_eq!(judge().await, AfterDenial::Stands, "it is as it was");
    *content.lock().unwrap() = Ok("two".to_owned());
    assert_eq!(judge().await, AfterDenial::Stands, "it was read a moment ago");
    age(&session, Duration::from_secs(5)).await;
    assert_eq!(judge().await, AfterDenial::Retry);
    assert_eq!(secret(&session).await.as_deref(), Ok("two"));
    let error = denied.explain(VaultError::new(ErrorKind::PermissionDenied, "p", "no"));
    assert_eq!(error.message, "no; the token is that in a file");
}

#[test]
fn uses_are_counted_and_such_a_token_is_not_renewed() {
    let granted = |num_uses: u64| Granted {
        auth: Auth { lease: Duration::from_secs(60), renewable: true, num_uses, ..Auth::default() },
        namespace: String::new(),
        index: None,
        credential_uid: String::new(),
        login_response: None,
        stored_under: None,
        location: None,
    };
    let token = Token::new(granted(3));
    assert!(!token.info.renewable && token.has_limited_uses());
    let copy = token.clone();
    assert_eq!([token.take_use(), copy.take_use(), token.take_use(), copy.take_use()], [true, true, true, false]);
    let token = Token::new(granted(0));
    assert!(token.info.renewable && !token.has_limited_uses());
    assert!((0..100).all(|_| token.take_use()));
}

/// Answers every request with this body. Gives the address, and how many requests there were.
async fn serve(body: String) -> (String, Arc<Lock<usize>>) {
    let answer = format!("HTTP/1.1 200 .\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests: Arc<Lock<usize>> = Arc::default();
    let count = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            *count.lock().unwrap() += 1;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_long_answer_has_its_turn_until_the_last_object_is_done_with_it() {
    let value = "a".repeat(100 * 1024);
    let secret = format!(r#"{{"data":{{"data":{{"k":"{value}"}},"metadata":{{"version":1}}}}}}"#);
    let (address, requests) = serve(secret).await;
    let shared = SharedResources::default();
    let all = shared.free_turns();
    let session = session_at(&address, &shared, &Arc::new(Lock::new(Ok("one".to_owned()))));
    let reads = ReadCache::default();
    let read = || Read { namespace: String::new(), path: "secret/data/a".into(), version: Some(0) };
    let objects = [reads.share(session.identity, read()), reads.share(session.identity, read())];
    let now = std::time::Instant::now();
    let get = |object: usize| objects[object].get(&session, now, None);
    let (one, two) = tokio::join!(get(0), get(1));
    assert_eq!(*requests.lock().unwrap(), 1, "they share the read");
    let data = kv::parse(&one.unwrap().0, "p", Some(0)).ok().unwrap();
    drop(two);
    assert_eq!(shared.free_turns(), all - 1);
    drop(data);
    assert_eq!(shared.free_turns(), all, "the answer is not kept in case another object wants it");
}

/// Nodes behind a load balancer: each connection leads to the next one, which answers every request with its version of
/// a secret. The first one closes the connection after its answer.
async fn serve_versions(versions: &'static [u64]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for (node, version) in versions.iter().enumerate() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = format!(
                r#"{{"data":{{"data":{{"k":"v"}},"metadata":{{"version":{version},"created_time":"2026-01-0{version}T00:00:00Z"}}}}}}"#
            );
            let close = if node == 0 { "Connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 200 .\r\n{close}Content-Length: {}\r\n\r\n{body}", body.len());
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    if node == 0 {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_node_that_is_behind_is_left_for_another() {
    let address = serve_versions(&[2, 1, 2]).await;
    let session = session_at(&address, &SharedResources::default(), &Arc::new(Lock::new(Ok("one".to_owned()))));
    let read = Read { namespace: String::new(), path: "secret/data/a".into(), version: Some(0) };
    let shared = ReadCache::default().share(session.identity, read);
    for _ in 0..2 {
        let (answer, _) = shared.get(&session, Instant::now(), None).await.unwrap();
        assert_eq!(answer.data["metadata"]["version"], 2);
    }
}

#[tokio::test]
async fn a_version_that_is_older_everywhere_is_an_error() {
    let address = serve_versions(&[2, 1, 1, 1, 1, 1]).await;
    let session = session_at(&address, &SharedResources::default(), &Arc::new(Lock::new(Ok("one".to_owned()))));
    let read = Read { namespace: String::new(), path: "secret/data/a".into(), version: Some(0) };
    let shared = ReadCache::default().share(session.identity, read);
    shared.get(&session, Instant::now(), None).await.unwrap();
    match shared.get(&session, Instant::now(), None).await {
        Err(SessionError::Request(error)) => assert_eq!(error.kind, ErrorKind::StaleReplica),
        other => panic!("{:?}", other.map(|(answer, _)| answer.data.clone())),
    }
}

#[test]
fn the_state_that_has_a_token_is_named_for_a_while() {
    let granted = |index: Option<&str>| Granted {
        auth: Auth::default(),
        namespace: String::new(),
        index: index.map(str::to_owned),
        credential_uid: String::new(),
        login_response: None,
        stored_under: None,
        location: None,
    };
    let now = Instant::now();
    let token = Token::new(granted(Some("state")));
    assert_eq!(token.needed_index(now).as_deref(), Some("state"));
    assert_eq!(token.needed_index(now + Duration::from_secs(400)), None);
    assert_eq!(Token::new(granted(None)).needed_index(now), None);
}

/// Has the token of an earlier process.
struct Stored(&'static str);

#[async_trait::async_trait]
impl TokenStore for Stored {
    async fn load(&self) -> Option<StoredLogin> {
        Some(StoredLogin {
            key: "k".into(),
            login_response: self.0.to_owned().into(),
            namespace: String::new(),
            credential_uid: "u".into(),
        })
    }

    async fn delete(&self, why: Option<&str>) {
        panic!("it is good: {why:?}");
    }
}

#[tokio::test]
async fn a_stored_token_with_a_huge_lease_is_taken_up() {
    for lease in ["18446744073709551615", "9223372036854775807", "1e30", "-1"] {
        let (address, requests) =
            serve(format!(r#"{{"auth":{{"client_token":"x","renewable":true,"lease_duration":{lease}}}}}"#)).await;
        let content = Arc::new(Lock::new(Err(CredentialError::Unusable("it must not log in".into()))));
        let session = session_at(&address, &SharedResources::default(), &content);
        let stored =
            Stored(r#"{"auth":{"client_token":"stored","renewable":true,"lease_duration":18446744073709551615}}"#);
        let source = TokenSource { provider: Box::new(Provider(content)), store: Some(Box::new(stored)) };
        let session = Arc::new(Session::new(Identity([0; 32]), session.server.clone(), source, CREDENTIAL_BACKOFF));
        assert_eq!(secret(&session).await.as_deref(), Ok("stored"), "{lease}");
        assert_eq!(secret(&session).await.as_deref(), Ok("stored"), "{lease}");
        // What renews the token lives with it.
        tokio::task::yield_now().await;
        assert_eq!(*requests.lock().unwrap(), 1, "{lease}: one renewal");
    }
}
