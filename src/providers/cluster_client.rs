//! Connections to the API servers of stores, kept while they are in use.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;

use super::cluster_login::connect;
use crate::backoff::{Backoff, Policy};
use crate::resolve::ClusterStore;
use crate::telemetry::{KUBERNETES, ProviderCalls};
use crate::vault::{
    JsonError, LongAnswers, LongAnswersOfServer, MAX_ANSWER_BYTES, ReceiveError, Turn, parse_json, root_cause,
};

/// A connection is made anew after this: a token, certificate or authority may have been replaced.
const CLIENT_TTL: Duration = Duration::from_secs(300);
/// So many connections are kept.
const MAX_CLIENTS: usize = 1_000;
/// No request takes longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longer than a watch lives.
const QUIET_TIMEOUT: Duration = Duration::from_secs(300);
/// An answer that has begun is read in this time, or given up: a server that sends byte by byte holds up no other for
/// long.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest message of a server that is told. An event holds 1 KiB.
const MAX_MESSAGE_BYTES: usize = 400;

/// Why a cluster does not give what it is asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ClusterError {
    /// What went wrong.
    pub cause: ClusterFault,
    /// When all that read the store try again. `None`: only this request failed.
    pub retry_at: Option<Instant>,
    message: String,
}

/// What goes wrong with a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterFault {
    /// Not even a client could be made.
    Login,
    /// There was no answer.
    NoAnswer,
    /// The server refused, with this status.
    Refused(u16),
    /// The answer is longer than any that is read.
    TooLong,
    /// The answer is not what was asked for.
    Unusable,
}

/// The connections, by what they are made from.
pub struct ClusterClients {
    known: Mutex<HashMap<ClusterStore, (Arc<ClusterClient>, Instant)>>,
    backoff: Policy,
    long_answers: LongAnswers,
    calls: Option<ProviderCalls>,
}

/// The connection of a store, and what is known of its server.
pub struct ClusterClient {
    state: tokio::sync::Mutex<State>,
}

#[derive(Clone)]
struct Connection {
    client: kube::Client,
    long_answers: LongAnswersOfServer,
}

#[derive(Default)]
struct State {
    /// A connection whose last request was answered.
    works: Option<(Connection, Instant)>,
    /// Why there is none, and no attempt is made before its `retry_at`.
    failed: Option<ClusterError>,
    backoff: Backoff,
    /// When the last connection was made, or could not be.
    made: Option<Instant>,
}

impl ClusterClients {
    /// None yet. One that fails is tried again after the pauses of `backoff`. Requests are counted with `calls`.
    pub fn new(backoff: Policy, calls: Option<ProviderCalls>) -> Self {
        let backoff = Policy { max_elapsed: Duration::ZERO, ..backoff };
        Self { known: Mutex::default(), backoff, long_answers: LongAnswers::default(), calls }
    }

    fn get(&self, store: &ClusterStore) -> Arc<ClusterClient> {
        let now = Instant::now();
        let mut known = self.known.lock();
        if let Some((client, used)) = known.get_mut(store) {
            *used = now;
            return client.clone();
        }
        known.retain(|_, (_, used)| now.duration_since(*used) < CLIENT_TTL);
        let client = Arc::new(ClusterClient { state: tokio::sync::Mutex::default() });
        if known.len() < MAX_CLIENTS {
            known.insert(store.clone(), (client.clone(), now));
        }
        client
    }

    /// What a store names has changed at `at`: neither a connection that was made before, nor the failure of one,
    /// counts any more.
    pub async fn on_credential_change(&self, store: &ClusterStore, at: Instant) {
        let Some(client) = self.known.lock().get(store).map(|(client, _)| client.clone()) else { return };
        let mut state = client.state.lock().await;
        if state.made.is_some_and(|made| made < at) {
            *state = State::default();
        }
    }

    async fn ask(&self, connection: &Connection, request: &ClusterRequest<'_>) -> Result<Received, ClusterError> {
        let answer = connection.ask(request).await;
        if let Some(calls) = &self.calls {
            calls.count(KUBERNETES, request.call(), answer.is_ok());
        }
        answer
    }

    /// The answer to a request, `None` if there is no such object; `read` takes from it what is needed. Until a first
    /// answer has shown that the connection works there is one request at a time: however many objects read the store,
    /// a server that is down, or a login that is refused, costs one attempt for each pause.
    pub async fn send<T>(
        &self,
        own: &kube::Client,
        store: &ClusterStore,
        request: &ClusterRequest<'_>,
        read: impl FnOnce(Option<Value>) -> T,
    ) -> Result<T, ClusterError> {
        let client = self.get(store);
        let mut state = client.state.lock().await;
        if let Some((connection, made)) = state.works.clone()
            && made.elapsed() < CLIENT_TTL
        {
            drop(state);
            match self.ask(&connection, request).await {
                Ok(answer) => return Ok(answer.read(read)),
                Err(error) if !error.ends_connection() => return Err(error),
                Err(_) => {}
            }
            // The token may have been replaced, or the server restarted.
            state = client.state.lock().await;
            if state.works.as_ref().is_some_and(|(_, since)| *since == made) {
                state.works = None;
            }
        }
        if let Some(error) = &state.failed
            && error.retry_at.is_some_and(|at| Instant::now() < at)
        {
            return Err(error.clone());
        }
        let made = Instant::now();
        state.made = Some(made);
        let asked = async {
            let client =
                connect(own, store, REQUEST_TIMEOUT).await.map_err(|why| ClusterError::of(ClusterFault::Login, why))?;
            let connection = Connection { client, long_answers: LongAnswersOfServer::new(self.long_answers.clone()) };
            let answer = self.ask(&connection, request).await;
            Ok((connection, answer))
        };
        let failed = match asked.await {
            Ok((connection, answer)) if !answer.as_ref().is_err_and(ClusterError::ends_connection) => {
                *state = State { works: Some((connection, made)), made: Some(made), ..State::default() };
                drop(state);
                return answer.map(|answer| answer.read(read));
            }
            Ok((_, Ok(_))) => unreachable!("an answer ends no connection"),
            Ok((_, Err(error))) | Err(error) => error,
        };
        let pause = state.backoff.next(&self.backoff, Instant::now(), &mut rand::rng()).unwrap_or(self.backoff.max);
        let failed = ClusterError { retry_at: Some(Instant::now() + pause), ..failed };
        (state.works, state.failed) = (None, Some(failed.clone()));
        Err(failed)
    }
}

