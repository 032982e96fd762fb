//! Cells that say how long ago something was.

use jiff::Timestamp;
use serde_json::Value;

/// Words the time since then in its largest whole unit; `never` for no time and times to come.
pub(crate) fn since(now: Timestamp, then: Option<Timestamp>) -> String {
    let Some(then) = then else {
        return "never".to_owned();
    };
    let age = now.as_nanosecond() - then.as_nanosecond();
    if age < -1_000_000_000 {
        return "never".to_owned();
    }
    let seconds = age.max(0) / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        // Longer than the largest span of the peer, 292 years.
        _ => format!("{}y", (seconds / 31_536_000).min(292)),
    }
}

/// Reads a time of the API.
pub(crate) fn time(value: Option<&Value>) -> Option<Timestamp> {
    value?.as_str()?.parse().ok()
}

/// Words a time for people, `-` for none.
pub(crate) fn date(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(then: &str, expected: &str) {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(since(now, then.parse().ok()), expected, "{then}");
    }

    #[test]
    fn ages_are_cut_to_whole_units() {
        check("2026-11-23T12:00:02Z", "never");
        check("2026-11-23T12:00:00.5Z", "0s");
        check("2026-11-23T12:00:00Z", "0s");
        check("2026-11-23T11:59:01Z", "59s");
        check("2026-11-23T11:58:59Z", "1m");
        check("2026-11-23T11:01:00Z", "59m");
        check("2026-11-22T12:00:01Z", "23h");
        check("2026-08-15T12:00:00Z", "100d");
        check("2025-10-19T12:00:00Z", "1y");
        check("0001-01-01T00:00:00Z", "292y");
        check("no time", "never");
    }

    #[test]
    fn date_of_nothing_is_a_dash() {
        assert_eq!(date(None), "-");
        assert_eq!(date("2026-11-23T12:00:02.5Z".parse().ok()), "2026-11-23 12:00:02");
    }
}
