//! `time.Time` as templates see it: printed, asked for its parts, formatted.

pub mod layout;

use std::any::Any;
use std::sync::Arc;

use crate::gocompat::template::{IntKind, Kind, Method, Object, Type, Value};

/// Nanoseconds of a second.
const NANOS: i128 = 1_000_000_000;

/// A moment in a zone. The default is Go's zero time.
#[derive(Clone)]
pub(super) struct Time {
    /// Seconds since 1970, UTC.
    unix: i64,
    nanos: u32,
    /// Seconds east of UTC.
    offset: i32,
    /// The zone's abbreviation; may be empty.
    zone: String,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A date and a time of day.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) weekday: i64,
    pub(super) yearday: i64,
}

/// Days since 1970 of a date in the Gregorian calendar.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl Default for Time {
    fn default() -> Self {
        Time { unix: days_from_civil(1, 1, 1) * 86_400, nanos: 0, offset: 0, zone: "UTC".to_owned() }
    }
}

impl Time {
    pub(super) fn new(unix: i64, nanos: u32, offset: i32, zone: &str) -> Time {
        Time { unix, nanos, offset, zone: zone.to_owned() }
    }

    pub(super) fn unix(&self) -> i64 {
        self.unix
    }

    pub(super) fn nanosecond(&self) -> u32 {
        self.nanos
    }

    pub(super) fn zone(&self) -> (&str, i32) {
        (&self.zone, self.offset)
    }

    pub(super) fn civil(&self) -> Civil {
        let local = self.unix.wrapping_add(i64::from(self.offset));
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Civil {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            weekday: (days + 4).rem_euclid(7),
            yearday: days - days_from_civil(year, 1, 1) + 1,
        }
    }

    /// The moment in the zone of this name, in UTC if there is no such zone. The zone of the operator's container is
    /// UTC.
    pub(super) fn in_zone(self, name: &str) -> Time {
        use chrono::{DateTime, Offset as _, TimeZone as _};
        use chrono_tz::OffsetName as _;
        let zone = match name {
            "" | "Local" | "UTC" => None,
            name => name.parse::<chrono_tz::Tz>().ok(),
        };
        // Years that chrono does not know have the offset of the last one that it knows.
        let end = if self.unix < 0 { DateTime::<chrono::Utc>::MIN_UTC } else { DateTime::<chrono::Utc>::MAX_UTC };
        let moment = DateTime::from_timestamp(self.unix, 0).unwrap_or(end).naive_utc();
        let (offset, zone) = match zone.map(|zone| zone.offset_from_utc_datetime(&moment)) {
            Some(zone) => {
                let offset = zone.fix().local_minus_utc();
                (offset, zone.abbreviation().map_or_else(|| numeric_name(offset), str::to_owned))
            }
            None => (0, "UTC".to_owned()),
        };
        Time { offset, zone, ..self }
    }

    /// The moment so many nanoseconds later, in its zone.
    pub(super) fn plus(self, nanos: i64) -> Time {
        let sum = i128::from(self.unix) * NANOS + i128::from(self.nanos) + i128::from(nanos);
        let unix = i64::try_from(sum.div_euclid(NANOS)).unwrap_or(self.unix);
        Time { unix, nanos: u32::try_from(sum.rem_euclid(NANOS)).unwrap_or(0), ..self }
    }

    /// As `MarshalJSON` writes it.
    pub(super) fn rfc3339(&self) -> String {
        layout::format(self, "2006-01-02T15:04:05.999999999Z07:00")
    }

    fn text(&self) -> String {
        layout::format(self, "2006-01-02 15:04:05.999999999 -0700 MST")
    }
}

