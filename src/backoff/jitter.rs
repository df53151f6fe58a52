//! Random parts of times, so that objects that were created together do not stay together for ever.

use std::time::Duration;

use rand::{Rng, RngExt};

/// When to look again at something that may be `interval` old: always a bit earlier than that, above 80 % and at most
/// 90 % of it.
pub fn horizon(interval: Duration, rng: &mut impl Rng) -> Duration {
    let tenth = interval / 10;
    // Rounded up, so that the upper bound holds for every number of nanoseconds.
    let rounding = Duration::from_nanos(u64::from(tenth * 10 < interval));
    interval.saturating_sub(tenth + rounding).saturating_sub(below(tenth, rng))
}

/// A random part of `over`: for objects that could all run at the same moment, such as those of a Vault that answers
/// again.
pub fn spread(over: Duration, rng: &mut impl Rng) -> Duration {
    below(over, rng)
}

/// Uniform in `[0, limit)`, or zero if that is empty.
fn below(limit: Duration, rng: &mut impl Rng) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(if nanos == 0 { 0 } else { rng.random_range(0..nanos) })
}

/// A duration times a factor; anything that is not a duration is the nearest one that is.
pub(super) fn scaled(duration: Duration, factor: f64) -> Duration {
    let seconds = duration.as_secs_f64() * factor;
    Duration::try_from_secs_f64(seconds).unwrap_or(if seconds > 0.0 { Duration::MAX } else { Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    proptest! {
        #[test]
        fn horizon_is_within_its_bounds(nanos in 10_u64..=u64::MAX / 20, seed: u64) {
            let h = horizon(Duration::from_nanos(nanos), &mut SmallRng::seed_from_u64(seed)).as_nanos();
            let nanos = u128::from(nanos);
            prop_assert!(8 * nanos < 10 * h && 10 * h <= 9 * nanos, "{h} of {nanos}");
        }

        #[test]
        fn spread_stays_inside(nanos: u64, seed: u64) {
            let over = Duration::from_nanos(nanos);
            let part = spread(over, &mut SmallRng::seed_from_u64(seed));
            prop_assert!(part < over || over.is_zero());
        }
    }

    #[test]
    fn horizon_uses_its_whole_range() {
        let mut rng = SmallRng::seed_from_u64(1);
        let all: Vec<_> = (0..10_000).map(|_| horizon(Duration::from_secs(5), &mut rng)).collect();
        let near = |bound: u64| all.iter().any(|h| h.abs_diff(Duration::from_millis(bound)) < Duration::from_millis(1));
        assert!(near(4_000) && near(4_500));
    }

    #[test]
    fn the_shortest_and_longest_intervals_do_not_panic() {
        let mut rng = SmallRng::seed_from_u64(1);
        assert_eq!(horizon(Duration::ZERO, &mut rng), Duration::ZERO);
        assert!(horizon(Duration::MAX, &mut rng) < Duration::MAX);
    }
}
