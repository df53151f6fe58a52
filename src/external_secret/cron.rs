//! Schedules: five fields of cron, `@hourly` and the like, `@every 10m`. In UTC, and of the syntax of robfig/cron,
//! which ESO uses.
//!
//! The crates for cron read other dialects (`L`, `#`, 7 for Sunday, seconds), and none looks for the firing before a
//! time within bounds.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

use crate::gocompat::GoDuration;

/// How far a firing may be away: 29 February comes after eight years at the latest.
const MAX_DAYS: usize = 9 * 366;

/// When something fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At times of the calendar.
    Calendar(Calendar),
    /// Whenever so many seconds have passed, counted from the beginning of 1970.
    Every(i64),
}

/// A set of numbers below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, number: u32) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }
}

/// Minutes of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Whether a day has to be in both sets, rather than in one.
    both: bool,
}

struct Field {
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTES: Field = Field { first: 0, last: 59, names: &[] };
const HOURS: Field = Field { first: 0, last: 23, names: &[] };
const DAYS: Field = Field { first: 1, last: 31, names: &[] };
const MONTHS: Field = Field {
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Field = Field { first: 0, last: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    fn number(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| *name == lower) {
            return u32::try_from(at).ok().map(|at| at + self.first);
        }
        let digits = text.strip_prefix('+').unwrap_or(text);
        (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    }

    /// The numbers that a text names, and whether it has a star.
    fn read(&self, text: &str) -> Option<(Set, bool)> {
        let (mut numbers, mut star) = (0, false);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => (range, Some(Self { names: &[], ..*self }.number(step)?)),
            };
            let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
            let (first, last) = if low == "*" || low == "?" {
                star |= step.is_none_or(|step| step <= 1);
                (self.first, self.last)
            } else {
                let first = self.number(low)?;
                let last = match high {
                    Some(high) => self.number(high)?,
                    None if step.is_some() => self.last,
                    None => first,
                };
                (first, last)
            };
            let step = step.unwrap_or(1);
            if first < self.first || last > self.last || first > last || step == 0 {
                return None;
            }
            numbers =
                (first..=last).step_by(usize::try_from(step).ok()?).fold(numbers, |set, number| set | 1 << number);
        }
        Some((Set(numbers), star))
    }
}

impl Schedule {
    /// Reads a schedule. Nothing if it is none, or one of a time zone other than UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let text = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            None => text,
            Some(rest) => {
                let (zone, rest) = rest.split_once(' ')?;
                if !matches!(zone, "" | "UTC" | "Etc/UTC") {
                    return None;
                }
                rest.trim()
            }
        };
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => match text.strip_prefix("@every ") {
                Some(duration) => {
                    let duration = GoDuration::parse(duration).ok()?;
                    return Some(Self::Every((duration.0 / 1_000_000_000).max(1)));
                }
                None => text,
            },
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let (days, any_day) = DAYS.read(days)?;
        let (weekdays, any_weekday) = WEEKDAYS.read(weekdays)?;
        Some(Self::Calendar(Calendar {
            minutes: MINUTES.read(minutes)?.0,
            hours: HOURS.read(hours)?.0,
            days,
            months: MONTHS.read(months)?.0,
            weekdays,
            both: any_day || any_weekday,
        }))
    }

    /// The last firing up to a time, and at it.
    pub fn last(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Calendar(calendar) => {
                let minute = at.time().hour() * 60 + at.time().minute();
                let today = calendar.minutes_of(at.date_naive()).filter(|found| *found <= minute).last();
                let earlier = std::iter::successors(at.date_naive().pred_opt(), NaiveDate::pred_opt).take(MAX_DAYS);
                firing(at.date_naive(), today)
                    .or_else(|| earlier.into_iter().find_map(|date| firing(date, calendar.minutes_of(date).last())))
            }
            Self::Every(seconds) => DateTime::from_timestamp(at.timestamp() - at.timestamp().rem_euclid(*seconds), 0),
        }
    }

    /// The first firing after a time.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Calendar(calendar) => {
                let minute = after.time().hour() * 60 + after.time().minute();
                let today = calendar.minutes_of(after.date_naive()).find(|found| *found > minute);
                let later = std::iter::successors(after.date_naive().succ_opt(), NaiveDate::succ_opt).take(MAX_DAYS);
                firing(after.date_naive(), today)
                    .or_else(|| later.into_iter().find_map(|date| firing(date, calendar.minutes_of(date).next())))
            }
            Self::Every(seconds) => {
                let passed = after.timestamp().rem_euclid(*seconds);
                after.timestamp().checked_add(seconds - passed).and_then(|at| DateTime::from_timestamp(at, 0))
            }
        }
    }
}

