//! The figures side by side.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Report {
    pub processors: usize,
    pub sizes: Vec<Size>,
}

/// What was found of one environment.
#[derive(Debug, Serialize)]
pub struct Size {
    pub instances: u8,
    /// Seconds from the apply.
    pub ready: f64,
    pub highly_available: Option<f64>,
    /// Of each database pod.
    pub memory_bytes: Vec<u64>,
    /// Of a batch of 50,000 rows, in each round.
    pub batch_seconds: Vec<f64>,
    pub reads_per_second: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<10}{:>8}{:>18}{:>22}{:>12}{:>8}{:>12}{:>8}",
            "instances", "Ready", "HighlyAvailable", "MiB of each", "batch s", "ratio", "reads/s", "ratio"
        )?;
        let Some(one) = self.sizes.first() else {
            return Ok(());
        };
        for size in &self.sizes {
            let memory: Vec<_> = size
                .memory_bytes
                .iter()
                .map(|bytes| (bytes >> 20).to_string())
                .collect();
            let available = size
                .highly_available
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"));
            let (batch, reads) = (median(&size.batch_seconds), median(&size.reads_per_second));
            writeln!(
                formatter,
                "{:<10}{:>8.1}{available:>18}{:>22}{batch:>12.3}{:>8.2}{reads:>12.0}{:>8.2}",
                size.instances,
                size.ready,
                memory.join(", "),
                batch / median(&one.batch_seconds),
                reads / median(&one.reads_per_second),
            )?;
        }
        write!(
            formatter,
            "Batches of 50,000 rows, and reads by 8 callers, one environment after the other; medians, on {} processors.",
            self.processors
        )
    }
}
