//! What ExternalSecrets are read from, and PushSecrets written to, behind one interface: for each provider a file that
//! reads and one that writes.

mod cluster;
mod cluster_client;
mod cluster_login;
mod cluster_push;
mod cluster_value;
mod destination;
mod generator;
mod push_metadata;
mod vault;
mod vault_path;
mod vault_push;

use std::collections::BTreeSet;

use crate::api::external_secrets::push_secret::PushData;
use crate::api::external_secrets::remote::{Find, RemoteRef};
use crate::external_secret::Data;
use crate::external_secret::answers::Answer;
use crate::external_secret::push::{PushRow, Pushed};
use crate::gocompat::regexp::Pattern;
use crate::vault::SessionError;

pub use cluster::{ClusterProvider, KnownSecrets};
pub use cluster_client::{ClusterClients, ClusterError, ClusterFault, lane, watching_client};
pub use destination::{Destination, destination};
pub use generator::generated;
pub use vault::{Known, ReadsInUse, VaultProvider};

/// So many secrets or folders of one object are asked for at the same time: each takes the way to the store and back.
pub const AT_ONCE: usize = 8;
/// The secrets of one object may take so much memory whatever others do. With more an object takes its turn, and
/// nothing is read ahead.
pub const SMALL_WEIGHT_BYTES: usize = 256 << 10;
/// So many secrets are found at most by one entry of `dataFrom`.
const MAX_FOUND: usize = 10_000;
/// What one entry of `dataFrom` finds may be so large. A Secret holds 1 MiB.
const MAX_FOUND_BYTES: usize = 4 << 20;

/// All that is pushed to one secret of a store may be so large. A Secret holds 1 MiB.
const MAX_PUSH_BYTES: usize = 4 << 20;
/// So often a write is tried at most that comes after a write of another client.
const MAX_CONFLICTS: usize = 3;

/// A store, for one run of an object that uses it. It reads each secret once.
#[async_trait::async_trait]
pub trait Provider: Send {
    /// Reads several secrets at the same time that are asked for next, each of which takes the way to the store and
    /// back. What they give, or that they give nothing, is told when they are asked for.
    async fn read_ahead(&mut self, _remotes: &[&RemoteRef]) {}

    /// One value: a property, or all of a secret as JSON.
    async fn get(&mut self, remote: &RemoteRef) -> Result<Answer<Vec<u8>>, ProviderError>;

    /// All keys of a secret.
    async fn get_map(&mut self, remote: &RemoteRef) -> Result<Answer<Data>, ProviderError>;

    /// All secrets that are meant, each as JSON, by name.
    async fn find(&mut self, find: &Find) -> Result<Data, ProviderError>;

    /// Makes a secret what the rows say, all of which name it: one read, and a write if anything is different. With
    /// `only_new` what is there stays.
    async fn write(&mut self, rows: &[&PushRow], only_new: bool) -> Result<Written, ProviderError>;

    /// Deletes what was pushed to a secret, which all entries name, as far as the mark of the push is on it. The
    /// properties of `kept` are pushed still: with any of them the secret stays, and of an entry for all of it only the
    /// others go. True if anything was there.
    async fn delete(&mut self, entries: &[&PushData], kept: &BTreeSet<String>) -> Result<bool, ProviderError>;

    /// About how much memory the secrets take that were read so far.
    fn weight(&self) -> usize;

    /// What the object goes on sharing with others.
    fn reads(&mut self) -> ReadsInUse {
        ReadsInUse::default()
    }
}

/// What was done with a secret.
#[derive(Debug)]
pub struct Written {
    /// Whether anything was written.
    pub changed: bool,
    /// Of each row, what became of it, or why it could not be pushed.
    pub rows: Vec<Result<Pushed, String>>,
}

/// Why a store gives or takes no data.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// There is nothing where the entry looks.
    #[error("{0}")]
    NoSecret(String),
    /// Vault did not give it.
    #[error("{0}")]
    Vault(SessionError),
    /// The cluster did not give it.
    #[error("{0}")]
    Cluster(ClusterError),
    /// What there is, is not what the entry means.
    #[error("{0}")]
    Unusable(String),
}

/// Secrets that were found: not more than a Secret can hold.
#[derive(Default)]
struct Found {
    data: Data,
    bytes: usize,
}

impl Found {
    /// Adds a secret.
    fn add(&mut self, name: String, value: Vec<u8>) -> Result<(), ProviderError> {
        self.bytes += name.len() + value.len();
        if self.bytes > MAX_FOUND_BYTES || self.data.len() >= MAX_FOUND {
            let text = format!(
                "more was found than a Secret can hold ({MAX_FOUND} secrets, {MAX_FOUND_BYTES} bytes): name less with find.path or find.name"
            );
            return Err(ProviderError::Unusable(text));
        }
        self.data.insert(name, value);
        Ok(())
    }
}

/// The regular expression of `find.name`.
fn name_pattern(find: &Find) -> Result<Option<Pattern>, ProviderError> {
    let Some(regexp) = find.name.as_ref().and_then(|name| name.regexp.as_deref()) else { return Ok(None) };
    let compiled = Pattern::for_search(regexp);
    compiled.map(Some).map_err(|why| ProviderError::Unusable(format!("find.name.regexp {regexp:?}: {why}")))
}
