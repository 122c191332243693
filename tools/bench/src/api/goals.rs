//! What is wanted of the API.

use super::batches;
use super::mixed::Mixed;
use super::reads;
use super::regions::Regions;
use crate::goal::Goal;

/// What a figure that should be equal to another may be worse by: two runs of the same differ by as much.
const NOISE: f64 = 0.1;

/// Of the service's process.
const MOST_MEMORY_MIB: f64 = 128.0;

/// Reads may take so long beside something else, however quick they are without.
const SLOW_ENOUGH_MS: f64 = 25.0;

/// Batches beyond this many rows are to be as fast as those before.
const LARGE: usize = 2;

pub fn of_reads(sizes: &[reads::Size]) -> Vec<Goal> {
    let [real, large @ ..] = sizes else {
        return Vec::new();
    };
    let rate = |wanted| {
        Goal::at_least(
            "GET /rates as a multiple of the original SQL with an index, prices as real ones",
            wanted,
            real.api.http.per_second / real.original_indexed,
        )
    };
    vec![
        rate(1.0),
        rate(3.0).as_aim(),
        Goal::at_least(
            "GET /rates as a multiple of hyper alone with the same bytes",
            0.5,
            real.api.http.per_second / real.bare.per_second,
        )
        .as_aim(),
        Goal::at_most(
            "p50 of GET /rates with many prices as a multiple of that with as many as real ones",
            1.0 + NOISE,
            highest(large.iter().map(|size| size.api.http.p50 / real.api.http.p50)),
        ),
        Goal::at_most(
            "peak memory of reads in MiB",
            MOST_MEMORY_MIB,
            highest(sizes.iter().map(|size| size.api.peak_mib)),
        ),
    ]
}

pub fn of_batches(sizes: &[batches::Size]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let rows = size.rows;
        // The slowest format counts.
        let rate = lowest(size.batches.iter().map(|batch| batch.rows_per_second));
        if index < LARGE {
            let what = format!("batches of {rows} rows as a multiple of COPY into the original table");
            goals.push(Goal::at_least(what, 5.0, rate / size.original.rows_per_second));
            let what = format!("batches of {rows} rows as a multiple of COPY into a bare table");
            goals.push(Goal::at_least(what, 0.4, rate / size.bare.rows_per_second).as_aim());
        } else if let Some(before) = sizes.get(index - 1) {
            let what = format!(
                "batches of {rows} rows: their speed as a multiple of that of {}",
                before.rows
            );
            let to_same_format = size.batches.iter().filter_map(|batch| {
                let same = before.batches.iter().find(|other| other.format == batch.format)?;
                Some(batch.rows_per_second / same.rows_per_second)
            });
            goals.push(Goal::at_least(what, 1.0 - NOISE, lowest(to_same_format)));
        }
        let what = format!("peak memory of batches of {rows} rows in MiB");
        let peak = highest(size.batches.iter().map(|batch| batch.peak_mib));
        goals.push(Goal::at_most(what, MOST_MEMORY_MIB, peak));
    }
    goals
}

pub fn of_mixed(mixed: &Mixed) -> Vec<Goal> {
    let rows = mixed.rows;
    vec![
        Goal::at_most(
            format!(
                "p99 in ms of {} reads a second beside batches of {rows} rows",
                mixed.reads_per_second
            ),
            (3.0 * mixed.quiet.p99).max(SLOW_ENOUGH_MS),
            highest(mixed.beside.iter().map(|beside| beside.during.p99)),
        ),
        Goal::at_most(
            format!("peak memory of batches of {rows} rows beside reads in MiB"),
            MOST_MEMORY_MIB,
            highest(mixed.beside.iter().map(|beside| beside.peak_mib)),
        ),
    ]
}

pub fn of_regions(regions: &Regions) -> Goal {
    Goal::at_most(
        format!(
            "p99 in ms of {} reads a second beside {} readers of all pairs, {} keys",
            regions.reads_per_second, regions.callers, regions.keys
        ),
        (3.0 * regions.quiet.p99).max(SLOW_ENOUGH_MS),
        regions.beside.p99,
    )
}

