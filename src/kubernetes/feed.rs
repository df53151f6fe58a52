//! What changes of the objects of a kind, told by name. Nothing of them is kept, and what a server sends is bounded: it
//! may be the server of a tenant.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::Deserialize;

use super::client::{ACCEPT_METADATA, ACCEPT_METADATA_LIST};
use crate::api::ObjectRef;

/// A watch is renewed after so many seconds.
const WATCH_SECONDS: u64 = 240;
/// How much later than that it is given up.
const GRACE: Duration = Duration::from_secs(30);
/// The list that begins a feed has to be there after this.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest event: an object without its data is far smaller, and a whole Secret fits.
const MAX_EVENT_BYTES: usize = 4 << 20;
/// What one watch may bring. After that it is begun again, with a pause.
const MAX_WATCH_BYTES: usize = 256 << 20;

/// What a feed tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The object was made or changed.
    Changed(ObjectRef),
    /// The object was deleted.
    Deleted(ObjectRef),
    /// Anything may have changed.
    Unknown,
}

/// Why a feed does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedError {
    /// The right, the kind or the namespace is missing.
    Denied,
    /// No answer, or none that can be understood.
    Failed,
}

/// The place in a feed from which it goes on.
#[derive(Default)]
pub struct Feed {
    version: Option<String>,
}

#[derive(Deserialize)]
struct List {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    type_: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
    code: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    namespace: String,
    resource_version: String,
}

impl Feed {
    /// Follows the objects of a path, such as `/api/v1/secrets`, until the server ends the watch. The next call goes on
    /// from there.
    ///
    /// # Errors
    /// Why it does not go on.
    pub async fn follow(
        &mut self,
        client: &kube::Client,
        path: &str,
        tell: &(dyn Fn(News) + Send + Sync),
    ) -> Result<(), FeedError> {
        let version = match self.version.take() {
            Some(version) => version,
            None => {
                let listed = tokio::time::timeout(LIST_TIMEOUT, list(client, path));
                let version = listed.await.map_err(|_| FeedError::Failed)??;
                // What was read before may be older than this.
                tell(News::Unknown);
                version
            }
        };
        self.version = Some(version.clone());
        let watch =
            tokio::time::timeout(Duration::from_secs(WATCH_SECONDS) + GRACE, self.watch(client, path, &version, tell));
        watch.await.map_err(|_| FeedError::Failed)?
    }

    async fn watch(
        &mut self,
        client: &kube::Client,
        path: &str,
        version: &str,
        tell: &(dyn Fn(News) + Send + Sync),
    ) -> Result<(), FeedError> {
        if !is_version(version) {
            self.version = None;
            return Err(FeedError::Failed);
        }
        let query =
            format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}");
        let answer =
            client.send(request(&format!("{path}?{query}"), ACCEPT_METADATA)?).await.map_err(|_| FeedError::Failed)?;
        self.judge(answer.status())?;
        let mut body = Limited::new(answer.into_body(), MAX_WATCH_BYTES);
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| FeedError::Failed)?;
            let Ok(bytes) = frame.into_data() else { continue };
            for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                if rest.len() + piece.len() > MAX_EVENT_BYTES {
                    return Err(FeedError::Failed);
                }
                rest.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    self.take_in(&rest, tell)?;
                    rest.clear();
                }
            }
            rest.shrink_to(MAX_EVENT_BYTES / 64);
        }
        Ok(())
    }

    fn take_in(&mut self, line: &[u8], tell: &(dyn Fn(News) + Send + Sync)) -> Result<(), FeedError> {
        let Event { type_, object } = serde_json::from_slice(line).map_err(|_| FeedError::Failed)?;
        let Object { metadata: Meta { name, namespace, resource_version }, code } = object;
        match type_.as_str() {
            "ERROR" => {
                let status = code.and_then(|code| StatusCode::from_u16(code).ok());
                self.judge(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))?;
                return Err(FeedError::Failed);
            }
            "BOOKMARK" => {}
            "DELETED" => tell(News::Deleted(ObjectRef::new(namespace, name))),
            _ => tell(News::Changed(ObjectRef::new(namespace, name))),
        }
        if !resource_version.is_empty() {
            self.version = Some(resource_version);
        }
        Ok(())
    }

    /// What a status says of the watch.
    fn judge(&mut self, status: StatusCode) -> Result<(), FeedError> {
        if status == StatusCode::GONE {
            // What came between is not known any more.
            self.version = None;
        }
        judge(status)
    }
}

fn judge(status: StatusCode) -> Result<(), FeedError> {
    match status.as_u16() {
        200..=299 => Ok(()),
        401 | 403 | 404 | 405 => Err(FeedError::Denied),
        _ => Err(FeedError::Failed),
    }
}

/// The version of the list of all objects, of which one page with one object is read.
async fn list(client: &kube::Client, path: &str) -> Result<String, FeedError> {
    let answer =
        client.send(request(&format!("{path}?limit=1"), ACCEPT_METADATA_LIST)?).await.map_err(|_| FeedError::Failed)?;
    judge(answer.status())?;
    let body = Limited::new(answer.into_body(), MAX_EVENT_BYTES).collect().await.map_err(|_| FeedError::Failed)?;
    let list: List = serde_json::from_slice(&body.to_bytes()).map_err(|_| FeedError::Failed)?;
    Ok(list.metadata.resource_version)
}

/// Whether a version can be part of a query: the server says what it is.
fn is_version(version: &str) -> bool {
    (1..=64).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn request(uri: &str, accept: &str) -> Result<Request<Body>, FeedError> {
    let request = Request::builder().method(Method::GET).uri(uri).header(header::ACCEPT, accept);
    request.body(Body::empty()).map_err(|_| FeedError::Failed)
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn each_event_is_told_and_moves_the_feed_on() {
        let told = Mutex::new(vec![]);
        let tell = |news: News| told.lock().push(news);
        let mut feed = Feed { version: Some("1".into()) };
        let line = |type_: &str, name: &str, version: &str| {
            let meta = serde_json::json!({ "name": name, "namespace": "ns", "resourceVersion": version });
            serde_json::json!({ "type": type_, "object": { "metadata": meta } }).to_string().into_bytes()
        };
        for (type_, version) in [("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "4"), ("BOOKMARK", "9")] {
            feed.take_in(&line(type_, "a", version), &tell).unwrap();
            assert_eq!(feed.version.as_deref(), Some(version));
        }
        let id = ObjectRef::new("ns", "a");
        assert_eq!(*told.lock(), [News::Changed(id.clone()), News::Changed(id.clone()), News::Deleted(id)]);
        let error = |code: u16| format!(r#"{{"type":"ERROR","object":{{"kind":"Status","code":{code}}}}}"#);
        assert_eq!(feed.take_in(error(500).as_bytes(), &tell), Err(FeedError::Failed));
        assert_eq!(feed.version.as_deref(), Some("9"));
        assert_eq!(feed.take_in(error(410).as_bytes(), &tell), Err(FeedError::Failed));
        assert_eq!(feed.version, None, "it is begun again");
        for wrong in ["", "{", "[]", "null", r#"{"type":1}"#, r#"{"type":"ADDED"}"#] {
            assert_eq!(feed.take_in(wrong.as_bytes(), &tell), Err(FeedError::Failed), "{wrong}");
        }
        assert_eq!(told.lock().len(), 3);
    }

    #[test]
    fn a_version_is_no_query() {
        assert!(is_version("123"));
        for wrong in ["", "1&watch=0", "1#", " ", &"1".repeat(65)] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }
}
