//! Which denials are worth a fresh login.
//!
//! Policies are bound to a token at login, so only a fresh login sees a role that was changed. Each path paces the
//! logins it asks for by itself: one that stays denied holds up no other whose policy was mended. All paths profit from
//! each login.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::backoff::{Backoff, Policy};

/// How old the last login has to be for the first, second and further denials of a path to be worth another.
const LOGIN_AGES: Policy = Policy {
    initial: Duration::from_secs(10),
    max: Duration::from_secs(600),
    multiplier: 3.0,
    randomization: 0.1,
    max_elapsed: Duration::ZERO,
};
/// A path that was not denied for so long is not read any more.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The denials of a session.
#[derive(Default)]
pub(super) struct Denials {
    /// When a denial was last answered with a login.
    last_login: Option<Instant>,
    /// The denials, by Vault namespace and path.
    paths: HashMap<(String, String), Denial>,
}

struct Denial {
    backoff: Backoff,
    /// The login that was last known to be denied the path.
    login: Option<Instant>,
    /// How old that login has to be.
    login_age: Duration,
    at: Instant,
}

impl Denials {
    /// A path was denied. True if that is worth a fresh login, which the caller makes.
    pub fn is_worth_a_login(&mut self, namespace: &str, path: &str, now: Instant) -> bool {
        self.paths.retain(|_, denial| now < denial.at + FORGET_AFTER);
        let next_age =
            |backoff: &mut Backoff| backoff.next(&LOGIN_AGES, now, &mut rand::rng()).unwrap_or(LOGIN_AGES.max);
        let denial = self.paths.entry((namespace.to_owned(), path.to_owned())).or_insert_with(|| {
            let mut backoff = Backoff::default();
            let login_age = next_age(&mut backoff);
            Denial { backoff, login: self.last_login, login_age, at: now }
        });
        denial.at = now;
        if denial.login != self.last_login {
            denial.login = self.last_login;
            denial.login_age = next_age(&mut denial.backoff);
        }
        let worth = self.last_login.is_none_or(|login| now >= login + denial.login_age);
        if worth {
            self.last_login = Some(now);
        }
        worth
    }

    /// A path was allowed: its next denial is a first one.
    pub fn allowed(&mut self, namespace: &str, path: &str) {
        if !self.paths.is_empty() {
            self.paths.remove(&(namespace.to_owned(), path.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Seconds at which a path that is read every two seconds gets a login.
    fn logins(denials: &mut Denials, path: &str, start: Instant, seconds: std::ops::Range<u64>) -> Vec<u64> {
        seconds.step_by(2).filter(|s| denials.is_worth_a_login("ns", path, after(start, *s))).collect()
    }

    #[test]
    fn a_path_that_stays_denied_causes_few_logins_and_delays_no_other() {
        let (mut denials, start) = (Denials::default(), Instant::now());
        let hour = logins(&mut denials, "always", start, 0..3600);
        assert_eq!(hour[0], 0);
        assert!((6..=11).contains(&hour.len()), "{hour:?}");
        let first = logins(&mut denials, "mended", start, 3600..3700);
        assert!(first[0] <= 3614, "{first:?}");
    }

    #[test]
    fn a_path_that_was_allowed_begins_anew() {
        let (mut denials, start) = (Denials::default(), Instant::now());
        logins(&mut denials, "a", start, 0..2000);
        denials.allowed("ns", "a");
        let again = logins(&mut denials, "a", start, 3000..3100);
        assert_eq!(again[0], 3000);
        assert!(again[1] <= 3036, "{again:?}");
    }

    #[test]
    fn paths_that_are_denied_together_share_their_logins() {
        let (mut denials, start) = (Denials::default(), Instant::now());
        let mut count = 0;
        for second in 0..60 {
            for path in 0..50 {
                count += u32::from(denials.is_worth_a_login("ns", &path.to_string(), after(start, second)));
            }
        }
        assert!((2..=3).contains(&count), "{count} logins in a minute");
    }
}
