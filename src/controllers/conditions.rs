//! Conditions that move only when something changed: equal state in, equal state out, real transition times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The new value of a condition.
pub(super) struct New<'a> {
    pub type_: &'a str,
    pub status: bool,
    pub reason: &'a str,
    pub message: &'a str,
}

/// Longest message that the schema of a condition takes, in bytes; far more than anybody reads.
const LONGEST: usize = 4096;

/// Puts new values over old conditions. Each stays where it is in the list, mentioned or not; new types come last. So a
/// condition that is not part of every run, such as that of restarts, moves nothing when it is left out.
pub(super) fn merge(old: &[Condition], generation: i64, new: &[New<'_>]) -> Vec<Condition> {
    let set = |n: &New<'_>| {
        let status = if n.status { "True" } else { "False" };
        let since = find(old, n.type_).filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
        Condition {
            type_: n.type_.to_owned(),
            status: status.to_owned(),
            reason: n.reason.to_owned(),
            message: cut(n.message).to_owned(),
            observed_generation: Some(generation),
            last_transition_time: since.unwrap_or_else(now),
        }
    };
    let known = old.iter().map(|c| new.iter().find(|n| n.type_ == c.type_).map_or_else(|| c.clone(), set));
    let added = new.iter().filter(|n| find(old, n.type_).is_none()).map(set);
    known.chain(added).collect()
}

/// The condition of that type.
pub(super) fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Now, with the second precision that Kubernetes stores.
fn now() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn cut(message: &str) -> &str {
    let end = (0..=LONGEST.min(message.len())).rev().find(|&i| message.is_char_boundary(i)).unwrap_or(0);
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new<'a>(type_: &'a str, status: bool, message: &'a str) -> New<'a> {
        New { type_, status, reason: "R", message }
    }

    #[test]
    fn equal_state_is_an_equal_value_and_others_stay() {
        let first = merge(&[], 1, &[new("A", true, "m"), new("B", true, "m")]);
        assert_eq!(merge(&first, 1, &[new("A", true, "m"), new("B", true, "m")]), first);
        assert_eq!(merge(&first, 1, &[new("A", true, "m")]), first, "what is not mentioned does not move");
        let second = merge(&first, 2, &[new("B", true, "other")]);
        assert_eq!(second[0], first[0]);
        assert_eq!(
            second[1].last_transition_time, first[1].last_transition_time,
            "no transition, only another message"
        );
    }

    #[test]
    fn a_transition_moves_the_time() {
        let mut first = merge(&[], 1, &[new("A", true, "m")]);
        first[0].last_transition_time = Time(Timestamp::from_second(1).unwrap());
        assert_eq!(merge(&first, 1, &[new("A", true, "x")])[0].last_transition_time.0.as_second(), 1);
        assert!(merge(&first, 1, &[new("A", false, "x")])[0].last_transition_time.0.as_second() > 1);
    }
}