/// The name of a zone that has none but its offset: `-03`, `+0545`.
fn numeric_name(offset: i32) -> String {
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}{rest:02}", minutes / 60),
    }
}

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn kind(&self) -> Kind {
        Kind::Struct
    }

    fn string(&self) -> Option<Vec<u8>> {
        Some(self.text().into_bytes())
    }

    fn marshal_text(&self) -> Option<Vec<u8>> {
        Some(self.rfc3339().into_bytes())
    }

    /// What two equal times have in common; Go's own fields are not printed, for the type has a `String` method.
    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        vec![
            ("wall", false, Value::int64(i64::from(self.nanos))),
            ("ext", false, Value::int64(self.unix)),
            ("loc", false, Value::str(self.zone.as_str())),
        ]
    }

    fn method(&self, name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A `time.Month` or `time.Weekday`: a number with a name.
struct Named(&'static str, i64, &'static str);

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.0
    }

    fn kind(&self) -> Kind {
        Kind::Int
    }

    fn string(&self) -> Option<Vec<u8>> {
        Some(self.2.as_bytes().to_vec())
    }

    fn fields(&self) -> Vec<(&'static str, bool, Value)> {
        vec![("", false, Value::int(self.1))]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn named(name: &'static str, number: i64, names: &[&'static str], first: i64) -> Value {
    let text = usize::try_from(number - first).ok().and_then(|i| names.get(i)).copied().unwrap_or("");
    Value::Object(Arc::new(Named(name, number, text)))
}

fn this(object: &dyn Object) -> Time {
    object.as_any().downcast_ref::<Time>().cloned().unwrap_or_default()
}

fn other(args: &[Value]) -> Time {
    match args.first() {
        Some(Value::Object(object)) => this(&**object),
        _ => Time::default(),
    }
}

pub(super) const TIME: Type = Type::Named("time.Time", Kind::Struct);

macro_rules! method {
    ($name:literal, |$t:ident| $result:expr) => {
        Method {
            name: $name,
            params: &[],
            variadic: None,
            call: |_, object, _| {
                let $t = this(object);
                Ok($result)
            },
        }
    };
    ($name:literal, |$t:ident, $o:ident| $result:expr) => {
        Method {
            name: $name,
            params: &[TIME],
            variadic: None,
            call: |_, object, args| {
                let ($t, $o) = (this(object), other(args));
                Ok($result)
            },
        }
    };
}

static METHODS: &[Method] = &[
    method!("After", |t, o| ((t.unix, t.nanos) > (o.unix, o.nanos)).into()),
    method!("Before", |t, o| ((t.unix, t.nanos) < (o.unix, o.nanos)).into()),
    method!("Day", |t| Value::int(t.civil().day)),
    method!("Equal", |t, o| ((t.unix, t.nanos) == (o.unix, o.nanos)).into()),
    Method {
        name: "Format",
        params: &[Type::String],
        variadic: None,
        call: |ctx, object, args| {
            let text = super::args::lossy(super::args::bytes(args, 0)).into_owned();
            ctx.reserve(text.len().saturating_mul(8))?;
            Ok(Value::str(layout::format(&this(object), &text)))
        },
    },
    method!("Hour", |t| Value::int(t.civil().hour)),
    method!("IsZero", |t| (t.unix == Time::default().unix && t.nanos == 0).into()),
    method!("Minute", |t| Value::int(t.civil().minute)),
    method!("Month", |t| named("time.Month", t.civil().month, &MONTHS, 1)),
    method!("Nanosecond", |t| Value::int(i64::from(t.nanos))),
    method!("Second", |t| Value::int(t.civil().second)),
    method!("String", |t| Value::str(t.text())),
    method!("UTC", |t| Value::Object(Arc::new(Time { offset: 0, zone: "UTC".to_owned(), ..t }))),
    method!("Unix", |t| Value::Int(t.unix, IntKind::Int64)),
    method!("UnixMilli", |t| Value::int64(t.unix.wrapping_mul(1000).wrapping_add(i64::from(t.nanos / 1_000_000)))),
    method!("UnixNano", |t| Value::int64(t.unix.wrapping_mul(1_000_000_000).wrapping_add(i64::from(t.nanos)))),
    method!("Weekday", |t| named("time.Weekday", t.civil().weekday, &DAYS, 0)),
    method!("Year", |t| Value::int(t.civil().year)),
    method!("YearDay", |t| Value::int(t.civil().yearday)),
];
