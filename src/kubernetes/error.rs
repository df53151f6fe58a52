//! Failures of the API server, told apart by what has to happen next.

use std::future::Future;
use std::time::Duration;

use kube::core::Status;
use kube::core::response::StatusCause;

use crate::api::reference::is_object_name;

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object, or its kind, does not exist.
    NotFound,
    /// The version, or the rest of a list, that was asked for is too old. The list has to be begun again.
    Expired,
    /// It exists already, or it is not the one or not in the state that the write expected.
    Conflict,
    /// RBAC or admission forbids it.
    Forbidden,
    /// The API server refused the content.
    Invalid,
    /// No answer, throttled, or an internal error: the same request may work later.
    Unavailable,
}

/// A failed request to the API server. Carries the server's message, which never holds Secret data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KubernetesError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    message: String,
}

impl KubernetesError {
    /// An error that was found here and not by the API server.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// No single request of ours needs longer; watches are not made through [`with_timeout`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs a request within the time limit and classifies its failure. `what` says what was tried, as in `get Secret a/b`.
///
/// The request has its 4 KiB of state on the heap, from here on: most runs of an object send none, and would carry it
/// along.
pub(super) fn with_timeout<T>(
    what: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> impl Future<Output = Result<T, KubernetesError>> {
    let request = Box::pin(request);
    async move {
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(classify(what, &error)),
            Err(_) => Err(KubernetesError::new(
                ErrorKind::Unavailable,
                format!("{what}: the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs()),
            )),
        }
    }
}

/// As [`with_timeout`], for a request with a name in its path that a user chose: what is no name of an object could
/// make it another request, so it is not sent.
pub(super) async fn with_name<T>(
    what: &str,
    name: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, KubernetesError> {
    if !is_object_name(name) {
        return Err(KubernetesError::new(ErrorKind::Invalid, format!("{what}: {name:?} is not the name of an object")));
    }
    with_timeout(what, request).await
}

fn classify(what: &str, error: &kube::Error) -> KubernetesError {
    let kube::Error::Api(status) = error else {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        return KubernetesError::new(
            ErrorKind::Unavailable,
            format!("{what}: the API server cannot be reached: {cause}"),
        );
    };
    KubernetesError::new(kind_of(status), format!("{what}: {}", text_of(status)))
}

/// Code and reason alone decide: the message holds names and values that users choose.
fn kind_of(status: &Status) -> ErrorKind {
    match status.code {
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        410 => ErrorKind::Expired,
        401 | 403 => ErrorKind::Forbidden,
        408 | 425 | 429 => ErrorKind::Unavailable,
        400..=428 => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

/// The message of the API server, without what it quotes of a value of a Secret.
fn text_of(status: &Status) -> String {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    if !causes.iter().any(quotes_value) {
        return status.message.clone();
    }
    let texts: Vec<String> = causes
        .iter()
        .map(|cause| {
            let why = match cause.field.as_str() {
                _ if !quotes_value(cause) => &cause.message,
                LABELS => "a name or a value is not one that a label may have",
                ANNOTATIONS => "a name is not one that an annotation may have",
                _ => "the value is not what the type of the Secret needs",
            };
            format!("{}: {why}", cause.field)
        })
        .collect();
    texts.join("; ")
}

/// The fields that an invalid label or annotation is reported for.
const LABELS: &str = "metadata.labels";
const ANNOTATIONS: &str = "metadata.annotations";

/// Whether the text of a cause may quote a value of a Secret. Either the value under a good key is refused: the text is
/// that of the parser that read the value, and names the character at which it stopped. Or a label is refused, or the
/// name of an annotation, which a template may have made of a value: the text quotes all of it.
fn quotes_value(cause: &StatusCause) -> bool {
    let key = cause.field.strip_prefix("data[").and_then(|rest| rest.strip_suffix(']'));
    let good_key = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    cause.reason == "FieldValueInvalid" && ([LABELS, ANNOTATIONS].contains(&&*cause.field) || key.is_some_and(good_key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(status: serde_json::Value) -> KubernetesError {
        let status: Status = serde_json::from_value(status).unwrap();
        classify("patch Secret ns/testing-registry", &kube::Error::Api(status.boxed()))
    }

    #[test]
    fn the_code_decides_and_no_word_of_the_message() {
        for (code, kind) in [
            (400, ErrorKind::Invalid),
            (401, ErrorKind::Forbidden),
            (403, ErrorKind::Forbidden),
            (404, ErrorKind::NotFound),
            (408, ErrorKind::Unavailable),
            (409, ErrorKind::Conflict),
            (410, ErrorKind::Expired),
            (422, ErrorKind::Invalid),
            (429, ErrorKind::Unavailable),
            (500, ErrorKind::Unavailable),
            (504, ErrorKind::Unavailable),
        ] {
            let message = "Secret \"testing-registry\" is invalid: test operation, not found, conflict";
            assert_eq!(error(json!({ "code": code, "message": message })).kind, kind, "{code}");
        }
    }

    #[test]
    fn what_the_api_server_quotes_of_a_value_is_left_out() {
        let cause =
            |field: &str, reason: &str, message: &str| json!({ "field": field, "reason": reason, "message": message });
        let value =
            "Invalid value: \"<secret contents redacted>\": invalid character 'h' looking for beginning of value";
        let bad_key = "Invalid value: \"a b\": a valid config key must consist of alphanumeric characters";
        let text = |causes: serde_json::Value| {
            error(json!({ "code": 422, "message": format!("all: {value}"), "details": { "causes": causes } }))
                .to_string()
        };
        let redacted = text(json!([
            cause("data[.dockerconfigjson]", "FieldValueInvalid", value),
            cause("data[a b]", "FieldValueInvalid", bad_key),
            cause("data[tls.crt]", "FieldValueRequired", "Required value"),
        ]));
        assert_eq!(
            redacted,
            format!(
                "patch Secret ns/testing-registry: data[.dockerconfigjson]: the value is not what the type of the Secret \
                 needs; data[a b]: {bad_key}; data[tls.crt]: Required value"
            )
        );
        let label =
            "Invalid value: \"p<a>ss\": a valid label must be an empty string or consist of alphanumeric characters";
        assert_eq!(
            text(json!([cause("metadata.labels", "FieldValueInvalid", label)])),
            "patch Secret ns/testing-registry: metadata.labels: a name or a value is not one that a label may have"
        );
        let other = text(json!([cause("metadata.name", "FieldValueInvalid", "Invalid value")]));
        assert!(other.contains("all: "), "{other}");
    }
}
