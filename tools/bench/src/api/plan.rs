//! How much is measured.

use serde::Serialize;

use super::data::DAYS;
use super::format::Format;

/// A part of the benchmark that can be run alone.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// `GET /rates` against pgbench
    Reads,
    /// `POST /batches` against COPY
    Batches,
    /// Reads at a fixed rate while batches run
    Mixed,
    /// Reads of pairs at a fixed rate beside reads of all pairs
    Regions,
}

/// The sizes, and how often and long each is measured.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub quick: bool,
    /// Of pgbench, and of the load generator of reads.
    pub connections: u32,
    /// What is in the database before anything is measured, as the real data are.
    pub real: Seed,
    /// What else is read: many prices of the same days, and many days that each have as many prices as real ones.
    pub large: [Seed; 2],
    /// Of one run of reads.
    pub seconds: u32,
    /// How often each is measured at least; the median counts.
    pub runs: u32,
    /// What is short is measured more often, up to this.
    pub most_runs: u32,
    /// Of all runs of what is short.
    pub enough_seconds: u32,
    /// What takes longer than this is measured once.
    pub repeat_below_seconds: u32,
    pub batches: Vec<Batch>,
    pub mixed: Mixed,
    pub regions: Regions,
}

/// Prices, and the days up to the last one that is asked for over which they spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Seed {
    pub prices: u32,
    pub days: i32,
}

impl Seed {
    pub const NOTHING: Self = Self {
        prices: 0,
        days: DAYS,
    };

    const fn of(prices: u32, days: i32) -> Self {
        Self { prices, days }
    }
}

/// A size of batches.
#[derive(Debug, Serialize)]
pub struct Batch {
    pub rows: u32,
    pub formats: Vec<Format>,
}

/// Reads beside batches.
#[derive(Debug, Serialize)]
pub struct Mixed {
    pub reads_per_second: u32,
    pub quiet_seconds: u32,
    pub rows: u32,
    /// Batches of each format, one after the other.
    pub batches: u32,
}

/// Reads of pairs beside reads of all pairs.
#[derive(Debug, Serialize)]
pub struct Regions {
    pub reads_per_second: u32,
    /// Without and with reads of regions, each.
    pub seconds: u32,
    /// Days up to the last one, for each of which each of 2,756 pairs has a price.
    pub days: i32,
    /// Who reads regions: each sends its next request when it has its answer.
    pub callers: u32,
}

impl Plan {
    pub fn full() -> Self {
        Self {
            quick: false,
            connections: 16,
            real: Seed::of(57_000, DAYS),
            large: [Seed::of(5_000_000, DAYS), Seed::of(5_000_000, 2_719)],
            seconds: 4,
            runs: 3,
            most_runs: 9,
            enough_seconds: 4,
            repeat_below_seconds: 20,
            batches: vec![
                batch(50_000, &Format::ALL),
                batch(1_000_000, &Format::ALL),
                batch(10_000_000, &[Format::Csv, Format::Json]),
            ],
            mixed: Mixed {
                reads_per_second: 500,
                quiet_seconds: 10,
                rows: 1_000_000,
                batches: 10,
            },
            regions: Regions {
                reads_per_second: 500,
                seconds: 30,
                days: 3_650,
                callers: 3,
            },
        }
    }

    pub fn quick() -> Self {
        Self {
            quick: true,
            large: [Seed::of(200_000, DAYS), Seed::of(200_000, 109)],
            seconds: 1,
            runs: 1,
            most_runs: 1,
            batches: vec![
                batch(5_000, &Format::ALL),
                batch(50_000, &Format::ALL),
                batch(200_000, &[Format::Csv, Format::Json]),
            ],
            mixed: Mixed {
                reads_per_second: 500,
                quiet_seconds: 1,
                rows: 50_000,
                batches: 2,
            },
            regions: Regions {
                seconds: 2,
                days: 50,
                ..Self::full().regions
            },
            ..Self::full()
        }
    }
}

fn batch(rows: u32, formats: &[Format]) -> Batch {
    Batch {
        rows,
        formats: formats.to_vec(),
    }
}
