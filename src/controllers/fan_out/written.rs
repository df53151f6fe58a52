//! What was written to the objects of one run after the other. One that another client changes back again and again is
//! written ever less often.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use super::Inner;
use super::decide::Step;
use crate::controllers::drift::Drift;

/// The watch tells of an object within this time after it was made. Until then it is no second time made.
const WATCH_LAG: Duration = Duration::from_secs(10);

/// The last write to each namespace.
#[derive(Default)]
pub(super) struct Written(HashMap<String, Write>);

struct Write {
    /// The digest of what was written.
    digest: u64,
    created: Option<Instant>,
    drift: Drift,
}

impl Written {
    /// Until when a write has to wait, if it has to.
    pub fn wait_until<K: Inner>(&self, namespace: &str, step: &Step<K>, now: Instant) -> Option<Instant> {
        let digest = digest(step)?;
        let write = self.0.get(namespace).filter(|write| write.digest == digest)?;
        let known_at = write.created.map(|created| created + WATCH_LAG).filter(|known_at| now < *known_at);
        match step {
            Step::Create(_) if known_at.is_some() => known_at,
            _ => write.drift.wait_until(now),
        }
    }

    /// A write was made.
    pub fn wrote<K: Inner>(&mut self, namespace: &str, step: &Step<K>, now: Instant) {
        let Some(digest) = digest(step) else { return };
        let write = self.0.entry(namespace.to_owned()).or_insert_with(|| Write {
            digest: !digest,
            created: None,
            drift: Drift::default(),
        });
        if write.digest == digest {
            write.drift.repaired(now);
        } else {
            (write.digest, write.drift) = (digest, Drift::default());
        }
        write.created = matches!(step, Step::Create(_)).then_some(now);
    }

    /// The watch has told of the object.
    pub fn seen(&mut self, namespace: &str) {
        if let Some(write) = self.0.get_mut(namespace) {
            write.created = None;
        }
    }

    /// Forgets the namespaces that are gone.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|namespace, _| exists(namespace));
    }
}

/// The digest of what a step writes, without the version that it is written over.
fn digest<K: Inner>(step: &Step<K>) -> Option<u64> {
    let object = match step {
        Step::Create(object) | Step::Replace(object) => object,
        Step::Delete(_) => return None,
    };
    let meta = object.meta();
    let mut hash = DefaultHasher::new();
    (&meta.labels, &meta.annotations).hash(&mut hash);
    let spec = serde_json::to_value(object).unwrap_or_default();
    spec.get("spec").map(ToString::to_string).hash(&mut hash);
    Some(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::external_secrets::ExternalSecret;

    fn object(interval: &str) -> ExternalSecret {
        let mut object = ExternalSecret::default();
        object.spec.refresh_interval = Some(interval.to_owned());
        object
    }

    #[test]
    fn a_write_that_others_undo_waits_ever_longer() {
        let (mut written, mut now) = (Written::default(), Instant::now());
        let step = Step::Replace(object("1h"));
        assert_eq!(written.wait_until("a", &step, now), None);
        written.wrote("a", &step, now);
        assert_eq!(written.wait_until("a", &step, now), None, "the first repair is made at once");
        let mut last = Duration::ZERO;
        for _ in 0..4 {
            written.wrote("a", &step, now);
            let pause = written.wait_until("a", &step, now).expect("a pause").duration_since(now);
            assert!(pause > last, "{pause:?} after {last:?}");
            (last, now) = (pause, now + pause);
        }
        assert_eq!(written.wait_until("b", &step, now - last), None, "of another namespace");
        assert_eq!(written.wait_until("a", &Step::Replace(object("2h")), now - last), None, "another content");
        assert_eq!(written.wait_until("a", &Step::Delete(object("1h").into()), now - last), None);
        written.retain(|namespace| namespace != "a");
        assert_eq!(written.wait_until("a", &step, now - last), None);
    }

    #[test]
    fn what_was_made_is_not_made_again_before_the_watch_has_told_of_it() {
        let (mut written, now) = (Written::default(), Instant::now());
        let step = Step::Create(object("1h"));
        written.wrote("a", &step, now);
        assert_eq!(written.wait_until("a", &step, now), Some(now + WATCH_LAG));
        assert_eq!(written.wait_until("a", &step, now + WATCH_LAG), None, "it never came");
        written.seen("a");
        assert_eq!(written.wait_until("a", &step, now), None, "it is gone again");
    }
}
