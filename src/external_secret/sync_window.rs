//! When periodic reads may take place. A window is open from each of its firings until its duration has passed, that
//! moment included.

use chrono::{DateTime, TimeDelta, Utc};

use super::cron::Schedule;
use crate::api::external_secrets::external_secret::{SyncWindow, SyncWindowKind, SyncWindows};
use crate::gocompat::GoDuration;

/// Windows that are looked at.
const MAX_WINDOWS: usize = 100;
/// How many openings that follow each other without a gap are looked at. After them it is time to look again.
const MAX_OPENINGS: usize = 10;
/// When windows are looked at again that never change.
const FAR: TimeDelta = TimeDelta::days(1);
/// The end of a window belongs to it.
const INSTANT: TimeDelta = TimeDelta::seconds(1);

/// Until when the stores must not be read, if they must not be read now. That time may be too early, and is never too
/// late.
pub fn closed_until(windows: &SyncWindows, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let spans: Vec<Span> = windows.windows.iter().take(MAX_WINDOWS).filter_map(Span::read).collect();
    match windows.kind {
        SyncWindowKind::Allow => {
            if spans.iter().any(|span| span.end(now).is_some()) {
                return None;
            }
            let opens = spans.iter().filter_map(|span| span.schedule.next(now)).min();
            Some(opens.unwrap_or(now + FAR))
        }
        SyncWindowKind::Deny => {
            let mut until = None;
            for _ in 0..MAX_OPENINGS {
                let at = until.unwrap_or(now);
                match spans.iter().filter_map(|span| span.end(at)).max() {
                    None => break,
                    Some(end) => until = Some(end + INSTANT),
                }
            }
            until
        }
        // There is no such kind: nothing is known to be forbidden.
        SyncWindowKind::Unknown(_) => None,
    }
}

struct Span {
    schedule: Schedule,
    duration: TimeDelta,
}

impl Span {
    /// Nothing if the window cannot be read: it never opens.
    fn read(window: &SyncWindow) -> Option<Self> {
        let schedule = Schedule::parse(&window.schedule)?;
        let duration = GoDuration::parse(&window.duration).ok().filter(|duration| duration.0 >= 0)?;
        Some(Self { schedule, duration: TimeDelta::nanoseconds(duration.0) })
    }

    /// The end of the window that is open, if one is. The last firing has the latest end.
    fn end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = self.schedule.last(at)?.checked_add_signed(self.duration)?;
        (end >= at).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn closed(kind: SyncWindowKind, windows: &[(&str, &str)], now: &str) -> Option<DateTime<Utc>> {
        let windows = windows
            .iter()
            .map(|(schedule, duration)| SyncWindow {
                schedule: (*schedule).to_owned(),
                duration: (*duration).to_owned(),
            })
            .collect();
        closed_until(&SyncWindows { kind, windows }, time(now))
    }

    #[test]
    fn reads_take_place_in_windows_that_allow_them() {
        use SyncWindowKind::Allow;
        let nights: &[(&str, &str)] = &[("0 22 * * *", "2h"), ("0 3 * * *", "30m")];
        for (now, until) in [
            ("2026-11-28T21:59:59Z", Some("2026-11-28T22:00:00Z")),
            ("2026-11-28T22:00:00Z", None),
            ("2026-11-29T00:00:00Z", None),
            ("2026-11-29T00:00:01Z", Some("2026-11-29T03:00:00Z")),
            ("2026-11-29T03:30:00Z", None),
        ] {
            assert_eq!(closed(Allow, nights, now), until.map(time), "{now}");
        }
    }

    #[test]
    fn reads_take_place_outside_of_windows_that_deny_them() {
        use SyncWindowKind::Deny;
        let days: &[(&str, &str)] = &[("0 9 * * 1-5", "8h"), ("0 16 * * *", "2h")];
        for (now, until) in [
            ("2026-11-27T08:59:59Z", None),
            ("2026-11-27T09:00:00Z", Some("2026-11-27T18:00:01Z")),
            ("2026-11-27T18:00:00Z", Some("2026-11-27T18:00:01Z")),
            ("2026-11-27T18:00:01Z", None),
            ("2026-11-28T09:00:00Z", None),
        ] {
            assert_eq!(closed(Deny, days, now), until.map(time), "{now}");
        }
    }

    #[test]
    fn windows_that_overlap_leave_no_gap() {
        use SyncWindowKind::{Allow, Deny};
        let always: &[(&str, &str)] = &[("* * * * *", "5m")];
        for now in ["2026-11-28T13:00:00Z", "2026-11-28T13:00:00.5Z", "2026-11-28T13:00:59.999Z"] {
            assert_eq!(closed(Allow, always, now), None, "{now}");
            let until = closed(Deny, always, now).unwrap();
            assert!(until - time(now) > TimeDelta::minutes(45), "{until}");
        }
        assert_eq!(closed(Allow, &[("@every 10m", "10m")], "2026-11-28T13:05:00Z"), None);
        assert_eq!(closed(Allow, &[("@every 10m", "1m")], "2026-11-28T13:05:00Z"), Some(time("2026-11-28T13:10:00Z")));
    }

    #[test]
    fn a_window_that_cannot_be_read_never_opens() {
        use SyncWindowKind::{Allow, Deny, Unknown};
        let now = "2026-11-28T13:05:00Z";
        let odd: &[(&str, &str)] = &[("x", "1h"), ("* * * * *", "long"), ("0 0 30 2 *", "1h"), ("* * * * *", "-1m")];
        assert_eq!(closed(Allow, odd, now), Some(time("2026-11-29T13:05:00Z")));
        assert_eq!(closed(Deny, odd, now), None);
        assert_eq!(closed(Allow, &[], now), Some(time("2026-11-29T13:05:00Z")));
        assert_eq!(closed(Unknown("maybe".into()), odd, now), None);
        let longest: &[(&str, &str)] = &[("@every 2562047h47m16s", "2562047h47m16s")];
        assert!(closed(Deny, longest, now).is_some());
    }
}
