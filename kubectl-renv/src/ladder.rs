//! The ladder of one environment: a value for each rung that Prometheus has one of.

use std::collections::BTreeMap;

use crate::key::Key;
use crate::prometheus::Sample;
use crate::rung::{Rung, SATURATED};

/// Saturations between 0 and 1. A rung without a value is unknown, not idle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ladder {
    values: [Option<f64>; Rung::ALL.len()],
}

impl Ladder {
    #[must_use]
    pub fn value(&self, rung: Rung) -> Option<f64> {
        self.values[rung as usize]
    }

    /// The lowest rung that is saturated: the bottleneck. What is above it may only be waiting for it.
    #[must_use]
    pub fn saturated(&self) -> Option<Rung> {
        Rung::ALL
            .into_iter()
            .find(|rung| self.value(*rung).is_some_and(|value| value >= SATURATED))
    }

    /// The saturated rung; where none is, the one with the highest value.
    #[must_use]
    pub fn worst(&self) -> Option<(Rung, f64)> {
        let rung = self.saturated().or_else(|| {
            // Of equal ones the lowest.
            Rung::ALL
                .into_iter()
                .filter(|rung| self.value(*rung).is_some())
                .reduce(|worst, rung| {
                    if self.value(rung) > self.value(worst) {
                        rung
                    } else {
                        worst
                    }
                })
        })?;
        Some((rung, self.value(rung)?))
    }
}

/// The ladders of all environments that have samples.
#[must_use]
pub fn ladders(samples: &[Sample]) -> BTreeMap<Key, Ladder> {
    let mut ladders: BTreeMap<Key, Ladder> = BTreeMap::new();
    for sample in samples {
        let (Some(rung), Some(namespace), Some(name)) = (
            sample.label("__name__").and_then(Rung::of_series),
            sample.label("namespace"),
            sample.label("environment"),
        ) else {
            continue;
        };
        let key = Key {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let ladder = ladders.entry(key).or_default();
        // An expression that divides by zero gives NaN, which says nothing.
        if !sample.value.is_nan() {
            ladder.values[rung as usize] = Some(sample.value);
        }
    }
    ladders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(values: &[(Rung, f64)]) -> Ladder {
        let mut ladder = Ladder::default();
        for (rung, value) in values {
            ladder.values[*rung as usize] = Some(*value);
        }
        ladder
    }

    #[test]
    fn the_lowest_saturated_rung_is_the_bottleneck() {
        let found = ladder(&[(Rung::Log, 0.95), (Rung::Connections, 0.1), (Rung::Locks, 1.0)]);
        assert_eq!(found.saturated(), Some(Rung::Log));
        assert_eq!(found.worst(), Some((Rung::Log, 0.95)));
    }

    #[test]
    fn without_a_saturated_rung_the_highest_is_the_worst_and_of_equal_ones_the_lowest() {
        let found = ladder(&[
            (Rung::ApiProcessors, 0.1),
            (Rung::Fold, 0.5),
            (Rung::Connections, 0.5),
        ]);
        assert_eq!(found.saturated(), None);
        assert_eq!(found.worst(), Some((Rung::Connections, 0.5)));
        assert_eq!(Ladder::default().worst(), None);
    }

    #[test]
    fn samples_become_ladders_and_what_is_no_rung_is_passed_over() {
        let sample = |series: &str, namespace: &str, environment: &str, value: f64| Sample {
            labels: [
                ("__name__", series),
                ("namespace", namespace),
                ("environment", environment),
            ]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
            value,
        };
        let found = ladders(&[
            sample("rates:saturation:locks", "team-a", "x", 0.25),
            sample("rates:saturation:volume", "team-a", "x", f64::NAN),
            sample("rates:saturation:locks", "team-b", "x", 0.75),
            sample("rates:saturation:unheard_of", "team-c", "x", 0.75),
        ]);
        let locks: Vec<_> = found
            .iter()
            .map(|(key, ladder)| (key.to_string(), ladder.value(Rung::Locks)))
            .collect();
        assert_eq!(
            locks,
            [
                ("team-a/x".to_owned(), Some(0.25)),
                ("team-b/x".to_owned(), Some(0.75))
            ]
        );
        assert_eq!(found.values().next().unwrap().value(Rung::Volume), None);
    }
}
