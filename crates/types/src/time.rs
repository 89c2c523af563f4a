//! [`Timestamp`]: a moment in UTC, to the millisecond.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, civil};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC with millisecond precision; on the wire RFC 3339 with `Z`, as in `2026-05-15T14:00:00.000Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is not a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// It is not written as RFC 3339 has it, or names a day or an hour that does not exist.
    #[error("not an RFC 3339 time with an offset, as in 2026-05-15T14:00:00Z")]
    Malformed,
    /// It is before the year 0000 in UTC.
    #[error("before the year 0000 in UTC, the first that RFC 3339 can write")]
    TooEarly,
    /// It is after the year 9999 in UTC.
    #[error("after the year 9999 in UTC, the last that RFC 3339 can write")]
    TooLate,
}

/// The years that RFC 3339 can write: 0000 to 9999.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// 1970-01-01T00:00:00 in UTC.
const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The moment so many milliseconds after 1970-01-01T00:00:00Z; clamped to the years 0000 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(*RANGE_MS.start(), *RANGE_MS.end()))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The whole seconds since 1970-01-01T00:00:00Z.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is, in milliseconds; negative when it is before.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_millis(
            self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::from_millis(
            self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let millis = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Self::from_millis(millis)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        Self::from_millis(time.as_millisecond())
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(time: Timestamp) -> Self {
        Self::from_millisecond(time.0).unwrap_or(Self::MAX)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339; an offset is required, a finer precision than milliseconds is cut, and a leap second is the second before it.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        if has_long_year(text) {
            return Err(InvalidTimestamp::TooLate);
        }
        let (local, offset_minutes) = split(text).ok_or(InvalidTimestamp::Malformed)?;
        let local: civil::DateTime = local.parse().map_err(|_| InvalidTimestamp::Malformed)?;
        let millis = local.duration_since(EPOCH).as_nanos().div_euclid(1_000_000);
        let utc = i64::try_from(millis).map_err(|_| InvalidTimestamp::Malformed)?;
        let utc = utc - offset_minutes * 60_000;
        match utc {
            _ if utc < *RANGE_MS.start() => Err(InvalidTimestamp::TooEarly),
            _ if utc > *RANGE_MS.end() => Err(InvalidTimestamp::TooLate),
            _ => Ok(Self(utc)),
        }
    }
}

/// The local date and time of a text in RFC 3339's form, and its offset from UTC in minutes.
fn split(text: &str) -> Option<(&str, i64)> {
    let bytes = text.as_bytes();
    let (local, offset) = match bytes.last()? {
        b'Z' | b'z' => (bytes.len() - 1, 0),
        _ => {
            let local = bytes.len().checked_sub(6)?;
            let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = &bytes[local..] else { return None };
            let number = |tens: &u8, ones: &u8| {
                let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
                digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            };
            let hours = number(h1, h2).filter(|hours| *hours < 24)?;
            let minutes = number(m1, m2).filter(|minutes| *minutes < 60)?;
            let ahead = hours * 60 + minutes;
            (local, if *sign == b'-' { -ahead } else { ahead })
        }
    };
    // jiff also reads forms that RFC 3339 does not have: `20260515T14`, an offset before ours.
    let form = b"dddd-dd-ddTdd:dd:dd";
    let in_form = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        _ => byte == form,
    };
    let fraction = bytes.get(form.len()..local)?;
    let plain = bytes.iter().zip(form).all(in_form)
        && fraction.iter().all(|byte| matches!(byte, b'.' | b',' | b'0'..=b'9'));
    plain.then(|| (&text[..local], offset))
}

/// Whether a text begins with a year of more than four digits, as ISO 8601 and JavaScript write those after 9999.
fn has_long_year(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let is_date = matches!(text.as_bytes()[digits..], [b'-', m1, m2, b'-', d1, d2, ..]
        if [m1, m2, d1, d2].iter().all(u8::is_ascii_digit));
    is_date && text[..digits].trim_start_matches('0').len() > 4
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = EPOCH.saturating_add(SignedDuration::from_millis(self.0));
        write!(f, "{utc:.3}Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Timestamp {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::DateTime,
            )))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Timestamp {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_utc_with_milliseconds() {
        let cases = [
            ("2026-05-15T14:00:00Z", "2026-05-15T14:00:00.000Z"),
            ("2026-05-15T16:00:00+02:00", "2026-05-15T14:00:00.000Z"),
            ("2026-05-15 14:00:00.123456Z", "2026-05-15T14:00:00.123Z"),
            ("2026-05-15t14:00:00.1-00:30", "2026-05-15T14:30:00.100Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:60.999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59+23:59", "9999-12-31T00:00:59.000Z"),
        ];
        for (text, printed) in cases {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_rfc_3339_does_not_have() {
        for text in [
            "",
            "now",
            "2026-05-15",
            "2026-05-15T14:00:00",
            "2026-05-15T14:00Z",
            "20260515T140000Z",
            "2026-13-15T14:00:00Z",
            "2026-05-15T14:00:00[Europe/Berlin]",
            "1778853600",
            "1778853600000-",
            "2026-02-29T14:00:00Z",
            "2026-05-15T24:00:00Z",
            "2026-05-15T14:00:61Z",
            "2026-05-15T14:00:00+24:00",
            "2026-05-15T14:00:00+02:60",
            "2026-05-15T14:00:00+0200",
            "2026-05-15T14:00:00+01:00+02:00",
            "-000001-01-01T00:00:00Z",
            "2026-05-15T14:00:00é+02:00",
            "é",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp::Malformed), "{text}");
        }
    }

    #[test]
    fn a_time_out_of_range_is_reported_as_such() {
        for text in [
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:59-23:59",
            "10000-01-01T00:00:00Z",
            "+010000-01-01T00:00:00.000Z",
            "275760-09-13T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp::TooLate), "{text}");
        }
        let early = "0000-01-01T00:00:00+00:01";
        assert_eq!(early.parse::<Timestamp>(), Err(InvalidTimestamp::TooEarly));
    }

    #[test]
    fn every_millisecond_from_the_year_0000_to_9999_prints_and_reads_the_same() {
        for millis in [i64::MIN, -62_167_219_199_999, -1, 0, 1, 253_402_207_201_000, i64::MAX] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string().parse(), Ok(time), "{millis}");
        }
    }
}
