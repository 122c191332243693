//! Durations such as `2h30m`, as `spec.lifetime` has them, and how old something is.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

const UNITS: [(char, u64); 3] = [('h', 3600), ('m', 60), ('s', 1)];

/// Reads `72h`, `2h30m` or `90s`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is no duration: write hours, minutes and seconds in this order, as 72h, 2h30m or 90s"
        )
    };
    let mut rest = text;
    let mut seconds: u64 = 0;
    for (unit, factor) in UNITS {
        let Some((number, after)) = rest.split_once(unit) else {
            continue;
        };
        let number: u64 = Some(number)
            .filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|number| number.parse().ok())
            .ok_or_else(wrong)?;
        seconds = number
            .checked_mul(factor)
            .and_then(|more| seconds.checked_add(more))
            .ok_or_else(wrong)?;
        rest = after;
    }
    // What was left over belongs to no unit.
    if rest.is_empty() && !text.is_empty() {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(wrong())
    }
}

/// A duration as `parse` reads it.
#[must_use]
pub fn print(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, factor) in UNITS {
        let number = rest / factor;
        if number > 0 {
            let _ = write!(text, "{number}{unit}");
        }
        rest %= factor;
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// How long something is, in at most two units, as kubectl has ages: `45s`, `12m`, `3h20m`, `5d`.
#[must_use]
pub fn short(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |number: i64, unit: char, rest: i64, smaller: char| {
        if rest == 0 {
            format!("{number}{unit}")
        } else {
            format!("{number}{unit}{rest}{smaller}")
        }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..7_200 => format!("{minutes}m"),
        7_200..86_400 => two(hours, 'h', minutes % 60, 'm'),
        86_400..864_000 => two(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

/// How long ago a moment is.
#[must_use]
pub fn age(since: Timestamp, now: Timestamp) -> String {
    short(now.duration_since(since).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_as_the_specification_has_them() {
        for (text, seconds) in [("72h", 259_200), ("2h30m", 9_000), ("90s", 90), ("1h1s", 3_601)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(print(Duration::from_mins(150)), "2h30m");
        assert_eq!(print(Duration::from_secs(90)), "1m30s");
        assert_eq!(print(Duration::ZERO), "0s");
        for text in [
            "",
            "h",
            "5",
            "3d",
            "30m2h",
            "-1h",
            "1.5h",
            "2h 3m",
            "99999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_have_at_most_two_units() {
        for (seconds, text) in [
            (-3, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (660, "11m"),
            (7_260, "2h1m"),
            (90_000, "1d1h"),
            (8_640_000, "100d"),
        ] {
            assert_eq!(short(seconds), text);
        }
    }
}
