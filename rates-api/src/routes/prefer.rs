//! What callers prefer, by the header `Prefer` (RFC 7240). Preferences that are not known here are left out of account.

use std::time::Duration;

use http::HeaderMap;

/// `respond-async` (section 4.1).
pub fn asynchronous(headers: &HeaderMap) -> bool {
    preferences(headers).any(|(name, _)| name.eq_ignore_ascii_case("respond-async"))
}

/// `wait=SECONDS` (section 4.3): for how long the caller likes to wait for an answer.
pub fn wait(headers: &HeaderMap) -> Option<Duration> {
    let (_, seconds) = preferences(headers).find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Names and values, alone or in a list; without their parameters.
fn preferences(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|preference| {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            (name.trim(), value.trim().trim_matches('"'))
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let name = || HeaderName::from_static("prefer");
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        values.map(|value| (name(), value)).collect()
    }

    #[test]
    fn a_preference_may_stand_among_others() {
        let prefers = |values: &[&'static str]| asynchronous(&headers(values));
        assert!(prefers(&["respond-async"]));
        assert!(prefers(&["wait=10, Respond-Async; x=1"]));
        assert!(prefers(&["handling=lenient", "respond-async"]));
        assert!(!prefers(&[]));
        assert!(!prefers(&["respond-async-not", "wait=10"]));
    }

    #[test]
    fn a_wait_is_a_whole_number_of_seconds() {
        let wait = |values: &[&'static str]| wait(&headers(values)).map(|wait| wait.as_secs());
        assert_eq!(wait(&["wait=4"]), Some(4));
        assert_eq!(wait(&["respond-async, Wait = \"10\"; x=1"]), Some(10));
        for values in [&[][..], &["wait"], &["wait=-1"], &["wait=soon"], &["waiting=4"]] {
            assert_eq!(wait(values), None, "{values:?}");
        }
    }
}
