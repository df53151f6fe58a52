//! A proxy between an operator and the API server that reads what passes: a test holds single requests, single answers
//! or the events of watches for as long as it needs, so that a race has the outcome that the test is about each time.
//!
//! The operator speaks HTTP/1.1 to it. It speaks TLS to the API server, and passes the operator's token on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, Stream};
use http::{HeaderName, Request, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use testenv::Cluster;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, watch};

use crate::environment::eventually;

/// They belong to one connection and are not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 3] = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE];

/// What the API server sends on a watch whose version it has forgotten.
const EXPIRED: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The proxy. It ends when it is dropped.
pub struct ApiProxy {
    port: u16,
    passage: Arc<Passage>,
    _runtime: Runtime,
}

/// Which requests a rule is about.
#[derive(Clone, Copy, Debug)]
pub struct Matching<'a> {
    /// Method.
    pub method: &'a str,
    /// The end of the path, without the query. Watches are not matched.
    pub path: &'a str,
    /// The request of this number among those that match from now on, from 0.
    pub nth: usize,
}

/// Something is held until this is dropped.
pub struct Hold {
    gate: Arc<Gate>,
    passage: Arc<Passage>,
}

/// Where a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the API server gets the request.
    Request,
    /// Before the client gets the answer.
    Answer,
    /// Before the client gets an event of a watch.
    Watch,
}

#[derive(Debug)]
struct Gate {
    place: Place,
    method: String,
    path: String,
    /// Matching requests before the one that is held. `None` once that one has come.
    before: Mutex<Option<usize>>,
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
    /// What is held is lost, and its connection cut.
    lost: AtomicBool,
}

impl Gate {
    /// Whether the gate holds this one. It counts those that match.
    fn holds(&self, place: Place, method: &str, path: &str) -> bool {
        if self.place != place || self.method != method || !path.ends_with(&self.path) {
            return false;
        }
        if place == Place::Watch {
            return true;
        }
        let mut before = lock(&self.before);
        let holds = *before == Some(0);
        *before = before.and_then(|n| n.checked_sub(1));
        holds
    }
}

