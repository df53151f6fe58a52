//! Small requests to cloud services, with limits.

use std::fmt;
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};

use crate::vault::root_cause;

/// Answers are a few KiB. Their parsers need a multiple of that.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// What a service says of itself goes into conditions and events, so it is cut.
const MAX_MESSAGE_CHARS: usize = 300;

/// Why there is no credential. Says at which step, and holds no key or token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CloudError(String);

impl CloudError {
    /// `step`, then what went wrong.
    pub(super) fn new(step: &str, what: impl fmt::Display) -> Self {
        Self(format!("{step}: {what}"))
    }
}

/// Which servers a client is for.
pub(super) enum Reach {
    /// Anywhere, through the proxy that the environment names.
    Internet,
    /// The metadata server of the node: at once, or not at all.
    LinkLocal,
}

pub(super) fn client(reach: Reach) -> Result<reqwest::Client, CloudError> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("vso/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only();
    let seconds = Duration::from_secs;
    let builder = match reach {
        Reach::Internet => builder.connect_timeout(seconds(5)).timeout(seconds(15)),
        Reach::LinkLocal => builder.connect_timeout(seconds(1)).timeout(seconds(5)).no_proxy(),
    };
    builder.build().map_err(|e| CloudError::new("HTTP client", root_cause(&e)))
}

/// Sends a request and reads the whole answer, whatever its status.
pub(super) async fn ask(step: &str, request: RequestBuilder) -> Result<(StatusCode, String), CloudError> {
    let failed = |e: reqwest::Error| CloudError::new(step, root_cause(&e.without_url()));
    let mut answer = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(CloudError::new(step, "the answer is longer than 64 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(body).map_err(|_| CloudError::new(step, "the answer is not text"))?;
    Ok((answer.status(), text))
}

/// The message of a service for an event: one line, short, and without any of the secrets that were sent.
pub(super) fn message(text: &str, secrets: &[&str]) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for secret in secrets.iter().filter(|s| !s.is_empty()) {
        text = text.replace(secret, "***");
    }
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
