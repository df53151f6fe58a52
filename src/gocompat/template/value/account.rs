//! How many bytes the values of a rendering hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that are held now. Clones count together.
#[derive(Clone, Default)]
pub(in crate::gocompat::template) struct Account(Arc<AtomicUsize>);

impl Account {
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts bytes for as long as the lease lives.
    pub fn lease(&self, bytes: usize) -> Lease {
        let mut lease = Lease { account: self.clone(), bytes: 0 };
        lease.grow(bytes);
        lease
    }
}

/// Bytes that a value holds.
pub(in crate::gocompat::template) struct Lease {
    account: Account,
    bytes: usize,
}

impl Lease {
    /// Counts more bytes.
    pub fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.account.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.account.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
