//! Durations as settings give them: a number of seconds.

use std::time::Duration;

/// A duration in seconds; fractions are accepted.
///
/// # Errors
/// A sentence that says what would be accepted.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0 to 86400, such as 15 or 0.5".to_owned())
}

/// As [`seconds`], but not nothing: where 0 would end everything at once.
///
/// # Errors
/// A sentence that says what would be accepted.
pub fn some_seconds(text: &str) -> Result<Duration, String> {
    seconds(text)
        .ok()
        .filter(|duration| *duration >= Duration::from_millis(1))
        .ok_or_else(|| "expected a number of seconds above 0, up to 86400, such as 15 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_fractions_and_nothing_else_is_a_duration() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("15"), Ok(Duration::from_secs(15)));
        for text in ["", "-1", "NaN", "inf", "1e9", "15s"] {
            assert!(seconds(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn where_something_has_to_take_some_time_nothing_is_refused() {
        assert_eq!(some_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "0.0001", "1e9", "x"] {
            assert!(some_seconds(text).is_err(), "{text} was accepted");
        }
    }
}