fn lowest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

fn highest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::format::Format;
    use super::super::latency::Latency;
    use super::super::plan::Seed;
    use super::*;

    fn size(rows: u32, rates: &[(Format, f64)]) -> batches::Size {
        let copied = |rows_per_second| batches::Copied {
            rows_per_second,
            seconds: Vec::new(),
        };
        batches::Size {
            rows,
            distinct_keys: 1,
            original: copied(100.0),
            without_keys: copied(300.0),
            bare: copied(1000.0),
            batches: rates
                .iter()
                .map(|&(format, rows_per_second)| batches::Sent {
                    format,
                    rows_per_second,
                    seconds: Vec::new(),
                    peak_mib: 30.0,
                    folded_after_seconds: 1.0,
                })
                .collect(),
        }
    }

    fn reads(prices: u32, per_second: f64, p50: f64) -> reads::Size {
        reads::Size {
            seed: Seed { prices, days: 31 },
            original: 1.0,
            original_indexed: 1000.0,
            own_query: 1.0,
            api: reads::Api {
                http: http(per_second, p50),
                peak_mib: 20.0,
                load_generator_processor: 0.2,
            },
            bare: http(2800.0, 1.0),
        }
    }

    fn http(per_second: f64, p50: f64) -> reads::Http {
        reads::Http {
            per_second,
            p50,
            p99: 1.0,
            processor_us: 30.0,
        }
    }

    fn met(goals: &[Goal]) -> Vec<bool> {
        goals.iter().map(|goal| goal.met).collect()
    }

    #[test]
    fn reads_are_to_be_as_fast_as_the_original_sql_and_no_slower_with_many_prices() {
        let few = |rate| reads(57_000, rate, 1.0);
        assert_eq!(
            met(&of_reads(&[few(1500.0), reads(5_000_000, 1.0, 1.05)])),
            [true, false, true, true, true]
        );
        assert_eq!(
            met(&of_reads(&[few(999.0), reads(5_000_000, 1.0, 1.2)])),
            [false, false, false, false, true]
        );
    }

    #[test]
    fn the_slowest_format_counts() {
        let sizes = [size(50_000, &[(Format::Csv, 900.0), (Format::Json, 450.0)])];
        let goals = of_batches(&sizes);
        assert_eq!(met(&goals), [false, true, true]);
        assert_eq!(goals[0].found, "4.50");
    }

    #[test]
    fn the_largest_batches_are_compared_with_those_of_the_same_format() {
        let speed = |json| {
            let million = [(Format::Csv, 900.0), (Format::Json, 500.0)];
            let ten_million = [(Format::Csv, 900.0), (Format::Json, json)];
            let sizes = [
                size(50_000, &[]),
                size(1_000_000, &million),
                size(10_000_000, &ten_million),
            ];
            of_batches(&sizes)[6].clone()
        };
        assert!(speed(480.0).met);
        assert!(!speed(400.0).met);
    }

    #[test]
    fn reads_beside_batches_may_take_25_ms_or_three_times_as_long_as_alone() {
        let latency = |p99| Latency {
            p50: 1.0,
            p99,
            max: p99,
            count: 1,
        };
        let mixed = |quiet, during| Mixed {
            rows: 1,
            reads_per_second: 500,
            quiet: latency(quiet),
            beside: vec![super::super::mixed::Beside {
                format: Format::Csv,
                seconds: Vec::new(),
                during: latency(during),
                folding: None,
                peak_mib: 1.0,
            }],
        };
        assert_eq!(met(&of_mixed(&mixed(2.0, 24.0))), [true, true]);
        assert_eq!(met(&of_mixed(&mixed(2.0, 26.0))), [false, true]);
        assert_eq!(met(&of_mixed(&mixed(10.0, 29.0))), [true, true]);
    }
}
