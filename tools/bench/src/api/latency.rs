//! Many durations, and what is said of them.

use std::time::Duration;

use serde::Serialize;

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub count: usize,
}

impl Latency {
    /// None of no durations.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        let milliseconds = |duration: &Duration| duration.as_secs_f64() * 1000.0;
        let percentile = |percent| nearest_rank(&durations, percent).map(milliseconds);
        Some(Self {
            p50: percentile(50)?,
            p99: percentile(99)?,
            max: percentile(100)?,
            count: durations.len(),
        })
    }
}

/// The smallest value that at least so many percent of the sorted values do not exceed.
fn nearest_rank<T>(sorted: &[T], percent: usize) -> Option<&T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1)
}

/// The value in the middle; of two, the mean. Zero of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (
        sorted.len() % 2,
        sorted.get(middle),
        sorted.get(middle.wrapping_sub(1)),
    ) {
        (1, Some(value), _) => *value,
        (_, Some(upper), Some(lower)) => f64::midpoint(*lower, *upper),
        _ => 0.0,
    }
}

/// The median of one of the figures of several runs.
pub fn median_of<T>(runs: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(&runs.iter().map(figure).collect::<Vec<_>>())
}

/// A count as a number to divide with.
pub fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!(nearest_rank(&sorted, 50), Some(&100));
        assert_eq!(nearest_rank(&sorted, 99), Some(&198));
        assert_eq!(nearest_rank(&sorted, 100), Some(&200));
        assert_eq!(nearest_rank(&[7], 1), Some(&7));
        assert_eq!(nearest_rank::<u32>(&[], 50), None);
    }

    #[test]
    fn latencies_are_in_milliseconds_whatever_their_order() {
        let latency = Latency::of((1..=100).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!(
            latency,
            Latency {
                p50: 50.0,
                p99: 99.0,
                max: 100.0,
                count: 100
            }
        );
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let exactly = |values: &[f64], expected: f64| {
            assert!((median(values) - expected).abs() < f64::EPSILON, "{values:?}");
        };
        exactly(&[3.0, 1.0, 2.0], 2.0);
        exactly(&[4.0, 1.0, 2.0, 3.0], 2.5);
        exactly(&[5.0], 5.0);
        exactly(&[], 0.0);
    }
}
