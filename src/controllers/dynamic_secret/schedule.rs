//! Pure: when a lease is renewed, and when its credentials are replaced at the latest.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt as _};

/// One part of so many of a lease is left, at least, when its credentials are replaced: new ones have to reach the
/// workloads.
pub(super) const MARGIN_PART: u32 = 10;
const MARGIN: f64 = 1.0 / MARGIN_PART as f64;
/// Renewals are spread over this part of a lease.
const SPREAD: f64 = 0.1;
/// The first renewal is not before this part of the time until it is due.
const FIRST_RENEWAL: f64 = 0.15;

/// The lease of the credentials in the Secret, on the clock of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseTimes {
    /// When it is renewed, or the credentials are replaced if it cannot be.
    pub due: Instant,
    /// When the credentials are replaced at the latest.
    pub replace_by: Instant,
    /// When it ends.
    pub ends: Instant,
}

impl LeaseTimes {
    /// The times of a lease that was renewed `age` ago for `lease`.
    pub fn new(lease: Duration, age: Duration, percent: u32, now: Instant, rng: &mut impl Rng) -> Self {
        let left = |part: Duration| now + part.saturating_sub(age);
        let due = renewal_delay(lease, percent, rng);
        Self { due: left(due), replace_by: left(lease - lease / MARGIN_PART), ends: left(lease) }
    }

    /// The first renewal of a lease is at a random time before it is due: those that were given together would stay
    /// together for many renewals.
    pub fn spread_first_renewal(&mut self, now: Instant, rng: &mut impl Rng) {
        let left = self.due.saturating_duration_since(now);
        self.due = now + left.mul_f64(rng.random_range(FIRST_RENEWAL..1.0));
    }

    /// The times of a lease of which `left` is left and that is not renewed any more.
    pub fn last(left: Duration, now: Instant, rng: &mut impl Rng) -> Self {
        let due = now + left.mul_f64(rng.random_range(0.3..0.6));
        Self { due, replace_by: now + (left - left / MARGIN_PART), ends: now + left }
    }
}

/// How long after its last renewal a lease is renewed: a random time after `percent` of it, and while a tenth of it is
/// left. VSO waits up to its very end where `percent` is 90.
pub(super) fn renewal_delay(lease: Duration, percent: u32, rng: &mut impl Rng) -> Duration {
    let latest = (f64::from(percent) / 100.0 + SPREAD).min(1.0 - MARGIN);
    let earliest = (f64::from(percent) / 100.0).min(latest - SPREAD / 2.0);
    lease.mul_f64(rng.random_range(earliest..latest))
}

/// A random time before the token ends that the credentials hang on: those of many objects are replaced one after the
/// other.
pub(super) fn before_token_ends(ends: Instant, now: Instant, rng: &mut impl Rng) -> Instant {
    let left = ends.saturating_duration_since(now);
    now + left.mul_f64(rng.random_range(0.0..1.0 - 2.0 * MARGIN))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use super::*;

    proptest! {
        #[test]
        fn a_lease_is_renewed_after_its_percentage_and_with_a_tenth_left(seconds in 1u64..10_000_000, percent in 0u32..=90, seed: u64) {
            let lease = Duration::from_secs(seconds);
            let delay = renewal_delay(lease, percent, &mut SmallRng::seed_from_u64(seed)).as_secs_f64() / lease.as_secs_f64();
            let part = f64::from(percent) / 100.0;
            prop_assert!(delay >= part.min(0.85) - 1e-6 && delay <= (part + 0.1).min(0.9) + 1e-6, "{delay}");
        }

        #[test]
        fn whatever_its_age_a_lease_is_due_before_it_has_to_be_replaced(lease in 1u64..1_000_000, age in 0u64..2_000_000, percent in 0u32..=90, seed: u64) {
            let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(seed));
            let times = LeaseTimes::new(Duration::from_secs(lease), Duration::from_secs(age), percent, now, &mut rng);
            prop_assert!(now <= times.due && times.due <= times.replace_by && times.replace_by <= times.ends);
            let last = LeaseTimes::last(Duration::from_secs(lease), now, &mut rng);
            prop_assert!(last.due <= last.replace_by && last.replace_by < last.ends);
        }
    }

    #[test]
    fn leases_that_were_given_together_are_not_renewed_together() {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(1));
        let lease = Duration::from_secs(60);
        let mut in_second = [0; 60];
        for _ in 0..1000 {
            let mut times = LeaseTimes::new(lease, Duration::ZERO, 67, now, &mut rng);
            times.spread_first_renewal(now, &mut rng);
            in_second[usize::try_from((times.due - now).as_secs()).unwrap()] += 1;
        }
        // Without it all of them fall into six seconds, and into a quarter of the lease after five renewals.
        assert!(in_second.iter().all(|count| *count < 50), "{in_second:?}");
        assert!(in_second[..6].iter().all(|count| *count == 0), "{in_second:?}");
    }

    #[test]
    fn credentials_of_a_token_are_replaced_in_the_time_that_is_left_to_it() {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(1));
        let ends = now + Duration::from_secs(100);
        let mut delays: Vec<f64> =
            (0..1000).map(|_| (before_token_ends(ends, now, &mut rng) - now).as_secs_f64()).collect();
        delays.sort_by(f64::total_cmp);
        assert!(delays[0] < 1.0 && delays[500] > 30.0 && delays[500] < 50.0 && delays[999] < 80.0, "{delays:?}");
        assert_eq!(before_token_ends(now, now, &mut rng), now, "one that has ended");
    }
}
