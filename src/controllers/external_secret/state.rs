//! What this process remembers of an ExternalSecret between two runs. All of it can be lost: the next run finds it
//! again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::external_secret::Data;
use crate::external_secret::template::CompiledTemplate;
use crate::kubernetes::Revision;
use crate::providers::ReadsInUse;
use crate::sync::Rollout;
use crate::vault::Session;
use crate::workqueue::Lane;

/// The state of one object.
#[derive(Default)]
pub(super) struct State {
    /// Logins in use. Dropping one ends it if nothing else uses it.
    pub sessions: Vec<Arc<Session>>,
    /// The lane of the last run, if it read no Vault.
    pub cluster_lane: Option<Lane>,
    /// The last run has read much: its secrets are read one after the other, so that no more than one waits for its
    /// turn.
    pub is_large: bool,
    /// Reads that are shared with others.
    pub reads: ReadsInUse,
    /// What generators have made that is not known to be in the Secret, by entry of `dataFrom`.
    pub generated: HashMap<usize, Pending>,
    /// When the stores are read again. `None`: as the status says.
    pub due: Option<Instant>,
    /// Whether the last refresh by this process got through.
    pub got_through: Option<bool>,
    /// Something that the object reads has changed since.
    pub stale: bool,
    /// UID and generation of each store of the last run.
    pub stores: Option<Vec<(String, i64)>>,
    /// The Secret as the last run has left it.
    pub applied: Option<Applied>,
    /// Restarts that the Secret owes, as far as the last run knows.
    pub owed: Option<Owed>,
    /// The rollouts that restarts were asked of. Holding them keeps them gathered.
    pub rollouts: Vec<Arc<Rollout>>,
    /// Pauses after restarts that failed.
    pub restart_backoff: Backoff,
    /// Held so that it is not compiled again at each refresh.
    pub template: Option<Arc<CompiledTemplate>>,
    /// Pauses after failures.
    pub backoff: Backoff,
}

/// A Secret that was as it has to be.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Applied {
    /// The version of the Secret. `None`: there is none, and none has to be.
    pub revision: Option<Revision>,
    /// Digest of all that decides what the Secret has to be, but for what it holds from others.
    pub inputs: [u8; 32],
}

/// What a generator has made, until the Secret has it and the status says so: a run that is tried again makes nothing
/// new.
pub(super) struct Pending {
    /// The generator as it was.
    pub version: (String, String, i64),
    /// By key.
    pub data: Data,
    /// It may not be used any more from then on.
    pub until: Instant,
}

/// Data of a Secret whose restarts are not known to be done.
#[derive(Clone)]
pub(super) struct Owed {
    /// Its digest on the Secret.
    pub hash: String,
    /// Its MAC, which goes to the workloads.
    pub mac: String,
}

impl State {
    /// The lane of the object's first Vault, or of its cluster.
    pub fn lane(&self) -> Option<Lane> {
        self.sessions.first().map(|session| session.server.id).or(self.cluster_lane)
    }
}
