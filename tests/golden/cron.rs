//! Schedules of cron: they fire when those of robfig/cron do, and what is none to it is none here.

use chrono::{DateTime, TimeDelta, Utc};
use vso::external_secret::cron::Schedule;

#[derive(serde::Deserialize)]
struct Row {
    schedule: String,
    after: String,
    valid: bool,
    next: Option<String>,
}

#[test]
fn schedules_are_those_of_robfig_cron() {
    let rows = include_str!("cron.jsonl");
    let (mut firings, mut wrong) = (0, Vec::new());
    for line in rows.lines() {
        let row: Row = serde_json::from_str(line).expect("a row");
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let after = time(&row.after);
        let schedule = Schedule::parse(&row.schedule);
        let equal = match &schedule {
            None => !row.valid,
            Some(Schedule::Every(_)) => row.valid,
            Some(schedule) => {
                let next = schedule.next(after);
                // No firing is between them.
                let before = next.is_none_or(|next| {
                    schedule.last(next) == Some(next)
                        && schedule.last(next - TimeDelta::seconds(1)) == schedule.last(after)
                });
                row.valid && next == row.next.as_deref().map(time) && before
            }
        };
        firings += usize::from(row.next.is_some());
        if !equal {
            wrong.push(format!("{line}: {schedule:?}"));
        }
    }
    assert!(firings > 800, "{firings} firings");
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}
