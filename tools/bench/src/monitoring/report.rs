//! The figures as a table.

use std::fmt;

use serde::Serialize;

use super::cases::Case;
use super::costs::Costs;

#[derive(Debug, Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
    pub costs: Option<Costs>,
}

/// What was seen of one rung.
#[derive(Debug, Serialize)]
pub struct Row {
    pub rung: &'static str,
    pub cause: &'static str,
    pub remedy: &'static str,
    /// Its value before the load.
    pub before: f64,
    /// Seconds of load until it was the first saturated rung; none: it never was.
    pub named: Option<f64>,
    /// Its highest value until then.
    pub loaded: f64,
    /// Rungs that were named meanwhile.
    pub others: Vec<String>,
    /// Its value after the remedy, under the same load, and after how many seconds.
    pub relieved: f64,
    pub relieved_after: f64,
}

impl Row {
    pub fn new(case: &Case, before: f64) -> Self {
        Self {
            rung: case.rung,
            cause: case.cause,
            remedy: case.remedy,
            before,
            named: None,
            loaded: before,
            others: Vec::new(),
            relieved: f64::NAN,
            relieved_after: f64::NAN,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self
            .named
            .map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.0} s"));
        write!(
            formatter,
            "{:<21}{:>6.0} %{:>6.0} %{named:>12}{:>6.0} %{:>8.0} s  {}; {}",
            self.rung,
            self.before * 100.0,
            self.loaded * 100.0,
            self.relieved * 100.0,
            self.relieved_after,
            self.cause,
            self.remedy
        )?;
        if !self.others.is_empty() {
            write!(formatter, "\n  named before it: {}", self.others.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<21}{:>8}{:>8}{:>12}{:>8}{:>10}  cause; remedy",
            "rung", "before", "loaded", "named after", "after", "within"
        )?;
        for row in &self.rows {
            writeln!(formatter, "{row}")?;
        }
        let Some(costs) = &self.costs else {
            return Ok(());
        };
        let mib = |bytes: Option<f64>| bytes.unwrap_or(f64::NAN) / 1024.0 / 1024.0;
        writeln!(
            formatter,
            "exporter: {:.0} MiB, {:.4} processors; Prometheus: {:.0} MiB, {:.4} processors",
            mib(costs.exporter_memory_bytes),
            costs.exporter_processors.unwrap_or(f64::NAN),
            mib(costs.prometheus_memory_bytes),
            costs.prometheus_processors.unwrap_or(f64::NAN),
        )?;
        let series: Vec<String> = costs
            .series
            .iter()
            .map(|(job, count)| format!("{job} {count}"))
            .collect();
        write!(
            formatter,
            "series of an environment: {}; recorded {}",
            series.join(", "),
            costs.series_of_all.unwrap_or(f64::NAN)
        )
    }
}
