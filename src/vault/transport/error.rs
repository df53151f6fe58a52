//! Why a request got no answer, and which kind of failure that is.

use std::time::Duration;

use rustls::InvalidMessage;

use super::redirect::RedirectError;
use crate::vault::{ErrorKind, VaultError};

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    /// There was no connection, or it broke.
    #[error(transparent)]
    Request(#[from] hyper_util::client::legacy::Error),
    /// The connection broke while the answer came.
    #[error(transparent)]
    Body(#[from] hyper::Error),
    /// There was a connection, and no whole answer in time.
    #[error("no answer within {0:?}: timed out")]
    TimedOut(Duration),
    /// The server sends the request elsewhere, where it must not go.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// The answer came too slowly while other long ones waited.
    #[error("the long answer came so slowly that others were read in its place")]
    GaveWay,
    /// More than [`super::MAX_ANSWER_BYTES`].
    #[error("the answer is longer than {} MiB", super::MAX_ANSWER_BYTES / (1024 * 1024))]
    TooLong,
}

/// The kind of a failure on the way to Vault. The text of the innermost cause is the message, with what to look at.
pub(super) fn network_error(path: &str, error: &(dyn std::error::Error + 'static)) -> VaultError {
    let tls = tls_error(error);
    let kind = match find(error) {
        Some(TransportError::TimedOut(_) | TransportError::GaveWay) => ErrorKind::TimedOut,
        // As between two elections: a node takes another one for the active one, and that one a third.
        Some(TransportError::Redirect(RedirectError::Again)) => ErrorKind::Unavailable,
        Some(TransportError::Redirect(_) | TransportError::TooLong) => ErrorKind::Protocol,
        _ if tls.is_some() => ErrorKind::Tls,
        _ => ErrorKind::Unreachable,
    };
    let found = VaultError::new(kind, path, root_cause(error));
    match tls {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => found.hinted(NO_TLS),
        _ => found,
    }
}

fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TransportError> {
    error.downcast_ref().or_else(|| find(error.source()?))
}

/// What the first bytes of any other protocol lead to.
const NO_TLS: &str =
    "the server does not speak TLS there: the port may be wrong, or the address may begin with http://";

/// The error of TLS among the causes. An [`std::io::Error`] hides what it wraps: its source is the source of that.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.and_then(|wrapped| tls_error(wrapped)).or_else(|| tls_error(error.source()?))
}

/// The innermost cause of an error: the outer ones of the HTTP stack only say that sending failed.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_handshake_is_found_however_deep_it_is_wrapped() {
        use std::io::{Error, ErrorKind};
        let tls = || Error::new(ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert!(tls_error(&tls()).is_some());
        assert!(tls_error(&Error::other(Error::other(tls()))).is_some());
        assert!(tls_error(&Error::other(Error::from(ErrorKind::ConnectionRefused))).is_none());
    }
}
