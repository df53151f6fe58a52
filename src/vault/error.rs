//! What can go wrong when Vault is asked for something, told apart by what has to happen next.

use std::fmt;
use std::time::Duration;

/// The kinds of failure the operator treats differently. "There is no data" has six of them, because none but an
/// explicit wish of the user may remove a key from a Secret that was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 401, 403: the token or its policies do not allow it, or the token is no longer valid.
    PermissionDenied,
    /// 404 without data: nothing was ever stored there, or the mount does not exist.
    NotFound,
    /// KV v2: the version is soft-deleted.
    Deleted,
    /// KV v2: the version is destroyed.
    Destroyed,
    /// There is a secret, and it has no keys.
    Empty,
    /// Vault is sealed or not initialised.
    Sealed,
    /// 429: a rate limit or lease quota.
    Throttled,
    /// No connection, or one that broke: refused, reset, timed out, name not resolved.
    Unreachable,
    /// There was a connection, and no answer in time. It may be this request alone that takes so long.
    TimedOut,
    /// This node, or what is in front of it, serves nothing now: 502 to 504, a standby without a leader, and 472/473 of
    /// a secondary.
    Unavailable,
    /// The Vault namespace is sealed, locked or not there. Other namespaces of the server are served.
    NamespaceNotServed,
    /// The node has not got the state yet that another one has answered with: 412 to a request with `X-Vault-Index`, or
    /// an older version of a secret.
    StaleReplica,
    /// 500: Vault failed on this request, as with an engine whose backend is gone. Others may well be served.
    InternalError,
    /// The TLS handshake failed.
    Tls,
    /// 400 and its kin: the request itself is wrong.
    Invalid,
    /// The answer could not be understood.
    Protocol,
}

impl ErrorKind {
    /// True where the cause lies in the server or on the way to it and not in the one request, so that other requests
    /// to the same server need not be tried. A rate limit does not count: its quota may be that of one mount or role.
    pub fn concerns_server(self) -> bool {
        matches!(self, ErrorKind::Sealed | ErrorKind::Unreachable | ErrorKind::Unavailable | ErrorKind::Tls)
    }

    /// True where another node of the server may well serve the request.
    pub(super) fn concerns_node(self) -> bool {
        matches!(self, ErrorKind::Sealed | ErrorKind::Unavailable | ErrorKind::StaleReplica)
    }

    /// A stable word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::PermissionDenied => "denied",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Deleted => "deleted",
            ErrorKind::Destroyed => "destroyed",
            ErrorKind::Empty => "empty",
            ErrorKind::Sealed => "sealed",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::TimedOut => "timed_out",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::NamespaceNotServed => "namespace",
            ErrorKind::StaleReplica => "behind",
            ErrorKind::InternalError => "failed",
            ErrorKind::Tls => "tls",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Protocol => "protocol",
        }
    }
}

/// A message is part of an event, which holds 1 KiB.
const MAX_MESSAGE_BYTES: usize = 400;

/// A failed request to Vault. Holds no part of a request or response body but Vault's own error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// The API path that was asked, without `/v1/` and without the query.
    pub path: String,
    /// Vault's own messages, or what the network said; shortened.
    pub message: String,
    /// How long Vault asked to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl VaultError {
    /// Builds an error; `message` is cut so that it fits into an event.
    pub fn new(kind: ErrorKind, path: &str, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push('…');
        }
        Self { kind, path: path.to_owned(), message, retry_after: None }
    }

    /// Names the namespace where it is the namespace that fails.
    pub(super) fn in_namespace(self, namespace: Option<&str>) -> Self {
        match namespace {
            Some(namespace) if self.kind == ErrorKind::NamespaceNotServed => {
                let message = format!("namespace {namespace:?}: {}", self.message);
                Self { retry_after: self.retry_after, ..Self::new(self.kind, &self.path, message) }
            }
            _ => self,
        }
    }
}

impl VaultError {
    /// The error with what to look at.
    pub fn hinted(mut self, hint: &str) -> Self {
        let joint = if self.message.is_empty() { "" } else { "; " };
        self.message.push_str(joint);
        self.message.push_str(hint);
        self
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, message) = (&self.path, &self.message);
        match self.kind {
            ErrorKind::PermissionDenied => write!(f, "permission denied on path {path:?}: {message}"),
            ErrorKind::NotFound if message.is_empty() => write!(f, "empty response from Vault, path={path:?}"),
            ErrorKind::NotFound => write!(f, "empty response from Vault, path={path:?}: {message}"),
            ErrorKind::Deleted => write!(f, "the version at path {path:?} is deleted{message}"),
            ErrorKind::Destroyed => write!(f, "the version at path {path:?} is destroyed{message}"),
            ErrorKind::Empty => write!(f, "the secret at path {path:?} has no keys; the destination keeps what it has"),
            ErrorKind::Sealed => write!(f, "Vault is sealed or not initialised, path={path:?}"),
            ErrorKind::Throttled => write!(f, "Vault limits the rate of requests, path={path:?}: {message}"),
            ErrorKind::Unreachable => write!(f, "Vault cannot be reached, path={path:?}: {message}"),
            ErrorKind::TimedOut => write!(f, "Vault did not answer the request in time, path={path:?}: {message}"),
            ErrorKind::Unavailable => write!(f, "Vault cannot serve the request now, path={path:?}: {message}"),
            ErrorKind::NamespaceNotServed => write!(f, "the Vault namespace is not served, path={path:?}: {message}"),
            ErrorKind::StaleReplica => {
                write!(f, "this node of Vault has not got the last write yet, path={path:?}: {message}")
            }
            ErrorKind::InternalError => write!(f, "Vault failed on the request, path={path:?}: {message}"),
            ErrorKind::Tls => write!(f, "TLS handshake with Vault failed, path={path:?}: {message}"),
            ErrorKind::Invalid => write!(f, "Vault refused the request, path={path:?}: {message}"),
            ErrorKind::Protocol => write!(f, "answer of Vault not understood, path={path:?}: {message}"),
        }
    }
}

impl std::error::Error for VaultError {}
