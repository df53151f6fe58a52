//! Which version of a secret an answer of KV v2 has, and whether an earlier answer had a newer one.
//!
//! Nodes of a cluster answer reads by what they have: one that is behind, or cut off from the others, has older
//! versions than were read from another node. A version that is older in number and in time is taken only if nothing
//! newer is answered for a while, as after the storage was restored from a snapshot.

use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::Value;

use super::request::Envelope;
use super::{ErrorKind, VaultError};

/// Where only older versions were answered for so long, they are what there is.
const MAX_OLDER_TIME: Duration = Duration::from_secs(300);

/// A version of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Revision {
    version: u64,
    /// When it was written, in nanoseconds since 1970. A secret that is deleted and written anew begins at version 1
    /// again.
    created: i64,
}

impl Revision {
    /// That of an answer, if it tells one.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let metadata = envelope.data.get("metadata")?;
        let created = DateTime::parse_from_rfc3339(metadata.get("created_time").and_then(Value::as_str)?).ok()?;
        Some(Self { version: metadata.get("version")?.as_u64()?, created: created.timestamp_nanos_opt()? })
    }

    fn is_older_than(&self, other: &Self) -> bool {
        self.version < other.version && self.created < other.created
    }
}

/// The newest version of a secret that was answered.
#[derive(Default)]
pub(super) struct Newest {
    revision: Option<Revision>,
    /// Since when only older versions are answered.
    older_since: Option<Instant>,
}

impl Newest {
    /// Whether there is one.
    pub fn is_known(&self) -> bool {
        self.revision.is_some()
    }

    /// The secret is not there any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Learns what was answered to a read of `path`.
    ///
    /// # Errors
    /// If the answer is older than an earlier one.
    pub fn learn(&mut self, path: &str, found: Revision, now: Instant) -> Result<(), VaultError> {
        if let Some(newest) = self.revision
            && found.is_older_than(&newest)
        {
            let since = *self.older_since.get_or_insert(now);
            if now.saturating_duration_since(since) < MAX_OLDER_TIME {
                let (found, newest) = (found.version, newest.version);
                let text = format!("it has an older version, version {found} after version {newest} was read");
                return Err(VaultError::new(ErrorKind::StaleReplica, path, text));
            }
        }
        *self = Self { revision: Some(found), older_since: None };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(version: u64, created: i64) -> Revision {
        Revision { version, created }
    }

    #[test]
    fn what_is_older_is_refused_until_nothing_else_is_answered() {
        let (mut newest, start) = (Newest::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut learn = |version, created, seconds| {
            newest.learn("secret/data/a", revision(version, created), after(seconds)).map_err(|error| error.kind)
        };
        let older = Err(ErrorKind::StaleReplica);
        assert_eq!(learn(4, 40, 0), Ok(()));
        assert_eq!(learn(4, 40, 1), Ok(()), "the same again");
        assert_eq!(learn(3, 30, 2), older);
        assert_eq!(learn(3, 30, 301), older);
        assert_eq!(learn(4, 40, 301), Ok(()));
        assert_eq!(learn(3, 30, 302), older, "the time begins anew");
        assert_eq!(learn(3, 30, 602), Ok(()), "it is what there is");
        assert_eq!(learn(4, 50, 603), Ok(()));
        assert_eq!(learn(1, 60, 604), Ok(()), "the secret was deleted and written anew");
        assert_eq!(learn(2, 55, 605), Ok(()), "clocks of nodes differ; the number is higher");
    }

    #[test]
    fn answers_without_a_version_or_a_time_tell_nothing() {
        let of = |data: Value| Revision::of(&Envelope { data: data.into(), ..Envelope::default() });
        let full = json!({ "data": {}, "metadata": { "version": 3, "created_time": "1970-01-01T00:00:01.5Z" } });
        assert_eq!(of(full), Some(revision(3, 1_500_000_000)));
        for data in [
            json!(null),
            json!({ "data": {} }),
            json!({ "metadata": { "version": 3 } }),
            json!({ "metadata": { "version": 3, "created_time": "yesterday" } }),
            json!({ "metadata": { "version": "3", "created_time": "1970-01-01T00:00:01.5Z" } }),
            json!({ "metadata": { "version": -3, "created_time": "1970-01-01T00:00:01.5Z" } }),
            json!({ "metadata": "mine" }),
        ] {
            assert_eq!(of(data.clone()), None, "{data}");
        }
    }
}
