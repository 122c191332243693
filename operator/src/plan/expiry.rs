//! When an environment is deleted: `spec.lifetime.ttl` after its creation.

use std::time::Duration;

use jiff::Timestamp;

use crate::crd::RatesEnvironment;

/// How long before its end it is announced; of a short life the second half.
const NOTICE: Duration = Duration::from_hours(1);

/// The end of an environment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expiry {
    pub at: Timestamp,
    /// Since when it is announced.
    announced: Timestamp,
}

impl Expiry {
    /// `None` for an environment that lives until somebody deletes it.
    #[must_use]
    pub fn of(environment: &RatesEnvironment) -> Option<Self> {
        let ttl = environment.spec.lifetime.as_ref()?.ttl()?;
        let created = environment.metadata.creation_timestamp.as_ref()?.0;
        let at = created.checked_add(ttl).ok()?;
        let announced = at.checked_sub(NOTICE.min(ttl / 2)).ok()?;
        Some(Self { at, announced })
    }

    #[must_use]
    pub fn is_announced(&self, now: Timestamp) -> bool {
        now >= self.announced
    }

    /// After which time something is to be done about it.
    #[must_use]
    pub fn due_after(&self, now: Timestamp) -> Option<Duration> {
        let next = [self.announced, self.at].into_iter().find(|at| *at > now)?;
        Duration::try_from(next.duration_since(now)).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expiry(ttl: &str) -> Option<Expiry> {
        let environment = json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": "pier", "creationTimestamp": "2026-03-01T10:00:00Z"},
            "spec": {"lifetime": {"ttl": ttl}},
        });
        Expiry::of(&serde_json::from_value(environment).unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_end_counts_from_the_creation_and_is_announced_an_hour_before() {
        let expiry = expiry("72h").unwrap();
        assert_eq!(expiry.at, at("2026-03-04T10:00:00Z"));
        assert!(!expiry.is_announced(at("2026-03-04T08:59:59Z")));
        assert!(expiry.is_announced(at("2026-03-04T09:00:00Z")));
        assert_eq!(
            expiry.due_after(at("2026-03-04T08:00:00Z")),
            Some(Duration::from_hours(1))
        );
        assert_eq!(
            expiry.due_after(at("2026-03-04T09:59:00Z")),
            Some(Duration::from_mins(1))
        );
        assert_eq!(expiry.due_after(at("2026-03-04T10:00:00Z")), None);
    }

    #[test]
    fn of_a_short_life_the_second_half_is_announced() {
        let expiry = expiry("10m").unwrap();
        assert!(!expiry.is_announced(at("2026-03-01T10:04:59Z")));
        assert!(expiry.is_announced(at("2026-03-01T10:05:00Z")));
    }
}
