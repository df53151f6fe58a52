//! The connection that an answer came by. Behind a load balancer, it leads to one node for as long as it lives.

use std::time::{Duration, Instant};

use hyper_util::client::legacy::connect::{CaptureConnection, Connected};

/// A connection is used no longer. Its node may be cut off from the others, answer all the same, and not know that it
/// is behind.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(10);

/// When a connection was made.
#[derive(Clone, Copy)]
struct Made(Instant);

/// What the pool is told of a connection that is made now.
pub(super) fn connected_now() -> Connected {
    Connected::new().extra(Made(Instant::now()))
}

/// A connection of the pool.
#[derive(Clone, Debug)]
pub(in crate::vault) struct Connection(pub(super) CaptureConnection);

impl Connection {
    /// No further request is sent by it: the next one is sent by another connection, which may lead to another node.
    pub fn give_up(&self) {
        if let Some(connection) = self.0.connection_metadata().as_ref() {
            connection.poison();
        }
    }

    /// Gives it up if it has been used for long enough.
    pub(super) fn give_up_if_old(&self) {
        let mut known = http::Extensions::new();
        if let Some(connection) = self.0.connection_metadata().as_ref() {
            connection.get_extras(&mut known);
        }
        if known.get::<Made>().is_some_and(|made| made.0.elapsed() >= MAX_CONNECTION_AGE) {
            self.give_up();
        }
    }
}
