//! Go durations: the texts in which specs, settings and tokens write spans of time.

use std::time::Duration;

use jiff::SignedDuration;
use thiserror::Error;

/// Why a text is no Go duration; the texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not a number with a unit, or out of range (292 years).
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that Go does not know.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Ten years without their leap days: how long tokens and certificates are good where nobody says otherwise.
pub const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses what Go's `time.ParseDuration` parses: `1h30m`, `-1.5s`, `0`.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let Some((_, nanos)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        };
        // More than 19 digits are out of range in any unit.
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            if whole.len() > 19 { None } else { whole.parse().ok() }.ok_or_else(invalid)?
        };
        total += whole * i128::from(*nanos) + part(fraction, *nanos);
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
        rest = after;
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_or_else(|_| Err(invalid()), |nanos| Ok(SignedDuration::from_nanos(nanos)))
}

/// Prints as Go's `Duration.String`: `720h0m0s`, `1m0s`, `1.5s`, `25ms`, `0s`.
pub fn format(duration: SignedDuration) -> String {
    let nanos = duration.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let second = 1_000_000_000;
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < second {
        let (unit, digits) = match nanos {
            0..1_000 => ("ns", 0),
            1_000..1_000_000 => ("µs", 3),
            _ => ("ms", 6),
        };
        return format!("{sign}{}{unit}", decimal(nanos, digits));
    }
    let (minutes, rest) = (nanos / (60 * second), nanos % (60 * second));
    let seconds = decimal(rest, 9);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The nanoseconds of a decimal fraction of a unit, cut like Go's.
fn part(fraction: &str, nanos: u64) -> i128 {
    let mut value = 0_i128;
    let mut scale = 1_i128;
    for digit in fraction.bytes().take(18) {
        value = value * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    value * i128::from(nanos) / scale
}

/// `value` divided by 10^`digits`, without trailing zeros.
fn decimal(value: u128, digits: usize) -> String {
    let scale = 10_u128.pow(u32::try_from(digits).unwrap_or(0));
    let fraction = value % scale;
    if fraction == 0 {
        return (value / scale).to_string();
    }
    let fraction = format!("{fraction:0digits$}");
    format!("{}.{}", value / scale, fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text).map(format).map_err(|error| error.to_string()), Ok(expected.to_owned()), "{text}");
    }

    fn refused(text: &str, expected: &str) {
        assert_eq!(parse(text).map_err(|error| error.to_string()), Err(expected.to_owned()), "{text}");
    }

    #[test]
    fn durations_are_normalised_like_go() {
        check("1m", "1m0s");
        check("720h", "720h0m0s");
        check("90s", "1m30s");
        check("1h30m", "1h30m0s");
        check("0", "0s");
        check("0s", "0s");
        check("250ms", "250ms");
        check("1.5s", "1.5s");
        check(".5h", "30m0s");
        check("1500us", "1.5ms");
        check("7µs", "7µs");
        check("-1.5h", "-1h30m0s");
        check("+3ns", "3ns");
        check("2562047h47m16.854775807s", "2562047h47m16.854775807s");
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        refused("five", "time: invalid duration \"five\"");
        refused("", "time: invalid duration \"\"");
        refused("-", "time: invalid duration \"-\"");
        refused(".s", "time: invalid duration \".s\"");
        refused("5", "time: missing unit in duration \"5\"");
        refused("1d", "time: unknown unit \"d\" in duration \"1d\"");
        refused("2562048h", "time: invalid duration \"2562048h\"");
        refused(
            "99999999999999999999999999999999999999999s",
            "time: invalid duration \"99999999999999999999999999999999999999999s\"",
        );
    }
}