impl Connection {
    async fn ask(&self, request: &ClusterRequest<'_>) -> Result<Received, ClusterError> {
        let Self { client, long_answers } = self;
        let ClusterRequest { method, path, body } = request;
        let unusable = |why: String| ClusterError::of(ClusterFault::Unusable, why);
        let no_answer = |why: String| ClusterError::of(ClusterFault::NoAnswer, why);
        let content = body.map(Value::to_string).unwrap_or_default();
        let built = Request::builder()
            .method(method)
            .uri(*path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(content.into_bytes()))
            .map_err(|error| unusable(error.to_string()))?;
        let late = || no_answer(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()));
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, client.send(built)).await.map_err(|_| late())?;
        let answer = answer.map_err(|error| no_answer(root_cause(&error)))?;
        let status = answer.status();
        let received = tokio::time::timeout(READ_TIMEOUT, long_answers.receive(answer.into_body()));
        let (body, turn) = received.await.map_err(|_| late())?.map_err(|error| match error {
            ReceiveError::Body(_) => no_answer("the answer broke off".to_owned()),
            ReceiveError::GaveWay => no_answer("a long answer came too slowly, and others wait".to_owned()),
            ReceiveError::TooLong => {
                let text = format!("the answer is longer than {} MiB", MAX_ANSWER_BYTES >> 20);
                ClusterError::of(ClusterFault::TooLong, text)
            }
        })?;
        let parsed = parse_json(&body);
        if status.is_success() {
            let value = parsed.map_err(|error| match error {
                JsonError::Memory => ClusterError::of(ClusterFault::TooLong, error.to_string()),
                JsonError::Syntax | JsonError::Depth => unusable("the answer is no JSON of Kubernetes".to_owned()),
            })?;
            return Ok(Received { value: Some(value), _turn: turn });
        }
        let answer = parsed.ok().filter(|answer| answer.get("kind").and_then(Value::as_str) == Some("Status"));
        let word = |member: &str| answer.as_ref().and_then(|answer| answer.pointer(member)?.as_str());
        // Whatever is in front of an API server says 404, too, and so does one that knows no such resource.
        let names_object = word("/reason") == Some("NotFound")
            && word("/details/kind") == Some("secrets")
            && word("/details/name").is_some_and(|name| path.rsplit('/').next() == Some(name));
        if status == StatusCode::NOT_FOUND && names_object {
            return Ok(Received { value: None, _turn: turn });
        }
        // The message of a status never quotes a Secret.
        let message = word("/message").map_or_else(|| format!("HTTP {}", status.as_u16()), shown);
        Err(ClusterError::of(ClusterFault::Refused(status.as_u16()), message))
    }
}

/// What a cluster is asked.
pub struct ClusterRequest<'a> {
    /// Method.
    pub method: Method,
    /// Path with the query.
    pub path: &'a str,
    /// Body.
    pub body: Option<&'a Value>,
}

impl ClusterRequest<'_> {
    /// ESO's name of the request.
    fn call(&self) -> &'static str {
        let path = self.path.split('?').next().unwrap_or("");
        match self.method {
            _ if path.ends_with("/selfsubjectrulesreviews") => "CreateSelfSubjectRulesReview",
            _ if path.ends_with("/selfsubjectaccessreviews") => "CreateSelfSubjectAccessReview",
            Method::GET if path.ends_with("/secrets") => "ListSecrets",
            Method::GET => "GetSecret",
            Method::POST => "CreateSecret",
            Method::DELETE => "DeleteSecret",
            _ => "PatchSecret",
        }
    }
}

/// An answer that was received, and the right to have one in memory.
struct Received {
    value: Option<Value>,
    _turn: Option<Turn>,
}

impl Received {
    fn read<T>(self, read: impl FnOnce(Option<Value>) -> T) -> T {
        read(self.value)
    }
}

impl ClusterError {
    fn of(cause: ClusterFault, message: String) -> Self {
        Self { cause, retry_at: None, message }
    }

    /// The answer is not what was asked for.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self::of(ClusterFault::Unusable, message.into())
    }

    /// Other requests with the connection would fail as well.
    fn ends_connection(&self) -> bool {
        matches!(self.cause, ClusterFault::Login | ClusterFault::NoAnswer | ClusterFault::Refused(401 | 502..=504))
    }
}

/// A connection to the API server of a store on which a watch may be quiet. The caller keeps it no longer than its
/// token lives.
///
/// # Errors
/// If there is nothing to connect with.
pub async fn watching_client(own: &kube::Client, store: &ClusterStore) -> Result<kube::Client, ClusterError> {
    let client = connect(own, store, QUIET_TIMEOUT).await;
    client.map_err(|why| ClusterError::of(ClusterFault::Login, why))
}

/// A number for the runs that wait for one store.
pub fn lane(store: &ClusterStore) -> u64 {
    let mut hasher = DefaultHasher::new();
    store.hash(&mut hasher);
    hasher.finish()
}

/// What is shown of a text that a server has sent.
fn shown(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_BYTES).collect();
    text[..text.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}
