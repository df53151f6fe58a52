//! What another client changes again and again: it is repaired ever less often between two refreshes.

use std::time::{Duration, Instant};

use crate::backoff::{Backoff, Policy};

/// Pauses after repairs.
const REPAIR: Policy = Policy {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(60),
    multiplier: 2.0,
    randomization: 0.1,
    max_elapsed: Duration::ZERO,
};
/// After so long without a repair the next one is a first one.
const CALM: Duration = Duration::from_secs(600);

/// The repairs of a Secret, or of what is written elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    backoff: Backoff,
    not_before: Option<Instant>,
}

impl Drift {
    /// What was changed is repaired.
    pub fn repaired(&mut self, now: Instant) {
        if self.not_before.is_some_and(|end| now > end + CALM) {
            self.backoff.reset();
        }
        let pause = self.backoff.next(&REPAIR, now, &mut rand::rng()).unwrap_or(REPAIR.max);
        self.not_before = Some(now + pause);
    }

    /// When it may be repaired again, if that is not now.
    pub fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|end| now < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repairs_become_rare_and_a_calm_time_ends_that() {
        let mut drift = Drift::default();
        let mut now = Instant::now();
        assert_eq!(drift.wait_until(now), None);
        let mut repair = |now: Instant| {
            drift.repaired(now);
            drift.wait_until(now).map(|end| end.duration_since(now).as_secs_f64()).unwrap()
        };
        for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let pause = repair(now);
            assert!((pause / seconds - 1.0).abs() <= 0.1, "{pause} for {seconds}");
            now += Duration::from_secs_f64(pause);
        }
        assert!(repair(now + CALM + Duration::from_secs(1)) < 2.0);
    }
}
