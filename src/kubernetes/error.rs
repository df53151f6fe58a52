//! Failures of the API server, told apart by what has to happen next.

use std::future::Future;
use std::time::Duration;

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object, or its kind, does not exist.
    NotFound,
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
/// The request has its 4 KiB of state on the heap, from here on: most runs of an object send none, and would carry it along.
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
    let kind = match status.code {
        404 | 410 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        401 | 403 => ErrorKind::Forbidden,
        // A JSON patch whose `test` fails is reported as 422 by the API server.
        422 if status.message.contains("testing") || status.message.contains("test operation") => ErrorKind::Conflict,
        400..=428 => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    KubernetesError::new(kind, format!("{what}: {}", status.message))
}
