//! The request that reaches any path of Vault, and the envelope of every answer.

use std::sync::Arc;

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{ErrorKind, VaultError, numbers};

/// What is read. Equal reads with the same session are the same read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// Vault namespace, empty for the root.
    pub namespace: String,
    /// API path without `/v1/`.
    pub path: String,
    /// KV v2: the version wanted, 0 for the latest.
    pub version: i64,
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
        let query = (read.version > 0).then(|| format!("version={}", read.version));
        Self { query, ..Self::get(&read.path) }
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
    #[serde(default, deserialize_with = "content")]
    pub data: Arc<Value>,
    /// Remarks, such as that a path exists only below a KV v2 prefix.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
    /// Set in answers to logins and token renewals.
    #[serde(default)]
    pub(super) auth: Option<Auth>,
    #[serde(default)]
    pub(super) errors: Option<Vec<String>>,
}

fn content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Value>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    numbers::parse(raw.get()).map(Arc::new).map_err(serde::de::Error::custom)
}

/// The token that a login gave.
#[derive(Deserialize)]
pub(super) struct Auth {
    pub client_token: SecretString,
    #[serde(default)]
    pub accessor: String,
    /// Seconds.
    #[serde(default)]
    pub lease_duration: u64,
    #[serde(default)]
    pub renewable: bool,
}

/// No server makes us wait longer.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Turns an HTTP answer into an envelope or a classified error.
pub(super) fn classify(path: &str, response: &http::Response<Vec<u8>>) -> Result<Envelope, VaultError> {
    let status = response.status().as_u16();
    let body = response.body();
    if status == 204 || (body.is_empty() && response.status().is_success()) {
        return Ok(Envelope::default());
    }
    // The parser's own message could quote the body, so it is not passed on.
    let parsed: Option<Envelope> = serde_json::from_slice(body).ok();
    if response.status().is_success() {
        return parsed
            .ok_or_else(|| VaultError::new(ErrorKind::Protocol, path, "the body is not the JSON that Vault sends"));
    }
    let messages = parsed.as_ref().and_then(|e| e.errors.clone()).unwrap_or_default();
    // Vault makes lists of several lines even of one error.
    let text = messages.join("; ").split_whitespace().collect::<Vec<_>>().join(" ");
    if status == 404 {
        // With data or warnings a 404 is an answer: KV v2 reports deleted and destroyed versions like that.
        return match parsed {
            Some(envelope) if !envelope.data.is_null() || envelope.warnings.is_some() => Ok(envelope),
            _ => Err(VaultError::new(ErrorKind::NotFound, path, text)),
        };
    }
    let text = match messages.is_empty() {
        true => format!("HTTP {status}"),
        false => format!("{text} (HTTP {status})"),
    };
    let fault = match status {
        // Vault says 403; servers that only speak its API may say 401 to a wrong token.
        401 | 403 => ErrorKind::PermissionDenied,
        429 => ErrorKind::Throttled,
        503 if messages.iter().any(|m| m.contains("sealed") || m.contains("not initialized")) => ErrorKind::Sealed,
        412 => ErrorKind::StaleReplica,
        472 | 473 | 502..=504 => ErrorKind::Unavailable,
        500 if messages.iter().any(|m| m.contains("node not active") || m.contains("standby")) => {
            ErrorKind::Unavailable
        }
        500..=599 => ErrorKind::InternalError,
        _ => ErrorKind::Invalid,
    };
    let mut error = VaultError::new(fault, path, text);
    error.retry_after = response
        .headers()
        .get(http::header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.parse().ok())
        .map(|seconds| std::time::Duration::from_secs(seconds).min(LONGEST_WAIT));
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
        let fault = |status, body| answer(status, body).err().map(|e| e.kind);
        assert_eq!(fault(404, r#"{"errors":[]}"#), Some(ErrorKind::NotFound));
        assert_eq!(fault(403, r#"{"errors":["permission denied"]}"#), Some(ErrorKind::PermissionDenied));
        assert_eq!(fault(401, "unauthorized"), Some(ErrorKind::PermissionDenied));
        assert_eq!(fault(503, r#"{"errors":["Vault is sealed"]}"#), Some(ErrorKind::Sealed));
        assert_eq!(fault(503, "<html>"), Some(ErrorKind::Unavailable));
        assert_eq!(fault(502, ""), Some(ErrorKind::Unavailable));
        assert_eq!(fault(412, r#"{"errors":["required index state not present"]}"#), Some(ErrorKind::StaleReplica));
        assert_eq!(fault(500, r#"{"errors":["connection gone"]}"#), Some(ErrorKind::InternalError));
        let no_leader = r#"{"errors":["local node not active but active cluster node not found"]}"#;
        assert_eq!(fault(500, no_leader), Some(ErrorKind::Unavailable));
        assert_eq!(fault(429, ""), Some(ErrorKind::Throttled));
        assert_eq!(fault(400, r#"{"errors":["bad"]}"#), Some(ErrorKind::Invalid));
        assert_eq!(fault(200, "<html>secret</html>"), Some(ErrorKind::Protocol));
        assert_eq!(fault(404, r#"{"data":{"data":null,"metadata":{"deletion_time":"x"}}}"#), None);
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
}