/// What all connections have in common.
struct Passage {
    client: kube::Client,
    gates: Mutex<Vec<Arc<Gate>>>,
    /// The ends of the paths of watches that are to end.
    expired: broadcast::Sender<String>,
    /// Path and text of each piece of a watch that has passed.
    events: Mutex<Vec<(String, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ApiProxy {
    /// In front of the API server of a cluster.
    pub fn start(cluster: &Cluster) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
        let (listener, client) = runtime.block_on(async {
            let file = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            let mut config = config.expect("a configuration");
            // Each request has the token of its client.
            config.auth_info = Default::default();
            config.default_retry = false;
            let client = kube::Client::try_from(config).expect("a client");
            (TcpListener::bind("127.0.0.1:0").await.expect("a port"), client)
        });
        let port = listener.local_addr().expect("an address").port();
        let expired = broadcast::channel(16).0;
        let passage = Arc::new(Passage { client, gates: Mutex::default(), expired, events: Mutex::default() });
        let shared = passage.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let passage = shared.clone();
                let service = service_fn(move |request| forward(passage.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new();
                // A client that hangs up is its own affair.
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { port, passage, _runtime: runtime }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Holds one request before the API server gets it.
    pub fn hold_request(&self, matching: Matching<'_>) -> Hold {
        self.hold(Place::Request, matching)
    }

    /// Holds the answer to one request, which the API server has done.
    pub fn hold_answer(&self, matching: Matching<'_>) -> Hold {
        self.hold(Place::Answer, matching)
    }

    /// Holds all events of the watches of a collection, given by the end of its path.
    pub fn hold_watch(&self, path: &str) -> Hold {
        self.hold(Place::Watch, Matching { method: "GET", path, nth: 0 })
    }

    fn hold(&self, place: Place, Matching { method, path, nth }: Matching<'_>) -> Hold {
        let gate = Arc::new(Gate {
            place,
            method: method.to_owned(),
            path: path.to_owned(),
            before: Mutex::new(Some(nth)),
            reached: watch::Sender::new(false),
            open: watch::Sender::new(false),
            lost: AtomicBool::new(false),
        });
        lock(&self.passage.gates).push(gate.clone());
        Hold { gate, passage: self.passage.clone() }
    }

    /// Ends the watches of a collection as an API server does that has forgotten their version: the client lists anew.
    pub fn expire_watches(&self, path: &str) {
        self.passage.expired.send(path.to_owned()).expect("there is a watch");
    }

    /// Waits until an event with all of these texts has passed on a watch of a collection.
    #[track_caller]
    pub fn wait_event(&self, path: &str, texts: &[&str]) {
        eventually(&format!("an event of {path} with {texts:?}"), || {
            let events = lock(&self.passage.events);
            let found = events.iter().any(|(of, text)| of.ends_with(path) && texts.iter().all(|t| text.contains(t)));
            if found { Ok(()) } else { Err(format!("{} others have passed", events.len())) }
        });
    }
}

impl Hold {
    /// Waits until something is held.
    #[track_caller]
    pub fn wait_reached(&self) {
        let Gate { place, method, path, .. } = &*self.gate;
        eventually(&format!("{place:?} of {method} {path} is held"), || {
            if *self.gate.reached.borrow() { Ok(()) } else { Err("it is not") }
        });
    }

    /// Lets it pass.
    pub fn release(self) {}

    /// Cuts the connection: what was held does not arrive.
    pub fn lose(self) {
        self.gate.lost.store(true, Ordering::Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.passage.gates).retain(|gate| !Arc::ptr_eq(gate, &self.gate));
        self.gate.open.send_replace(true);
    }
}

impl Passage {
    /// Waits at each gate that holds this one.
    async fn pass(&self, place: Place, method: &str, path: &str) -> Result<(), Error> {
        let holding: Vec<_> =
            lock(&self.gates).iter().filter(|gate| gate.holds(place, method, path)).cloned().collect();
        for gate in holding {
            gate.reached.send_replace(true);
            // The gate is here, and with it the sender.
            let _ = gate.open.subscribe().wait_for(|open| *open).await;
            if gate.lost.load(Ordering::Relaxed) {
                return Err("lost".into());
            }
        }
        Ok(())
    }
}

async fn forward(
    passage: Arc<Passage>,
    request: Request<Incoming>,
) -> Result<Response<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Error>>>>, Error> {
    let (mut parts, body) = request.into_parts();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let is_watch = parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let body = body.collect().await?.to_bytes().to_vec();
    HOP_BY_HOP.iter().for_each(|name| drop(parts.headers.remove(name)));
    if !is_watch {
        passage.pass(Place::Request, &method, &path).await?;
    }
    let answer = passage.client.send(Request::from_parts(parts, Body::from(body))).await?;
    if !is_watch {
        passage.pass(Place::Answer, &method, &path).await?;
    }
    let (mut parts, body) = answer.into_parts();
    HOP_BY_HOP.iter().for_each(|name| drop(parts.headers.remove(name)));
    let expired = passage.expired.subscribe();
    let passing = Passing { body, is_watch, path, passage, expired, over: false };
    Ok(Response::from_parts(parts, StreamBody::new(stream::unfold(passing, Passing::next))))
}

/// A body on its way to the client.
struct Passing {
    body: Body,
    is_watch: bool,
    path: String,
    passage: Arc<Passage>,
    expired: broadcast::Receiver<String>,
    over: bool,
}

impl Passing {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Error>, Self)> {
        if self.over {
            return None;
        }
        let frame = loop {
            tokio::select! {
                frame = self.body.frame() => break frame?,
                path = self.expired.recv(), if self.is_watch => {
                    if path.is_ok_and(|path| self.path.ends_with(&path)) {
                        self.over = true;
                        break Ok(Frame::data(Bytes::from(format!("{EXPIRED}\n"))));
                    }
                }
            }
        };
        if self.is_watch
            && let Ok(frame) = &frame
        {
            if let Err(error) = self.passage.pass(Place::Watch, "GET", &self.path).await {
                self.over = true;
                return Some((Err(error), self));
            }
            let text = frame.data_ref().map(|data| String::from_utf8_lossy(data).into_owned()).unwrap_or_default();
            lock(&self.passage.events).push((self.path.clone(), text));
        }
        Some((frame.map_err(Error::from), self))
    }
}
