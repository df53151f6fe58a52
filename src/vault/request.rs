//! The request that reaches any path of Vault, and the envelope of every answer.

use std::sync::Arc;
use std::time::Duration;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use super::json::{self, JsonError};
use super::transport::{Connection, Turn};
use super::{ErrorKind, VaultError};
use crate::render::SourceData;

/// What is read. Equal reads with the same session are the same read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// Vault namespace, empty for the root.
    pub namespace: String,
    /// API path without `/v1/`.
    pub path: String,
    /// KV v2: the version wanted, 0 for the latest. `None` for every other path.
    pub version: Option<i64>,
}

/// A request to any path of Vault.
pub(super) struct RawRequest {
    method: RequestMethod,
    path: String,
    query: Option<String>,
    body: Option<Value>,
}

impl RawRequest {
    /// `GET` without a query.
    pub fn get(path: &str) -> Self {
        Self { method: RequestMethod::GET, path: path.to_owned(), query: None, body: None }
    }

    /// `GET` of what is read.
    pub fn read(read: &Read) -> Self {
        let query = read.version.filter(|version| *version > 0).map(|version| format!("version={version}"));
        Self { query, ..Self::get(&read.path) }
    }

    /// `LIST` of a folder.
    pub fn list(path: &str) -> Self {
        Self { query: Some("list=true".to_owned()), ..Self::get(path) }
    }

    /// `DELETE` without a body.
    pub fn delete(path: &str) -> Self {
        Self { method: RequestMethod::DELETE, ..Self::get(path) }
    }

    /// `PUT` of a JSON body.
    pub fn put(path: &str, body: Value) -> Self {
        Self { method: RequestMethod::PUT, path: path.to_owned(), query: None, body: Some(body) }
    }
}

impl Endpoint for RawRequest {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let body = self.body.as_ref().map(serde_json::to_vec).transpose();
        body.map_err(|e| ClientError::DataParseError { source: e.into() })
    }
}

/// What every answer of Vault's API is wrapped in. All members are optional, since Vault leaves out or nulls most.
#[derive(Default, Deserialize)]
pub struct Envelope {
    /// The content, `null` where there is none. Numbers are as they were sent. Objects share it.
    #[serde(skip)]
    pub data: Arc<Value>,
    /// When the answer was made, in seconds since 1970 on the clock of the server (`Date`).
    #[serde(skip)]
    pub date: Option<i64>,
    /// ID of the request, as in Vault's audit log.
    #[serde(default)]
    pub request_id: String,
    /// ID of the lease of the content; empty without one.
    #[serde(default)]
    pub lease_id: String,
    /// How long that lease lasts; zero without one.
    #[serde(default, deserialize_with = "seconds")]
    pub lease_duration: Duration,
    /// Whether the lease can be renewed.
    #[serde(default)]
    pub renewable: bool,
    /// Remarks, such as that a path exists only below a KV v2 prefix.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
    /// Set in answers to logins and token renewals.
    #[serde(default)]
    pub(super) auth: Option<Auth>,
    /// `auth` as it was sent: a token that was made, and what Vault says of it.
    #[serde(skip)]
    pub auth_members: Value,
    /// Kind of the engine, where the server tells it.
    #[serde(default)]
    pub mount_type: String,
    #[serde(default)]
    pub(super) errors: Option<Vec<String>>,
    /// The turn of a long answer.
    #[serde(skip)]
    pub(super) turn: Option<Arc<Turn>>,
    /// State of the node that answered (`X-Vault-Index`), where the server tells it.
    #[serde(skip)]
    pub(super) index: Option<String>,
    /// What it came by.
    #[serde(skip)]
    pub(super) connection: Option<Connection>,
}

