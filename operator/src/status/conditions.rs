//! Conditions after the conventions of the Kubernetes API (`metav1.Condition`).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::pods::failure::PodFailure;
use crate::reason::Reason;

/// What is to be said of one aspect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    pub holds: bool,
    pub reason: Reason,
    pub message: String,
}

impl Said {
    pub fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            holds: true,
            reason,
            message: message.into(),
        }
    }

    /// Whether it tells of a pod that fails.
    pub fn is_pod_failure(&self) -> bool {
        !self.holds && self.reason.is_pod_failure()
    }

    pub fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            holds: false,
            reason,
            message: message.into(),
        }
    }
}

impl From<PodFailure> for Said {
    fn from(failure: PodFailure) -> Self {
        Self::no(failure.reason, failure.message)
    }
}

/// The API server's limit for a condition's message.
const LONGEST: usize = 32_768;

/// The condition to write; its time is the earlier one's unless the status moved.
pub fn condition(
    previous: &[Condition],
    kind: &str,
    said: Said,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let status = if said.holds { "True" } else { "False" };
    let unmoved = previous
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == status);
    let mut message = said.message;
    truncate(&mut message, LONGEST);
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: said.reason.as_str().to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: unmoved.map_or(Time(now), |condition| condition.last_transition_time.clone()),
    }
}

/// One line, not too long, for a table.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > 300 {
        truncate(&mut line, 299);
        line.push('…');
    }
    line
}

fn truncate(text: &mut String, longest: usize) {
    if text.len() > longest {
        let mut end = longest;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_of_a_condition_moves_only_with_its_status() {
        let first = condition(&[], "Ready", Said::no(Reason::Starting, "a"), Some(1), at(10));
        let same = condition(
            std::slice::from_ref(&first),
            "Ready",
            Said::no(Reason::Waiting, "b"),
            Some(2),
            at(20),
        );
        assert_eq!(same.last_transition_time, Time(at(10)));
        assert_eq!(
            (same.reason.as_str(), same.observed_generation),
            ("Waiting", Some(2))
        );
        let moved = condition(&[same], "Ready", Said::yes(Reason::Serving, "c"), Some(2), at(30));
        assert_eq!(moved.last_transition_time, Time(at(30)));
    }

    #[test]
    fn a_long_message_becomes_one_short_line() {
        let line = one_line(&format!("psql: error\n  at   line 3\n{}", "ü".repeat(400)));
        assert!(line.starts_with("psql: error at line 3 ü") && line.ends_with('…'));
        assert!(line.len() <= 302);
    }
}
