//! When nodes may start.
//!
//! A window belongs to the day on which it opens: `22:00` for `6h` on `Fri` is open on Saturday at 01:00. How long it is open
//! is elapsed time, whatever the clocks do meanwhile. A start that the clocks skip is the first moment after the gap; one
//! that they show twice is the first of the two.
//!
//! That nodes may start at any time where no windows are asked for is the caller's rule: no windows are never open here.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use jiff::civil::{self, Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::time::Time;

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(168 * 60 * 60);

/// The days, counted from the local one, whose openings can matter: those of the longest window before it, of the next two
/// weeks, and one more at either end, since clocks are changed by a day at most.
const DAYS: RangeInclusive<i64> = -8..=15;

const NAMES: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// A window as an administrator writes it, unchecked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WindowSpec {
    /// The days on which it opens, as `Mon`. None are all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// The local time at which it opens, as `22:00`.
    pub start: String,
    /// How long it is open, from `1m` to `168h`: whole numbers of hours, minutes and seconds, as `6h`, `90m` or `1h30m`.
    pub duration: String,
    /// A name of the IANA time zone database, as `Europe/Berlin`. None is UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A time of day from which nodes may start, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// None are all.
    days: Vec<Weekday>,
    start: civil::Time,
    duration: Duration,
    zone: TimeZone,
}

/// Why a window cannot be used. No message repeats the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// No name of a day.
    #[error("must have only Mon, Tue, Wed, Thu, Fri, Sat and Sun")]
    Day,
    /// No time of day.
    #[error("must be a time of day from 00:00 to 23:59, such as 22:00")]
    Start,
    /// No duration, or one with parts that are not read here.
    #[error(
        "must be whole numbers with the units h, m and s in this order, such as 6h, 90m or 1h30m"
    )]
    Duration,
    /// Zero, negative, or not long enough for a node.
    #[error("must be at least 1m")]
    TooShort,
    /// Longer than a week.
    #[error("must be at most 168h")]
    TooLong,
    /// A time zone that nobody knows.
    #[error("must be a name of the IANA time zone database, such as Europe/Berlin or UTC")]
    TimeZone,
}

impl WindowError {
    /// The field of the [`WindowSpec`], as it is written.
    pub fn field(self) -> &'static str {
        match self {
            Self::Day => "days",
            Self::Start => "start",
            Self::Duration | Self::TooShort | Self::TooLong => "duration",
            Self::TimeZone => "timeZone",
        }
    }
}

impl TryFrom<&WindowSpec> for Window {
    type Error = WindowError;

    fn try_from(spec: &WindowSpec) -> Result<Self, WindowError> {
        Ok(Self {
            days: spec
                .days
                .iter()
                .map(|name| day(name).ok_or(WindowError::Day))
                .collect::<Result<_, _>>()?,
            start: time_of_day(&spec.start).ok_or(WindowError::Start)?,
            duration: duration(&spec.duration)?,
            zone: match &spec.time_zone {
                Some(name) => zone(name).ok_or(WindowError::TimeZone)?,
                None => TimeZone::UTC,
            },
        })
    }
}

impl Window {
    /// When it is open, for every opening near this moment. One that would end after the calendar does is none.
    fn periods(&self, now: Timestamp) -> impl Iterator<Item = Range<Timestamp>> {
        let today = self.zone.to_datetime(now).date();
        DAYS.filter_map(move |days| today.checked_add(Span::new().days(days)).ok())
            .filter(|day| self.days.is_empty() || self.days.contains(&day.weekday()))
            .filter_map(|day| {
                let opening = self.opening(day)?;
                let end = opening.checked_add(self.duration).ok()?;
                Some(opening..end)
            })
    }

    /// When it opens, if it does on this day. There are days that cannot be counted, thousands of years from here.
    fn opening(&self, day: Date) -> Option<Timestamp> {
        let start = day.to_datetime(self.start);
        match self.zone.to_ambiguous_timestamp(start).offset() {
            AmbiguousOffset::Unambiguous { offset }
            | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(start).ok(),
            AmbiguousOffset::Gap { before, after } => {
                // The clocks are changed after `early`, and at `late` at the latest.
                let early = after.to_timestamp(start).ok()?;
                let late = before.to_timestamp(start).ok()?;
                let changes = self.zone.following(early);
                let gap = changes
                    .map(|change| change.timestamp())
                    .take_while(|change| *change <= late)
                    .last();
                gap.or(Some(late))
            }
        }
    }
}

/// If one of the windows is open: until when it, or another that takes over from it, is.
///
/// Openings of the next two weeks are looked at. Windows that are open for longer than that are said to be open until a
/// moment that is at least two weeks away, and may be open then.
pub fn open_until(windows: &[Window], now: Time) -> Option<Time> {
    let now = timestamp(now)?;
    let mut until = now;
    for period in periods(windows, now) {
        if period.start <= until {
            until = until.max(period.end);
        }
    }
    if until > now { time(until) } else { None }
}

/// When one of the windows opens next, after this moment and whether or not one is open now. None is never: there are no
/// windows, or time ends.
pub fn next_opening(windows: &[Window], now: Time) -> Option<Time> {
    let now = timestamp(now)?;
    let mut openings = periods(windows, now).into_iter().map(|period| period.start);
    openings.find(|opening| *opening > now).and_then(time)
}

/// When any of the windows is open, near this moment, by opening.
fn periods(windows: &[Window], now: Timestamp) -> Vec<Range<Timestamp>> {
    let mut periods: Vec<_> = windows
        .iter()
        .flat_map(|window| window.periods(now))
        .collect();
    periods.sort_unstable_by_key(|period| period.start);
    periods
}

fn day(name: &str) -> Option<Weekday> {
    let (_, day) = NAMES.into_iter().find(|(known, _)| *known == name)?;
    Some(day)
}

fn time_of_day(text: &str) -> Option<civil::Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| -> Option<i8> {
        let good = digits.len() == 2 && is_number(digits);
        good.then(|| digits.parse().ok()).flatten()
    };
    civil::Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn duration(text: &str) -> Result<Duration, WindowError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return Err(WindowError::Duration);
    }
    let mut seconds = 0_u64;
    for (unit, length) in [('h', 60 * 60), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            if !is_number(number) {
                return Err(WindowError::Duration);
            }
            // What is too large for a number is too long as well.
            let number = number.parse().unwrap_or(u64::MAX);
            seconds = seconds.saturating_add(number.saturating_mul(length));
            rest = after;
        }
    }
    let duration = Duration::from_secs(seconds);
    if !rest.is_empty() {
        Err(WindowError::Duration)
    } else if negative || duration < SHORTEST {
        Err(WindowError::TooShort)
    } else if duration > LONGEST {
        Err(WindowError::TooLong)
    } else {
        Ok(duration)
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The time zone, in any case of its letters. It is looked up in the program itself, so that every image knows the same ones.
fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    (!zone.is_unknown()).then_some(zone)
}

fn timestamp(time: Time) -> Option<Timestamp> {
    let milliseconds = i64::try_from(time.0).ok()?;
    Timestamp::from_millisecond(milliseconds).ok()
}

fn time(timestamp: Timestamp) -> Option<Time> {
    u64::try_from(timestamp.as_millisecond()).ok().map(Time)
}

#[cfg(test)]
mod tests;
