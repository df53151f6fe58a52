//! The connection that an answer came by.

use hyper_util::client::legacy::connect::CaptureConnection;

/// A connection of the pool. Behind a load balancer, it leads to one node for as long as it lives.
#[derive(Clone, Debug)]
pub(in crate::vault) struct Connection(pub(super) CaptureConnection);

impl Connection {
    /// No further request is sent by it: the next one is sent by another connection, which may lead to another node.
    pub fn give_up(&self) {
        if let Some(connection) = self.0.connection_metadata().as_ref() {
            connection.poison();
        }
    }
}