impl Envelope {
    /// Whether it is longer than answers commonly are, and holds its turn for long ones as long as it is in use.
    pub fn is_long(&self) -> bool {
        self.turn.is_some()
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    /// If it is no JSON object as Vault sends, or exceeds a limit on depth or memory.
    pub fn parse(body: &[u8]) -> Result<Self, JsonError> {
        let Value::Object(mut members) = json::parse(body)? else { return Err(JsonError::Syntax) };
        // The numbers of the content would lose their form on the way through serde.
        let data = members.remove("data").unwrap_or_default();
        let auth_members = members.get("auth").cloned().unwrap_or_default();
        let envelope: Self = serde_json::from_value(Value::Object(members)).map_err(|_| JsonError::Syntax)?;
        Ok(Self { data: Arc::new(data), auth_members, ..envelope })
    }

    /// The content as [`SourceData::flat`]. It has the turn of the answer.
    pub fn flat(&self, kind: &'static str) -> SourceData {
        self.with_turn(SourceData::flat(kind, self.data.clone()))
    }

    /// The content as [`SourceData::nested`]. It has the turn of the answer.
    pub fn nested(&self, kind: &'static str) -> SourceData {
        self.with_turn(SourceData::nested(kind, self.data.clone()))
    }

    fn with_turn(&self, source: SourceData) -> SourceData {
        match &self.turn {
            Some(turn) => source.holding(turn.clone()),
            None => source,
        }
    }
}

/// The token that a login gave.
#[derive(Default, Deserialize)]
pub(super) struct Auth {
    /// Empty where Vault asks for a second factor first.
    #[serde(default)]
    pub client_token: SecretString,
    #[serde(default)]
    pub accessor: String,
    /// Zero: the token does not expire.
    #[serde(default, rename = "lease_duration", deserialize_with = "seconds")]
    pub lease: Duration,
    #[serde(default)]
    pub renewable: bool,
    /// How often the token can be used; zero: without limit.
    #[serde(default)]
    pub num_uses: u64,
    /// What Vault asks for before it gives a token.
    #[serde(default)]
    pub mfa_requirement: Option<serde::de::IgnoredAny>,
}

/// No lease is longer. A clock of the process can count that far.
const MAX_LEASE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The lease of so many seconds.
pub(crate) fn lease(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(MAX_LEASE)
}

/// A number of seconds, however large.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?.unwrap_or_else(|| 0.into());
    let large = number.as_f64().is_some_and(|number| number > 0.0);
    Ok(lease(number.as_u64().unwrap_or(if large { u64::MAX } else { 0 })))
}

/// No server delays the next request for longer.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// No server tells its state in more.
const MAX_INDEX_BYTES: usize = 1024;

/// The time of an answer, where the server tells it.
fn date(headers: &http::HeaderMap) -> Option<i64> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp())
}

/// The state of the node that answered, where it tells that.
fn index(headers: &http::HeaderMap) -> Option<String> {
    let text = headers.get("x-vault-index")?.to_str().ok()?;
    (text.len() <= MAX_INDEX_BYTES).then(|| text.to_owned())
}

