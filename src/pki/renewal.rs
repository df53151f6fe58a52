//! When a certificate is replaced.
//!
//! Times are seconds since 1970. A certificate has those of its issuer's clock; the operator has one of its own. How
//! far they differ is measured when a certificate is issued. Whatever is not known of that, ten minutes of it are made
//! up for.

use sha2::{Digest as _, Sha256};

/// So far the clocks of Vault and of the operator may differ without notice: no certificate is kept to within this of
/// its end, whatever `expiryOffset` says, if it lives long enough.
const CLOCK_TOLERANCE: i64 = 600;

/// The tolerance takes at most this part of the time that a certificate was valid when it was issued.
const MAX_TOLERANCE_PART: i64 = 6;

/// Without `expiryOffset` a certificate is replaced when this part of its time is left.
const DEFAULT_LEFT_PART: i64 = 3;

/// No certificate is replaced before this part of its time is over, however large `expiryOffset` is: it would be
/// replaced without end.
const MIN_USED_PART: i64 = 10;

/// Certificates that were issued together are replaced up to this part of their time earlier than they have to be, each
/// at a time of its own.
const SPREAD_PART: i64 = 20;

/// When a certificate is valid, on the clock of its issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// `notBefore`. Issuers put it before the time of the issue.
    pub not_before: i64,
    /// `notAfter`.
    pub not_after: i64,
}

/// When a certificate was issued, as far as that was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issuance {
    /// When the certificate was issued, on the clock of the operator; 0 if that is not known.
    pub at: i64,
    /// How many seconds the clock of the operator was ahead of the clock of the issuer.
    pub clock_difference: i64,
}

/// When a certificate is replaced, on the clock of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The certificate is replaced from this time on.
    pub due: i64,
    /// Its end.
    pub expires: i64,
}

impl Renewal {
    /// Of a certificate with this serial number. `offset` is `expiryOffset` in seconds, 0 if there is none.
    pub fn of(lifetime: Lifetime, issuance: Issuance, offset: i64, serial: &str) -> Self {
        let Lifetime { not_before, not_after } = lifetime;
        let on_issuers_clock = issuance.at.saturating_sub(issuance.clock_difference);
        // A time of issue outside of the lifetime is that of another certificate, or of a clock that went wrong.
        let plausible = not_before.saturating_sub(CLOCK_TOLERANCE)..not_after.saturating_add(CLOCK_TOLERANCE);
        let recorded = issuance.at > 0 && plausible.contains(&on_issuers_clock);
        let issued =
            if recorded && on_issuers_clock < not_after { on_issuers_clock.max(not_before) } else { not_before };
        let time = not_after.saturating_sub(issued).max(0);
        let left = match offset {
            ..=0 => time / DEFAULT_LEFT_PART,
            _ => offset.max(CLOCK_TOLERANCE.min(time / MAX_TOLERANCE_PART)),
        };
        let left = left.saturating_add(spread(time, serial)).min(time - time / MIN_USED_PART);
        let here = |time: i64| time.saturating_add(issuance.clock_difference);
        // A clock that was set back since, or one that differs without notice, must not make every run replace it.
        let earliest = issuance.at.saturating_add((time / MIN_USED_PART).max(1));
        let due = here(not_after.saturating_sub(left));
        let due = if recorded { due.max(earliest) } else { due };
        Self { due, expires: here(not_after) }
    }

    /// Whether the certificate has to be replaced now.
    pub fn is_due(self, now: i64) -> bool {
        now >= self.due
    }

    /// Whether the certificate has ended.
    pub fn has_expired(self, now: i64) -> bool {
        now >= self.expires
    }
}

