//! Moments as people write them. SQLite reads them; here they are texts of the form
//! `2026-01-31 23:59:59 031`, the day of the year at the end.

use std::fmt::Write as _;

use rusqlite::Result;
use rusqlite::functions::Context;
use rusqlite::types::Value;

use super::{argument, integer};

const MONTHS: [&str; 12] = [
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
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// Longest format, in bytes: each mark becomes at most nine.
const FORMAT_BYTES: usize = 1 << 10;

/// A moment in the proleptic Gregorian calendar, in the order in which moments follow each other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    year: i64,
    month: usize,
    day: usize,
    hour: usize,
    minute: usize,
    second: usize,
    day_of_year: usize,
}

impl Moment {
    /// What SQLite's `%Y-%m-%d %H:%M:%S %j` wrote.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(['-', ' ', ':']);
        let year = numbers.next()?.parse().ok()?;
        let mut next = |most: usize| numbers.next()?.parse().ok().filter(|n| *n <= most);
        Some(Self {
            year,
            month: next(12).filter(|month| *month > 0)?,
            day: next(31)?,
            hour: next(23)?,
            minute: next(59)?,
            second: next(59)?,
            day_of_year: next(366)?,
        })
    }

    /// 0 = Sunday (Sakamoto's method).
    fn weekday(&self) -> usize {
        const SHIFTS: [i64; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - i64::from(self.month < 3);
        let day = i64::try_from(self.day).unwrap_or(0);
        let days = year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let weekday = (days + SHIFTS[self.month - 1] + day).rem_euclid(7);
        usize::try_from(weekday).unwrap_or(0)
    }

    /// The hour on a clock with twelve.
    const fn hour12(&self) -> usize {
        match self.hour % 12 {
            0 => 12,
            hour => hour,
        }
    }

    /// The mark of `DATE_FORMAT`; false = it has no such mark.
    fn mark(&self, mark: char, text: &mut String) -> bool {
        let month = MONTHS[self.month - 1];
        let weekday = DAYS[self.weekday()];
        let written = match mark {
            'Y' => write!(text, "{:04}", self.year),
            'y' => write!(text, "{:02}", self.year.rem_euclid(100)),
            'm' => write!(text, "{:02}", self.month),
            'c' => write!(text, "{}", self.month),
            'M' => write!(text, "{month}"),
            'b' => write!(text, "{}", &month[..3]),
            'd' => write!(text, "{:02}", self.day),
            'e' => write!(text, "{}", self.day),
            'D' => write!(text, "{}{}", self.day, ordinal(self.day)),
            'W' => write!(text, "{weekday}"),
            'a' => write!(text, "{}", &weekday[..3]),
            'w' => write!(text, "{}", self.weekday()),
            'H' => write!(text, "{:02}", self.hour),
            'k' => write!(text, "{}", self.hour),
            'h' | 'I' => write!(text, "{:02}", self.hour12()),
            'l' => write!(text, "{}", self.hour12()),
            'i' => write!(text, "{:02}", self.minute),
            's' | 'S' => write!(text, "{:02}", self.second),
            'j' => write!(text, "{:03}", self.day_of_year),
            'f' => write!(text, "000000"),
            'p' => write!(text, "{}", self.half()),
            'T' => write!(
                text,
                "{:02}:{:02}:{:02}",
                self.hour, self.minute, self.second
            ),
            'r' => write!(
                text,
                "{:02}:{:02}:{:02} {}",
                self.hour12(),
                self.minute,
                self.second,
                self.half()
            ),
            _ => return false,
        };
        written.is_ok()
    }

    const fn half(&self) -> &'static str {
        if self.hour < 12 { "AM" } else { "PM" }
    }
}

/// What is written behind a day: 1st.
fn ordinal(day: usize) -> &'static str {
    const ENDINGS: &str = "thstndrd";
    let at = match (day / 10, day % 10) {
        (1, _) => 0,
        (_, last @ 1..=3) => 2 * last,
        _ => 0,
    };
    &ENDINGS[at..at + 2]
}

/// `my_date_format(moment, format)`.
pub(super) fn date_format(context: &Context<'_>) -> Result<Value> {
    let (Some(moment), Some(format)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let Some(moment) = Moment::read(&moment).filter(|_| format.len() <= FORMAT_BYTES) else {
        return Ok(Value::Null);
    };
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('%', Some(mark)) => {
                chars.next();
                if !moment.mark(mark, &mut text) {
                    // As in MySQL: what is no mark stands for itself.
                    text.push(mark);
                }
            }
            _ => text.push(c),
        }
    }
    Ok(Value::Text(text))
}

/// `my_months(from, to)`: whole months between two moments.
pub(super) fn months(context: &Context<'_>) -> Result<Value> {
    let (Some(from), Some(to)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let (Some(from), Some(to)) = (Moment::read(&from), Moment::read(&to)) else {
        return Ok(Value::Null);
    };
    let back = to < from;
    let (early, late) = if back { (&to, &from) } else { (&from, &to) };
    let count = |moment: &Moment| moment.year * 12 + i64::try_from(moment.month).unwrap_or(0);
    let within = |moment: &Moment| (moment.day, moment.hour, moment.minute, moment.second);
    let months = count(late) - count(early) - i64::from(within(late) < within(early));
    Ok(Value::Integer(if back { -months } else { months }))
}

/// `SEC_TO_TIME(seconds)`: within ±838:59:59, as in MySQL.
pub(super) fn sec_to_time(context: &Context<'_>) -> Result<Value> {
    const MOST: i64 = 838 * 3600 + 59 * 60 + 59;
    Ok(integer(context, 0).map_or(Value::Null, |seconds| {
        let seconds = seconds.clamp(-MOST, MOST);
        let sign = if seconds < 0 { "-" } else { "" };
        let seconds = seconds.abs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        Value::Text(format!("{sign}{hours:02}:{minutes:02}:{:02}", seconds % 60))
    }))
}