/// Turns an HTTP answer into an envelope or a classified error.
pub(super) fn classify(path: &str, response: &http::Response<Vec<u8>>) -> Result<Envelope, VaultError> {
    let status = response.status().as_u16();
    let body = response.body();
    if status == 204 || (body.is_empty() && response.status().is_success()) {
        return Ok(Envelope::default());
    }
    let turn = response.extensions().get::<Arc<Turn>>().cloned();
    let connection = response.extensions().get::<Connection>().cloned();
    let parsed = Envelope::parse(body).map(|envelope| Envelope { turn, connection, ..envelope });
    if response.status().is_success() {
        let (date, index) = (date(response.headers()), index(response.headers()));
        return parsed
            .map(|envelope| Envelope { date, index, ..envelope })
            .map_err(|error| VaultError::new(ErrorKind::Protocol, path, error.to_string()));
    }
    let parsed = parsed.ok();
    let messages = parsed.as_ref().and_then(|e| e.errors.clone()).unwrap_or_default();
    // Vault makes lists of several lines even of one error.
    let text = messages.join("; ").split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |text: &str| messages.iter().any(|message| message.contains(text));
    // Another namespace may well be served. OpenBao can seal each; OpenBao and Vault Enterprise can lock each.
    let is_of_namespace = match status {
        404 => has("namespace not found"),
        503 => has("namespace is sealed") || has("API access to this namespace has been locked"),
        _ => false,
    };
    if status == 404 && !is_of_namespace {
        // With data or warnings a 404 is an answer: KV v2 reports deleted and destroyed versions like that.
        return match parsed {
            Some(envelope) if !envelope.data.is_null() || envelope.warnings.is_some() => Ok(envelope),
            // Whatever is in front of Vault answers so, too: that says nothing of what Vault holds.
            Some(Envelope { errors: Some(_), .. }) => Err(VaultError::new(ErrorKind::NotFound, path, text)),
            _ => Err(VaultError::new(ErrorKind::NotFound, path, "HTTP 404, in another form than Vault's")),
        };
    }
    // Go's HTTP server says so in plain text, and Vault sees nothing of the request.
    let needs_tls = body.starts_with(b"Client sent an HTTP request to an HTTPS server");
    let text = if needs_tls { "the server speaks TLS: the address begins with https://".to_owned() } else { text };
    let text = if text.is_empty() { format!("HTTP {status}") } else { format!("{text} (HTTP {status})") };
    let kind = match status {
        _ if is_of_namespace => ErrorKind::NamespaceNotServed,
        // Vault says 403; servers that only speak its API may say 401 to a wrong token.
        401 | 403 => ErrorKind::PermissionDenied,
        // A standby of OpenBao that has not got the state yet which the request names. Quotas have a text.
        429 if parsed.is_some_and(|envelope| envelope.errors.is_some_and(|errors| errors.is_empty())) => {
            ErrorKind::StaleReplica
        }
        429 => ErrorKind::Throttled,
        503 if has("sealed") || has("not initialized") => ErrorKind::Sealed,
        412 => ErrorKind::StaleReplica,
        472 | 473 | 502..=504 => ErrorKind::Unavailable,
        500 if has("node not active") || has("standby") => ErrorKind::Unavailable,
        500..=599 => ErrorKind::InternalError,
        _ => ErrorKind::Invalid,
    };
    let mut error = VaultError::new(kind, path, text);
    error.retry_after = response
        .headers()
        .get(http::header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Envelope, VaultError> {
        classify("p", &http::Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn answers_without_data_are_told_apart() {
        let kind = |status, body| answer(status, body).err().map(|e| e.kind);
        assert_eq!(kind(404, r#"{"errors":[]}"#), Some(ErrorKind::NotFound));
        let message = |body| answer(404, body).err().map(|error| error.message.is_empty());
        assert_eq!(message(r#"{"errors":[]}"#), Some(true));
        for body in ["", "404 page not found", "<html>", r#"{"code":404}"#] {
            assert_eq!(message(body), Some(false), "{body} is not of Vault");
        }
        assert_eq!(kind(403, r#"{"errors":["permission denied"]}"#), Some(ErrorKind::PermissionDenied));
        assert_eq!(kind(401, "unauthorized"), Some(ErrorKind::PermissionDenied));
        assert_eq!(kind(503, r#"{"errors":["Vault is sealed"]}"#), Some(ErrorKind::Sealed));
        assert_eq!(kind(503, "<html>"), Some(ErrorKind::Unavailable));
        let locked = r#"{"errors":["API access to this namespace has been locked by an administrator - \"team/\" must be unlocked to gain access."]}"#;
        for (status, body) in [
            (503, r#"{"errors":["namespace is sealed"]}"#),
            (503, locked),
            (404, r#"{"errors":["namespace not found"]}"#),
        ] {
            assert_eq!(kind(status, body), Some(ErrorKind::NamespaceNotServed), "{body}");
        }
        assert_eq!(kind(502, ""), Some(ErrorKind::Unavailable));
        assert_eq!(kind(412, r#"{"errors":["required index state not present"]}"#), Some(ErrorKind::StaleReplica));
        assert_eq!(kind(500, r#"{"errors":["connection gone"]}"#), Some(ErrorKind::InternalError));
        let no_leader = r#"{"errors":["local node not active but active cluster node not found"]}"#;
        assert_eq!(kind(500, no_leader), Some(ErrorKind::Unavailable));
        assert_eq!(kind(429, ""), Some(ErrorKind::Throttled));
        let quota = r#"{"errors":["request path \"kv/a\": rate limit quota exceeded"]}"#;
        assert_eq!(kind(429, quota), Some(ErrorKind::Throttled));
        assert_eq!(kind(429, r#"{"errors":[]}"#), Some(ErrorKind::StaleReplica));
        assert_eq!(kind(400, r#"{"errors":["bad"]}"#), Some(ErrorKind::Invalid));
        assert_eq!(kind(200, "<html>secret</html>"), Some(ErrorKind::Protocol));
        assert_eq!(kind(404, r#"{"data":{"data":null,"metadata":{"deletion_time":"x"}}}"#), None);
    }

    #[test]
    fn an_error_never_quotes_a_body_that_is_not_an_error() {
        let error = answer(200, r#"{"data":{"password":"hunter2""#).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn numbers_stay_as_they_were_sent() {
        let envelope = answer(200, r#"{"data":{"n":12345678901234567890123,"f":1.50,"e":1e21}}"#).ok().unwrap();
        assert_eq!(envelope.data.to_string(), r#"{"e":1e21,"f":1.50,"n":12345678901234567890123}"#);
    }

    #[test]
    fn a_lease_is_never_longer_than_a_clock_can_count() {
        for (text, expected) in [
            ("3600", 3600),
            ("0", 0),
            ("-1", 0),
            ("null", 0),
            ("18446744073709551615", MAX_LEASE.as_secs()),
            ("9223372036854775807", MAX_LEASE.as_secs()),
            ("1e30", MAX_LEASE.as_secs()),
            ("123456789012345678901234567890", MAX_LEASE.as_secs()),
        ] {
            let body = format!(r#"{{"auth":{{"client_token":"x","lease_duration":{text}}}}}"#);
            let auth = answer(200, &body).ok().unwrap().auth.unwrap();
            assert_eq!(auth.lease.as_secs(), expected, "{text}");
            assert!(std::time::Instant::now().checked_add(auth.lease).is_some());
        }
    }

    #[test]
    fn hostile_answers_are_errors() {
        let deep = format!(r#"{{"data":{{"data":{{"k":{}1e5{}}}}}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        let error = answer(200, &deep).err().unwrap();
        assert!(error.kind == ErrorKind::Protocol && error.message.contains("within each other"), "{error}");
        let many = format!(r#"{{"data":{{"k":[{}0]}}}}"#, "0,".repeat(1_000_000));
        let error = answer(200, &many).err().unwrap();
        assert!(error.kind == ErrorKind::Protocol && error.message.contains("memory"), "{error}");
        assert_eq!(answer(500, &deep).err().unwrap().kind, ErrorKind::InternalError);
    }

    #[test]
    fn the_time_of_an_answer_is_read() {
        let date = |text: &str| {
            let response = http::Response::builder().status(200).header("Date", text).body(b"{}".to_vec()).unwrap();
            classify("p", &response).ok().unwrap().date
        };
        assert_eq!(date("Thu, 01 Jan 2026 00:00:01 GMT"), Some(1_767_225_601));
        assert_eq!(date("yesterday"), None);
        assert_eq!(answer(200, "{}").ok().unwrap().date, None);
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_or_refused(status in 100u16..600, text in ".{0,60}", cut in 0usize..200) {
            let whole = r#"{"request_id":"r","lease_duration":2764800,"data":{"data":{"a":1e5},"metadata":{"version":3}},"warnings":["w"],"auth":{"client_token":"t","lease_duration":10,"renewable":true,"num_uses":3},"errors":["e"]}"#;
            let mutated: String = whole.chars().take(cut).chain(text.chars()).chain(whole.chars().skip(cut + 1)).collect();
            for body in [&text, &mutated] {
                if let Ok(envelope) = answer(status, body) {
                    let _ = crate::vault::kv::parse(&envelope, "p", Some(0));
                    let _ = crate::vault::kv::parse(&envelope, "p", None);
                }
            }
        }
    }
}
