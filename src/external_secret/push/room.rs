//! How much may be pushed so that the status can record it: what is not recorded would never be found again.

use crate::api::external_secrets::push_secret::{PushRemoteRef, PushSecretSpec};

/// What the API server has to store of an object with what it has pushed, beside its annotations. It stores 1.5 MiB.
const MAX_RECORDED_BYTES: usize = 1_250_000;
/// What is recorded of each entry beside its texts: the names of its members, twice since they are managed fields.
const ENTRY_BYTES: usize = 250;

/// What may still be recorded in the status.
pub(super) struct Room {
    /// `None`: more was asked for than there was.
    bytes_left: Option<usize>,
}

impl Room {
    /// Beside the spec itself.
    pub fn beside(spec: &PushSecretSpec) -> Self {
        Self { bytes_left: MAX_RECORDED_BYTES.checked_sub(json_bytes(spec)) }
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes_left = self.bytes_left.and_then(|left| left.checked_sub(bytes));
        self.check()
    }

    /// Makes room for an entry of a PushSecret.
    pub fn take_entry(
        &mut self,
        remote: &PushRemoteRef,
        secret_key: Option<&str>,
        metadata: usize,
    ) -> Result<(), String> {
        // The place is the name of the entry, a managed field, and two members.
        let place = remote.remote_key.len() + remote.property.as_ref().map_or(0, String::len);
        self.take(ENTRY_BYTES + 3 * place + secret_key.map_or(0, str::len) + 2 * metadata)
    }

    /// Whether there was enough.
    pub fn check(&self) -> Result<(), String> {
        let too_much = || {
            "what is pushed to all stores is more than the status can record (1.5 MiB): push less with one PushSecret, \
             or with less metadata"
                .to_owned()
        };
        self.bytes_left.map(drop).ok_or_else(too_much)
    }
}

/// How large a value is as JSON.
pub(super) fn json_bytes(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(MAX_RECORDED_BYTES, |text| text.len())
}
