//! Go's date layouts: `2006-01-02T15:04:05Z07:00`.

mod read;

pub(in crate::gocompat::sprig) use read::parse;

use super::{DAYS, MONTHS, Time};

/// An element of a layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekDay,
    WeekDay,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// An offset: whether `Z` stands for UTC, and the form.
    Offset(bool, Form),
    /// A fraction of so many digits: always, or without the zeroes at the end.
    Fraction(usize, bool),
}

/// How an offset is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Hours,
    Minutes,
    ColonMinutes,
    Seconds,
    ColonSeconds,
}

const SIMPLE: &[(&str, Element)] = &[
    ("January", Element::LongMonth),
    ("Monday", Element::LongWeekDay),
    ("Mon", Element::WeekDay),
    ("MST", Element::ZoneName),
    ("002", Element::ZeroYearDay),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::Year),
    ("15", Element::Hour),
    ("1", Element::NumMonth),
    ("2006", Element::LongYear),
    ("2", Element::Day),
    ("__2", Element::UnderYearDay),
    ("_2", Element::UnderDay),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::UpperPm),
    ("pm", Element::LowerPm),
    ("-070000", Element::Offset(false, Form::Seconds)),
    ("-07:00:00", Element::Offset(false, Form::ColonSeconds)),
    ("-0700", Element::Offset(false, Form::Minutes)),
    ("-07:00", Element::Offset(false, Form::ColonMinutes)),
    ("-07", Element::Offset(false, Form::Hours)),
    ("Z070000", Element::Offset(true, Form::Seconds)),
    ("Z07:00:00", Element::Offset(true, Form::ColonSeconds)),
    ("Z0700", Element::Offset(true, Form::Minutes)),
    ("Z07:00", Element::Offset(true, Form::ColonMinutes)),
    ("Z07", Element::Offset(true, Form::Hours)),
];

/// The text before the next element, the element, its own text, and the text after it.
pub(super) fn next_element(layout: &str) -> (&str, Option<(Element, &str)>, &str) {
    for (at, _) in layout.char_indices() {
        let rest = &layout[at..];
        let found = |element, length: usize| (&layout[..at], Some((element, &rest[..length])), &rest[length..]);
        // "_2006" is a year after an underscore.
        if let Some(after) = rest.strip_prefix("_2006") {
            return (&layout[..=at], Some((Element::LongYear, "2006")), after);
        }
        // "Jan" in front of a lower case letter is a word, unless it is "January".
        let word = |length: usize| rest[length..].starts_with(|c: char| c.is_ascii_lowercase());
        if rest.starts_with("Jan") && !rest.starts_with("January") {
            if word(3) {
                continue;
            }
            return found(Element::Month, 3);
        }
        if rest.starts_with("Mon") && !rest.starts_with("Monday") && word(3) {
            continue;
        }
        if let Some((text, element)) = SIMPLE.iter().find(|(text, _)| rest.starts_with(text)) {
            return found(*element, text.len());
        }
        if rest.starts_with(['.', ','])
            && let Some(digit) = rest[1..].chars().next().filter(|c| matches!(c, '0' | '9'))
        {
            let digits = rest[1..].chars().take_while(|c| *c == digit).count();
            if !rest[1 + digits..].starts_with(|c: char| c.is_ascii_digit()) {
                return found(Element::Fraction(digits, digit == '9'), 1 + digits);
            }
        }
    }
    (layout, None, "")
}

/// `Time.Format`
pub(in crate::gocompat::sprig) fn format(time: &Time, layout: &str) -> String {
    let civil = time.civil();
    let (zone, offset) = time.zone();
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (before, element, after) = next_element(rest);
        out.push_str(before);
        let Some((element, text)) = element else { return out };
        rest = after;
        let month = MONTHS[usize::try_from(civil.month - 1).unwrap_or(0)];
        let day = DAYS[usize::try_from(civil.weekday).unwrap_or(0)];
        let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
        out += &match element {
            Element::LongMonth => month.to_owned(),
            Element::Month => month[..3].to_owned(),
            Element::NumMonth => civil.month.to_string(),
            Element::ZeroMonth => format!("{:02}", civil.month),
            Element::LongWeekDay => day.to_owned(),
            Element::WeekDay => day[..3].to_owned(),
            Element::Day => civil.day.to_string(),
            Element::UnderDay => format!("{:2}", civil.day),
            Element::ZeroDay => format!("{:02}", civil.day),
            Element::UnderYearDay => format!("{:3}", civil.yearday),
            Element::ZeroYearDay => format!("{:03}", civil.yearday),
            Element::Hour => format!("{:02}", civil.hour),
            Element::Hour12 => hour12.to_string(),
            Element::ZeroHour12 => format!("{hour12:02}"),
            Element::Minute => civil.minute.to_string(),
            Element::ZeroMinute => format!("{:02}", civil.minute),
            Element::Second => civil.second.to_string(),
            Element::ZeroSecond => format!("{:02}", civil.second),
            Element::LongYear => format!("{:04}", civil.year),
            Element::Year => format!("{:02}", civil.year.rem_euclid(100)),
            Element::UpperPm => if civil.hour >= 12 { "PM" } else { "AM" }.to_owned(),
            Element::LowerPm => if civil.hour >= 12 { "pm" } else { "am" }.to_owned(),
            Element::ZoneName if !zone.is_empty() => zone.to_owned(),
            Element::ZoneName => print_offset(offset, Form::Minutes),
            Element::Offset(true, _) if offset == 0 => "Z".to_owned(),
            Element::Offset(_, form) => print_offset(offset, form),
            Element::Fraction(digits, trim) => fraction(time.nanosecond(), digits, trim, &text[..1]),
        };
    }
}

fn print_offset(offset: i32, form: Form) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = offset.unsigned_abs();
    let (hours, minutes, seconds) = (offset / 3600, offset / 60 % 60, offset % 60);
    match form {
        Form::Hours => format!("{sign}{hours:02}"),
        Form::Minutes => format!("{sign}{hours:02}{minutes:02}"),
        Form::ColonMinutes => format!("{sign}{hours:02}:{minutes:02}"),
        Form::Seconds => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
        Form::ColonSeconds => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn fraction(nanos: u32, digits: usize, trim: bool, point: &str) -> String {
    let all = format!("{nanos:09}");
    let mut kept = all[..digits.min(9)].to_owned();
    if trim {
        kept.truncate(kept.trim_end_matches('0').len());
        if kept.is_empty() {
            return String::new();
        }
    }
    format!("{point}{kept}")
}
