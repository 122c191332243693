//! `spec.lifetime`: when an environment sleeps and how long it lives; and what the status says of its sleep.

use std::time::Duration;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How long the environment lives, and after which time without work it sleeps.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.ttl) || (duration(self.ttl) >= duration('1m') && duration(self.ttl) <= duration('8760h'))")
        .message("lifetime.ttl must be from 1m to 8760h, such as 72h"),
    validation = Rule::new("!has(self.sleepAfter) || (duration(self.sleepAfter) >= duration('1m') && duration(self.sleepAfter) <= duration('8760h'))")
        .message("lifetime.sleepAfter must be from 1m to 8760h, such as 2h")
)]
pub struct Lifetime {
    /// How long after its creation the environment is deleted, from 1m to 8760h, in hours, minutes and
    /// seconds. A later value counts from the creation too; without the field nothing is deleted.
    /// status.expiresAt shows the time. Default: none. Example: 72h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 24),
        regex(pattern = r"^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$")
    )]
    pub ttl: Option<String>,

    /// After which time without work the environment sleeps, from 1m to 8760h, in hours, minutes and
    /// seconds: no pods run, the data are kept, and a request wakes it. A request, a batch and somebody's
    /// session in the database are work; probes and the collection of metrics are not. Not with the
    /// profile Production. Default: none, it never sleeps by itself. Example: 2h30m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 24),
        regex(pattern = r"^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$")
    )]
    pub sleep_after: Option<String>,
}

impl Lifetime {
    /// How long after its creation an environment is deleted.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl.as_deref().and_then(parse)
    }

    /// After which time without work an environment sleeps.
    #[must_use]
    pub fn sleep_after(&self) -> Option<Duration> {
        self.sleep_after.as_deref().and_then(parse)
    }
}

/// A duration as the definition takes it: hours, minutes and seconds, in this order, each at most once.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    for (unit, in_seconds) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            if !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let number: u64 = number.parse().ok()?;
            seconds = seconds.checked_add(number.checked_mul(in_seconds)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// The sleep of an environment.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SleepStatus {
    /// When it began, RFC 3339 with microseconds; status.wakeRequest names the sleep by it.
    pub since: String,

    /// The port at which the activator takes the requests to this environment; absent where the
    /// operator has no ports for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,

    /// While it wakes: the API's ready pods, each as IP:PORT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_minutes_and_seconds_add_up() {
        for (text, seconds) in [
            ("72h", 259_200),
            ("2h30m", 9_000),
            ("90s", 90),
            ("1h0m1s", 3_601),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "", "h", "5", "1d", "30m2h", "1h1h", "-1h", "+1h", "1.5h", " 1h", "1h ",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
