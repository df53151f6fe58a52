//! Pauses: exponential back-off with jitter, and how due times are spread.

mod jitter;

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use jitter::scaled;
pub use jitter::{horizon, spread};

/// How long to wait after one failure, two, three. All waits of an object follow the policy of the operator's flags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The first interval.
    pub initial: Duration,
    /// No interval is longer.
    pub max: Duration,
    /// Each interval is this many times the one before.
    pub multiplier: f64,
    /// Each wait is anywhere in its interval plus or minus this part of it.
    pub randomization: f64,
    /// Give up when the failures have lasted so long; zero: never.
    pub max_elapsed: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(5),
            max: Duration::from_secs(60),
            multiplier: 1.5,
            randomization: 0.5,
            max_elapsed: Duration::ZERO,
        }
    }
}

/// The failures in a row of one object or one login. There are many of these and few fail: the policy is not part of
/// it, and what is known of failures is boxed.
#[derive(Clone, Debug, Default)]
pub struct Backoff(Option<Box<Failing>>);

#[derive(Clone, Debug)]
struct Failing {
    since: Instant,
    interval: Duration,
    attempts: u32,
}

impl Backoff {
    /// How long to wait after one more failure, at `now`; `None` when the policy says to give up.
    pub fn next(&mut self, policy: &Policy, now: Instant, rng: &mut impl Rng) -> Option<Duration> {
        let first = || Box::new(Failing { since: now, interval: policy.initial, attempts: 0 });
        let failing = self.0.get_or_insert_with(first);
        let wait = around(failing.interval, policy.randomization, rng);
        failing.interval = longer(failing.interval, policy);
        failing.attempts = failing.attempts.saturating_add(1);
        let elapsed = now.saturating_duration_since(failing.since).saturating_add(wait);
        if !policy.max_elapsed.is_zero() && elapsed > policy.max_elapsed {
            return None;
        }
        Some(wait)
    }

    /// It worked: the next failure is a first one.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// How many failures in a row there were.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.as_ref().map_or(0, |failing| failing.attempts)
    }
}

/// Uniform in `interval * [1 - part, 1 + part]`.
fn around(interval: Duration, part: f64, rng: &mut impl Rng) -> Duration {
    scaled(interval, 1.0 + part * rng.random_range(-1.0..=1.0))
}

/// The interval after this one. The first may be longer than the maximum, no later one is.
fn longer(interval: Duration, policy: &Policy) -> Duration {
    scaled(interval, policy.multiplier).min(policy.max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const EXACT: Policy = Policy {
        initial: Duration::from_secs(5),
        max: Duration::from_secs(60),
        multiplier: 1.5,
        randomization: 0.0,
        max_elapsed: Duration::ZERO,
    };

    fn waits(policy: &Policy, count: usize) -> Vec<Option<f64>> {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut wait = || {
            let wait = backoff.next(policy, now, &mut rng)?;
            now += wait;
            Some(wait.as_secs_f64())
        };
        (0..count).map(|_| wait()).collect()
    }

    #[test]
    fn intervals_grow_up_to_the_maximum() {
        let expected = [5.0, 7.5, 11.25, 16.875, 25.3125, 37.96875, 56.953125, 60.0, 60.0].map(Some);
        assert_eq!(waits(&EXACT, 9), expected);
    }

    #[test]
    fn the_first_interval_may_be_longer_than_the_maximum() {
        let policy = Policy { initial: Duration::from_secs(90), ..EXACT };
        assert_eq!(waits(&policy, 3), [90.0, 60.0, 60.0].map(Some));
    }

    #[test]
    fn gives_up_before_the_elapsed_time_is_over() {
        let policy = Policy { max_elapsed: Duration::from_secs(24), ..EXACT };
        assert_eq!(waits(&policy, 4), [Some(5.0), Some(7.5), Some(11.25), None]);
    }

    #[test]
    fn never_gives_up_by_default() {
        assert!(waits(&Policy::default(), 2_000).iter().all(Option::is_some));
    }

    #[test]
    fn success_starts_over() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        let now = Instant::now();
        backoff.next(&EXACT, now, &mut rng);
        backoff.next(&EXACT, now, &mut rng);
        assert_eq!(backoff.attempts(), 2);
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert_eq!(backoff.next(&EXACT, now, &mut rng), Some(EXACT.initial));
    }

    #[test]
    fn odd_policies_do_not_panic() {
        for multiplier in [0.0, 1e308, f64::NAN, f64::INFINITY] {
            let policy = Policy { multiplier, randomization: 1.0, max: Duration::MAX, ..EXACT };
            waits(&Policy { max: Duration::from_secs(60), ..policy }, 50);
            let mut backoff = Backoff::default();
            for _ in 0..50 {
                backoff.next(&policy, Instant::now(), &mut rand::rng());
            }
        }
    }

    proptest! {
        #[test]
        fn each_wait_is_within_its_interval(seed: u64, randomization in 0.0..=1.0) {
            let policy = Policy { randomization, ..EXACT };
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut backoff = Backoff::default();
            let now = Instant::now();
            let mut interval: f64 = 5.0;
            for _ in 0..12 {
                let wait = backoff.next(&policy, now, &mut rng).map(|d| d.as_secs_f64());
                let (low, high) = (interval * (1.0 - randomization), interval * (1.0 + randomization));
                prop_assert!(wait.is_some_and(|w| low - 1e-6 <= w && w <= high + 1e-6));
                interval = (interval * 1.5).min(60.0);
            }
        }
    }
}
