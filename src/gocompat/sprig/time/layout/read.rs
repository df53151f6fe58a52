//! `time.ParseInLocation`, in UTC.

use super::{Element, Form, next_element};
use crate::gocompat::sprig::time::{DAYS, MONTHS, Time, days_from_civil};
use crate::gocompat::template::strconv::quote_text;

/// What one element may fail with.
enum Bad {
    /// Not what the element wants.
    Form,
    /// A number that is too large, by name.
    Range(&'static str),
}

type Parsed<T> = Result<T, Bad>;

#[derive(Default)]
struct Reader<'t> {
    value: &'t [u8],
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    yearday: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    am: bool,
    pm: bool,
    utc: bool,
    offset: Option<i64>,
    zone: String,
}

fn text(bytes: &[u8]) -> String {
    quote_text(&String::from_utf8_lossy(bytes))
}

/// A time, or Go's text of why there is none.
pub(in crate::gocompat::sprig) fn parse(layout: &str, value: &str) -> Result<Time, String> {
    let mut reader = Reader { value: value.as_bytes(), ..Reader::default() };
    let cannot = |at: &[u8], element: &str| {
        let (value, layout) = (quote_text(value), quote_text(layout));
        format!("parsing time {value} as {layout}: cannot parse {} as {}", text(at), quote_text(element))
    };
    let message = |what: &str| format!("parsing time {}: {what}", quote_text(value));
    let mut rest = layout;
    loop {
        let (before, element, after) = next_element(rest);
        if reader.skip(before.as_bytes()).is_none() {
            return Err(cannot(reader.value, before));
        }
        let Some((element, name)) = element else {
            if !reader.value.is_empty() {
                return Err(message(&format!("extra text: {}", text(reader.value))));
            }
            break;
        };
        let hold = reader.value;
        match reader.element(element, name, after) {
            Ok(()) => {}
            Err(Bad::Range(what)) => return Err(message(&format!("{what} out of range"))),
            Err(Bad::Form) => return Err(cannot(hold, name)),
        }
        rest = after;
    }
    reader.finish().map_err(message)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Reader<'_> {
    /// Text of the layout; any blanks match any others.
    fn skip(&mut self, prefix: &[u8]) -> Option<()> {
        let mut prefix = prefix;
        while let [first, after @ ..] = prefix {
            if *first == b' ' {
                if self.value.first().is_some_and(|b| *b != b' ') {
                    return None;
                }
                prefix = trim_blanks(prefix);
                self.value = trim_blanks(self.value);
            } else {
                self.value = self.value.strip_prefix(std::slice::from_ref(first))?;
                prefix = after;
            }
        }
        Some(())
    }

    fn take(&mut self, length: usize) -> Parsed<Vec<u8>> {
        let (taken, rest) = self.value.split_at_checked(length).ok_or(Bad::Form)?;
        self.value = rest;
        Ok(taken.to_vec())
    }

    fn digits(&mut self, least: usize, most: usize) -> Parsed<i64> {
        let count = self.value.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if count < least {
            return Err(Bad::Form);
        }
        number(&self.take(count)?)
    }

    fn two(&mut self, fixed: bool) -> Parsed<i64> {
        self.digits(if fixed { 2 } else { 1 }, 2)
    }

    fn below(&mut self, fixed: bool, limit: i64, name: &'static str) -> Parsed<i64> {
        let number = self.two(fixed)?;
        if number < limit { Ok(number) } else { Err(Bad::Range(name)) }
    }

    fn name(&mut self, names: &[&str], length: usize) -> Parsed<i64> {
        for (i, name) in (0..).zip(names) {
            let name = &name.as_bytes()[..name.len().min(length)];
            if self.value.len() >= name.len() && self.value[..name.len()].eq_ignore_ascii_case(name) {
                self.value = &self.value[name.len()..];
                return Ok(i);
            }
        }
        Err(Bad::Form)
    }

    fn element(&mut self, element: Element, _name: &str, after: &str) -> Parsed<()> {
        match element {
            Element::Year => {
                let year = number(&self.take(2)?)?;
                self.year = year + if year >= 69 { 1900 } else { 2000 };
            }
            Element::LongYear => {
                if !self.value.first().is_some_and(u8::is_ascii_digit) {
                    return Err(Bad::Form);
                }
                self.year = number(&self.take(4)?)?;
            }
            Element::Month => self.month = Some(self.name(&MONTHS, 3)? + 1),
            Element::LongMonth => self.month = Some(self.name(&MONTHS, 99)? + 1),
            Element::NumMonth | Element::ZeroMonth => {
                let month = self.two(element == Element::ZeroMonth)?;
                if !(1..=12).contains(&month) {
                    return Err(Bad::Range("month"));
                }
                self.month = Some(month);
            }
            Element::WeekDay => drop(self.name(&DAYS, 3)?),
            Element::LongWeekDay => drop(self.name(&DAYS, 99)?),
            Element::Day | Element::UnderDay | Element::ZeroDay => {
                if element == Element::UnderDay {
                    self.value = self.value.strip_prefix(b" ").unwrap_or(self.value);
                }
                self.day = Some(self.two(element == Element::ZeroDay)?);
            }
            Element::UnderYearDay | Element::ZeroYearDay => {
                let fixed = element == Element::ZeroYearDay;
                for _ in 0..2 {
                    if !fixed {
                        self.value = self.value.strip_prefix(b" ").unwrap_or(self.value);
                    }
                }
                self.yearday = Some(self.digits(if fixed { 3 } else { 1 }, 3)?);
            }
            Element::Hour => self.hour = self.below(false, 24, "hour")?,
            Element::Hour12 => self.hour = self.below(false, 13, "hour")?,
            Element::ZeroHour12 => self.hour = self.below(true, 13, "hour")?,
            Element::Minute => self.minute = self.below(false, 60, "minute")?,
            Element::ZeroMinute => self.minute = self.below(true, 60, "minute")?,
            Element::Second | Element::ZeroSecond => {
                self.second = self.below(element == Element::ZeroSecond, 60, "second")?;
                // A fraction is read even if the layout has none.
                let follows = matches!(next_element(after).1, Some((Element::Fraction(..), _)));
                if let [b'.' | b',', b'0'..=b'9', ..] = self.value
                    && !follows
                {
                    self.fraction()?;
                }
            }
            Element::UpperPm | Element::LowerPm => {
                let upper = element == Element::UpperPm;
                match (self.take(2)?.as_slice(), upper) {
                    (b"PM", true) | (b"pm", false) => self.pm = true,
                    (b"AM", true) | (b"am", false) => self.am = true,
                    _ => return Err(Bad::Form),
                }
            }
            Element::Offset(true, _) if self.value.starts_with(b"Z") => {
                self.value = &self.value[1..];
                self.utc = true;
            }
            Element::Offset(_, form) => self.offset(form)?,
            Element::ZoneName => match self.value.strip_prefix(b"UTC") {
                Some(rest) => (self.value, self.utc) = (rest, true),
                None => {
                    let length = zone_name(self.value).ok_or(Bad::Form)?;
                    self.zone = String::from_utf8_lossy(&self.take(length)?).into_owned();
                }
            },
            Element::Fraction(digits, false) => {
                let taken = self.take(1 + digits)?;
                self.nanos = nanoseconds(&taken)?;
            }
            Element::Fraction(_, true) => {
                if let [b'.' | b',', b'0'..=b'9', ..] = self.value {
                    self.fraction()?;
                }
            }
        }
        Ok(())
    }

    fn fraction(&mut self) -> Parsed<()> {
        let digits = self.value[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let taken = self.take(1 + digits)?;
        self.nanos = nanoseconds(&taken)?;
        Ok(())
    }

    fn offset(&mut self, form: Form) -> Parsed<()> {
        let (length, colons, minutes, seconds): (usize, &[usize], _, _) = match form {
            Form::Hours => (3, &[], None, None),
            Form::Minutes => (5, &[], Some(3), None),
            Form::ColonMinutes => (6, &[3], Some(4), None),
            Form::Seconds => (7, &[], Some(3), Some(5)),
            Form::ColonSeconds => (9, &[3, 6], Some(4), Some(7)),
        };
        let taken = self.take(length)?;
        if colons.iter().any(|at| taken[*at] != b':') {
            return Err(Bad::Form);
        }
        let part = |at: Option<usize>, name| -> Parsed<i64> {
            let part = at.map_or(Ok(0), |at| {
                let digits = &taken[at..at + 2];
                if digits.iter().all(u8::is_ascii_digit) { number(digits) } else { Err(Bad::Form) }
            })?;
            if part > if name == "time zone offset hour" { 24 } else { 60 } { Err(Bad::Range(name)) } else { Ok(part) }
        };
        let hours = part(Some(1), "time zone offset hour")?;
        let minutes = part(minutes, "time zone offset minute")?;
        let seconds = part(seconds, "time zone offset second")?;
        let offset = (hours * 60 + minutes) * 60 + seconds;
        self.offset = Some(match taken[0] {
            b'+' => offset,
            b'-' => -offset,
            _ => return Err(Bad::Form),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Time, &'static str> {
        if self.pm && self.hour < 12 {
            self.hour += 12;
        } else if self.am && self.hour == 12 {
            self.hour = 0;
        }
        let (month, day) = match self.yearday {
            None => (self.month.unwrap_or(1), self.day.unwrap_or(1)),
            Some(yearday) => {
                if yearday < 1 || yearday > 365 + i64::from(is_leap(self.year)) {
                    return Err("day-of-year out of range");
                }
                let (mut month, mut day) = (1, yearday);
                while day > days_in(month, self.year) {
                    day -= days_in(month, self.year);
                    month += 1;
                }
                if self.month.is_some_and(|named| named != month) {
                    return Err("day-of-year does not match month");
                }
                if self.day.is_some_and(|named| named != day) {
                    return Err("day-of-year does not match day");
                }
                (month, day)
            }
        };
        if day < 1 || day > days_in(month, self.year) {
            return Err("day out of range");
        }
        let days = days_from_civil(self.year, month, day);
        let unix = days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second;
        // -1 second is how Go says that no offset was read.
        let read = self.offset.filter(|offset| *offset != -1);
        let (offset, zone) = match read {
            _ if self.utc => (0, "UTC"),
            Some(0) if self.zone.is_empty() => (0, "UTC"),
            Some(offset) => (offset, self.zone.as_str()),
            None if self.zone.is_empty() => (0, "UTC"),
            None => {
                // A zone by name alone is not moved, only labelled.
                let offset = self.zone.strip_prefix("GMT").and_then(|hours| hours.parse::<i64>().ok()).unwrap_or(0);
                (offset * 3600, self.zone.as_str())
            }
        };
        Ok(Time::new(unix - offset, self.nanos, i32::try_from(offset).unwrap_or(0), zone))
    }
}

fn trim_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|b| **b == b' ').count()..]
}