fn firing(date: NaiveDate, minute: Option<u32>) -> Option<DateTime<Utc>> {
    Some(date.and_time(NaiveTime::MIN).and_utc() + TimeDelta::minutes(minute?.into()))
}

impl Calendar {
    fn has_day(&self, date: NaiveDate) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().num_days_from_sunday());
        self.months.has(date.month()) && if self.both { day && weekday } else { day || weekday }
    }

    /// Minutes of the day at which it fires.
    fn minutes_of(&self, date: NaiveDate) -> impl Iterator<Item = u32> {
        let (hours, minutes) = (self.hours, self.minutes);
        let hours = (0..24).filter(move |hour| hours.has(*hour));
        let all =
            hours.flat_map(move |hour| (0..60).filter(move |minute| minutes.has(*minute)).map(move |m| hour * 60 + m));
        all.take(if self.has_day(date) { usize::MAX } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn firings_are_found_on_both_sides() {
        let at = time("2026-11-28T13:30:30Z"); // a Saturday
        for (schedule, last, next) in [
            ("30 13 * * *", "2026-11-28T13:30:00Z", "2026-11-29T13:30:00Z"),
            ("31 13 * * *", "2026-11-27T13:31:00Z", "2026-11-28T13:31:00Z"),
            ("*/20 9-17 * * MON-FRI", "2026-11-27T17:40:00Z", "2026-11-30T09:00:00Z"),
            ("0 0 1 1 *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 29 2 ?", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 13 * 5", "2026-11-27T12:00:00Z", "2026-12-04T12:00:00Z"),
            ("@weekly", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"),
            ("@every 1h30m", "2026-11-28T13:30:00Z", "2026-11-28T15:00:00Z"),
            ("@every 10ms", "2026-11-28T13:30:30Z", "2026-11-28T13:30:31Z"),
            ("TZ=UTC 30 13 * * *", "2026-11-28T13:30:00Z", "2026-11-29T13:30:00Z"),
        ] {
            let read = Schedule::parse(schedule).unwrap();
            assert_eq!(read.last(at), Some(time(last)), "{schedule}");
            assert_eq!(read.next(at), Some(time(next)), "{schedule}");
            assert_eq!(read.last(time(next)), Some(time(next)), "{schedule}: a firing is its own last");
        }
        let never = Schedule::parse("0 0 30 2 *").unwrap();
        assert_eq!((never.last(at), never.next(at)), (None, None));
        let edge = DateTime::<Utc>::MAX_UTC;
        for schedule in ["* * * * *", "@every 2562047h", "0 0 30 2 *"] {
            let read = Schedule::parse(schedule).unwrap();
            let _ = (
                read.next(edge),
                read.last(edge),
                read.next(DateTime::<Utc>::MIN_UTC),
                read.last(DateTime::<Utc>::MIN_UTC),
            );
        }
    }

    #[test]
    fn what_is_no_schedule_is_none() {
        for text in [
            "",
            "*",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "1/2/3 * * * *",
            "1-2-3 * * * *",
            "a * * * *",
            "-1 * * * *",
            "* * * L *",
            "@every",
            "@every x",
            "@never",
            "TZ=Europe/Berlin 0 0 * * *",
            "TZ=UTC",
            "CRON_TZ=UTC",
        ] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }
}