/// How much earlier a certificate is replaced than it has to be: always the same for one certificate.
fn spread(time: i64, serial: &str) -> i64 {
    let hash = Sha256::digest(serial.as_bytes());
    let fraction = i64::from(u16::from_be_bytes([hash[0], hash[1]]));
    (i128::from(time / SPREAD_PART) * i128::from(fraction) / 65536).try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    /// A certificate that Vault has issued at `NOW` on its own clock, which is `difference` behind that of the
    /// operator.
    fn renewal(ttl: i64, offset: i64, difference: i64) -> Renewal {
        let lifetime = Lifetime { not_before: NOW - 30, not_after: NOW + ttl };
        let issuance = Issuance { at: NOW + difference, clock_difference: difference };
        Renewal::of(lifetime, issuance, offset, "0a:0b")
    }

    /// How long after the issue the certificate is replaced at the latest, and at the earliest.
    fn window(ttl: i64, offset: i64) -> (i64, i64) {
        let lifetime = Lifetime { not_before: NOW - 30, not_after: NOW + ttl };
        let issuance = Issuance { at: NOW, clock_difference: 0 };
        let all = (0..2000).map(|n| Renewal::of(lifetime, issuance, offset, &format!("{n:x}")).due - NOW);
        let all: Vec<i64> = all.collect();
        (*all.iter().max().unwrap(), *all.iter().min().unwrap())
    }

    #[test]
    fn the_window_is_what_the_offset_says() {
        for (ttl, offset, latest, earliest) in [
            // Two thirds of the time from the issue on, which Vault dates back by 30 s.
            (30 * DAY, 0, 20 * DAY, 20 * DAY - 30 * DAY / 20),
            (60, 0, 40, 37),
            (30 * DAY, 7 * DAY, 23 * DAY, 23 * DAY - 30 * DAY / 20),
            (DAY, 20 * HOUR, 4 * HOUR, 4 * HOUR - DAY / 20),
            // An offset within the tolerance of the clocks.
            (DAY, MINUTE, DAY - 10 * MINUTE, DAY - 10 * MINUTE - DAY / 20),
            (10 * MINUTE, 1, 10 * MINUTE - 100, 10 * MINUTE - 130),
            // An offset that leaves no time.
            (60, DAY, 6, 6),
            (DAY, DAY, DAY / 10, DAY / 10),
            (DAY, i64::MAX, DAY / 10, DAY / 10),
            (1, 0, 1, 1),
            (0, 0, 3, 3),
        ] {
            let (last, first) = window(ttl, offset);
            assert!(last <= latest && last >= latest - ttl / 100 - 1, "{ttl} {offset}: latest {last}, not {latest}");
            assert!(first >= earliest && first <= earliest + ttl / 100 + 1, "{ttl} {offset}: {first}, not {earliest}");
        }
    }

    #[test]
    fn a_missed_window_is_now() {
        let renewal = renewal(DAY, HOUR, 0);
        assert!(!renewal.is_due(NOW) && !renewal.is_due(renewal.due - 1));
        for late in [renewal.due, renewal.due + 1, NOW + DAY - 1, NOW + DAY, NOW + 365 * DAY] {
            assert!(renewal.is_due(late));
            assert_eq!(renewal.has_expired(late), late >= NOW + DAY);
        }
    }

    #[test]
    fn clocks_may_differ_by_ten_minutes() {
        for difference in [-10 * MINUTE, -MINUTE, MINUTE, 10 * MINUTE] {
            for (ttl, offset) in [(60, 0), (60, 10), (HOUR, 0), (DAY, HOUR), (DAY, MINUTE)] {
                // Measured at the issue: all is as if there were no difference.
                let (with, without) = (renewal(ttl, offset, difference), renewal(ttl, offset, 0));
                assert_eq!(with, Renewal { due: without.due + difference, expires: NOW + ttl + difference });
                // Not measured: replaced before its end, and not again and again.
                let at = NOW + difference;
                let lifetime = Lifetime { not_before: NOW - 30, not_after: NOW + ttl };
                let issuance = Issuance { at, clock_difference: 0 };
                let blind = Renewal::of(lifetime, issuance, offset, "0a:0b");
                assert!(blind.due > at, "replaced at once: {ttl} {offset} {difference}");
                if ttl >= HOUR {
                    assert!(blind.due - difference <= NOW + ttl, "ended before: {ttl} {offset} {difference}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_of_the_issue_is_taken_from_the_certificate() {
        let lifetime = Lifetime { not_before: NOW, not_after: NOW + 30 * DAY };
        let due = |at| Renewal::of(lifetime, Issuance { at, clock_difference: 0 }, 0, "a").due;
        let unknown = due(0);
        assert!((NOW + 18 * DAY..=NOW + 20 * DAY).contains(&unknown));
        for other in [NOW - 400 * DAY, NOW + 400 * DAY, i64::MAX, i64::MIN, -1] {
            assert_eq!(due(other), unknown, "{other} is no time of issue of this certificate");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_times_are_taken(not_before: i64, not_after: i64, at: i64, difference: i64, offset: i64) {
            let lifetime = Lifetime { not_before, not_after };
            let renewal = Renewal::of(lifetime, Issuance { at, clock_difference: difference }, offset, "a");
            proptest::prop_assert!(renewal.due <= renewal.expires || at != 0);
        }
    }
}