fn number(digits: &[u8]) -> Parsed<i64> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Bad::Form)
}

/// A point and digits.
fn nanoseconds(text: &[u8]) -> Parsed<u32> {
    let [b'.' | b',', digits @ ..] = text else { return Err(Bad::Form) };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Form);
    }
    let mut nanos = 0;
    for i in 0..9 {
        nanos = nanos * 10 + digits.get(i).map_or(0, |digit| u32::from(digit - b'0'));
    }
    Ok(nanos)
}

/// How long the abbreviation of a zone is.
fn zone_name(value: &[u8]) -> Option<usize> {
    let signed = |value: &[u8]| {
        let [b'+' | b'-', digits @ ..] = value else { return 0 };
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if count > 0 && number(&digits[..count]).is_ok_and(|hours| hours <= 23) { 1 + count } else { 0 }
    };
    if value.len() < 3 {
        return None;
    }
    if value.starts_with(b"ChST") || value.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = value.strip_prefix(b"GMT") {
        return Some(3 + signed(rest));
    }
    if let [b'+' | b'-', ..] = value {
        return Some(signed(value)).filter(|length| *length > 0);
    }
    match value.iter().take(6).take_while(|b| b.is_ascii_uppercase()).count() {
        5 if value[4] == b'T' => Some(5),
        4 if value[3] == b'T' || value.starts_with(b"WITA") => Some(4),
        3 => Some(3),
        _ => None,
    }
}
