//! Faults on connections: toxiproxy between two real parts.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::location::Location;
use crate::vault::request;

/// The API of a running toxiproxy.
#[derive(Clone, Debug)]
pub(crate) struct Toxiproxy {
    pub(crate) url: String,
    pub(crate) location: Location,
}

/// A direction of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    Downstream,
}

/// One proxied address. It is removed with its environment.
#[derive(Debug)]
pub struct Proxy {
    name: String,
    server: Toxiproxy,
    /// Where it listens, `127.0.0.1:PORT`; the same after [`Proxy::cut`] and [`Proxy::restore`].
    pub addr: String,
}

impl Toxiproxy {
    pub(crate) fn answers(&self) -> bool {
        matches!(self.call("GET", "version", None), Ok((200, _)))
    }

    pub(crate) fn add(&self, name: &str, upstream: &str) -> Result<Proxy> {
        let upstream = upstream.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let body = json!({"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true});
        let answer = self.must("POST", "proxies", Some(body))?;
        let Some(addr) = answer["listen"].as_str() else {
            bail!("toxiproxy does not say where it listens: {answer}");
        };
        Ok(Proxy { name: name.to_owned(), server: self.clone(), addr: addr.to_owned() })
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let url = format!("{}/{path}", self.url);
        self.location.in_network(|| request(method, &url, body, None))
    }

    fn must(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let (status, answer) = self.call(method, path, body)?;
        if !(200..300).contains(&status) {
            bail!("toxiproxy {method} {path}: {status} {answer}");
        }
        Ok(answer)
    }
}

impl Proxy {
    /// The address as a URL, `http://127.0.0.1:PORT` or with another scheme.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.addr)
    }

    /// Refuses new connections and closes the ones there are.
    pub fn cut(&self) -> Result<()> {
        self.enable(false)
    }

    /// Accepts connections again, on the same address.
    pub fn restore(&self) -> Result<()> {
        self.enable(true)
    }

    /// Adds this much latency to what the server answers.
    pub fn add_latency(&self, milliseconds: u64) -> Result<()> {
        self.add_toxic("latency", Stream::Downstream, json!({"latency": milliseconds}))
    }

    /// Connections are accepted and stay open, but nothing comes through.
    pub fn add_black_hole(&self) -> Result<()> {
        self.add_toxic("timeout", Stream::Upstream, json!({"timeout": 0}))?;
        self.add_toxic("timeout", Stream::Downstream, json!({"timeout": 0}))
    }

    /// Resets connections after this time.
    pub fn add_reset(&self, after_milliseconds: u64) -> Result<()> {
        self.add_toxic("reset_peer", Stream::Downstream, json!({"timeout": after_milliseconds}))
    }

    /// Holds back the end of a connection for this time.
    pub fn add_slow_close(&self, milliseconds: u64) -> Result<()> {
        self.add_toxic("slow_close", Stream::Downstream, json!({"delay": milliseconds}))
    }

    /// Closes a connection after the server has sent this many bytes on it.
    pub fn add_limit(&self, bytes: u64) -> Result<()> {
        self.add_toxic("limit_data", Stream::Downstream, json!({"bytes": bytes}))
    }

    /// Adds a toxic of any kind that toxiproxy knows, to all connections.
    pub fn add_toxic(&self, kind: &str, stream: Stream, attributes: Value) -> Result<()> {
        let stream = match stream {
            Stream::Upstream => "upstream",
            Stream::Downstream => "downstream",
        };
        let body = json!({"name": format!("{kind}-{stream}"), "type": kind, "stream": stream,
                          "toxicity": 1.0, "attributes": attributes});
        let path = format!("proxies/{}/toxics", self.name);
        self.server.must("POST", &path, Some(body))?;
        Ok(())
    }

    /// Removes all toxics.
    pub fn clear(&self) -> Result<()> {
        let path = format!("proxies/{}/toxics", self.name);
        let toxics = self.server.must("GET", &path, None)?;
        for toxic in toxics.as_array().into_iter().flatten() {
            let name = toxic["name"].as_str().unwrap_or_default();
            self.server.must("DELETE", &format!("{path}/{name}"), None)?;
        }
        Ok(())
    }

    fn enable(&self, enabled: bool) -> Result<()> {
        let path = format!("proxies/{}", self.name);
        self.server.must("POST", &path, Some(json!({"enabled": enabled})))?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // A proxy whose environment is gone is gone as well.
        let _ = self.server.call("DELETE", &format!("proxies/{}", self.name), None);
    }
}
