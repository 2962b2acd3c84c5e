//! Sizes and durations as people write them: `"64 KiB"`, `"30 s"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

/// A length of time, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

/// Largest first, so that a value is written in the largest unit that divides it.
const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
const DECIMAL_SIZES: &[(&str, u64)] = &[("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
const SPANS: &[(&str, u64)] = &[
    ("days", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Span {
    /// As the standard library's type.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// A number of seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1000)
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [SIZES, DECIMAL_SIZES].concat();
        let bytes = amount(text, &units)
            .ok_or_else(|| format!("{text:?} is not a size: write it like \"64 KiB\""))?;
        usize::try_from(bytes)
            .map(Self)
            .map_err(|_| format!("{text:?} is too large for this machine"))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        amount(text, SPANS).map(Self).ok_or_else(|| {
            format!("{text:?} is not a duration: write it like \"30 s\" (ms, s, min, h, days)")
        })
    }
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_')?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.replace('_', "").parse().ok()?;
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.checked_mul(*factor)
}

fn written(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |factor: u64| amount >= factor && amount.is_multiple_of(factor);
    let unit = units.iter().find(|(_, factor)| fits(*factor));
    let (name, factor) = unit.or(units.last()).expect("a list of units has some");
    format!("{} {name}", amount / factor)
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0 as u64, SIZES))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0, SPANS))
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}
as_text!(Bytes);
as_text!(Span);

/// For `#[serde(with)]`: a text that may be empty, which means none.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, FromStr, Serializer, de, fmt};

    pub(in crate::config) fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_str(""),
        }
    }

    pub(in crate::config) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |error| de::Error::custom(format!("{text:?}: {error}"));
        text.parse().map(Some).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_size(text: &str, expected: Option<usize>) {
        assert_eq!(text.parse::<Bytes>().ok(), expected.map(Bytes), "{text}");
    }

    #[track_caller]
    fn check_span(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Span>().ok(), expected.map(Span), "{text}");
    }

    #[test]
    fn sizes() {
        check_size("64 KiB", Some(65_536));
        check_size("64kib", Some(65_536));
        check_size(" 1_000 B ", Some(1_000));
        check_size("2 MB", Some(2_000_000));
        check_size("64", None);
        check_size("KiB", None);
        check_size("-1 B", None);
        check_size("99999999999999 GiB", None);
    }

    #[test]
    fn spans() {
        check_span("30 s", Some(30_000));
        check_span("500ms", Some(500));
        check_span("30 days", Some(2_592_000_000));
        check_span("0 s", Some(0));
        check_span("30", None);
        check_span("30 parsecs", None);
    }

    #[test]
    fn values_are_written_in_the_largest_unit_that_fits() {
        assert_eq!(Bytes(1 << 20).to_string(), "1 MiB");
        assert_eq!(Bytes(1_500).to_string(), "1500 B");
        assert_eq!(Span(90_000).to_string(), "90 s");
        assert_eq!(Span(0).to_string(), "0 ms");
    }
}
