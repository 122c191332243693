//! The figures for a person: ratios, and a mark for each thing that is wanted.

use std::fmt::Write as _;

use super::batches;
use super::latency::median;
use super::mixed::Mixed;
use super::reads;
use super::regions::Regions;
use super::report::Report;
use crate::goal::figure;

/// Prints it to standard output.
pub fn print(report: &Report<'_>) {
    print!("{}", text(report));
}

fn text(report: &Report<'_>) -> String {
    let plan = report.plan;
    let mut lines = vec![format!(
        "{} processors, {} connections, medians of at least {} runs; what takes over {} s is run once",
        report.processors, plan.connections, plan.runs, plan.repeat_below_seconds
    )];
    if plan.quick {
        lines.push("QUICK: these figures show that the benchmark works, and nothing else".to_owned());
    }
    lines.extend(report.reads.iter().flatten().flat_map(of_reads));
    lines.extend(report.batches.iter().flatten().flat_map(of_batches));
    lines.extend(report.mixed.iter().flat_map(of_mixed));
    lines.extend(report.regions.iter().flat_map(of_regions));
    lines.push(String::new());
    lines.extend(report.goals.iter().map(ToString::to_string));
    lines.into_iter().fold(String::new(), |mut text, line| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

fn of_reads(size: &reads::Size) -> Vec<String> {
    let line = |what: &str, rate: f64| {
        format!(
            "  {what:<38}{:>12}{:>9}x",
            grouped(rate),
            figure(rate / size.original_indexed)
        )
    };
    vec![
        String::new(),
        format!(
            "{:<40}{:>12}{:>10}",
            format!(
                "Reads of 31 days; {} prices, {} days",
                grouped(size.seed.prices.into()),
                size.seed.days
            ),
            "a second",
            "to index"
        ),
        line("pgbench, original SQL, no index", size.original),
        line("pgbench, original SQL, index", size.original_indexed),
        line("pgbench, this service's query", size.own_query),
        line("GET /rates", size.api.http.per_second),
        line("hyper alone, the same bytes", size.bare.per_second),
        format!(
            "  GET /rates: p50 {:.2} ms, p99 {:.2} ms, at most {:.0} MiB; the load generator took {:.0} % of a processor",
            size.api.http.p50,
            size.api.http.p99,
            size.api.peak_mib,
            size.api.load_generator_processor * 100.0
        ),
        format!(
            "  GET /rates: {} times hyper alone; {:.1} us of a processor an answer, hyper alone {:.1}",
            figure(size.api.http.per_second / size.bare.per_second),
            size.api.http.processor_us,
            size.bare.processor_us
        ),
    ]
}

fn of_batches(size: &batches::Size) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!(
            "Batches of {} rows, {} distinct keys",
            grouped(size.rows.into()),
            size.distinct_keys
        ),
        format!(
            "  {:<30}{:>12}{:>13}{:>10}{:>8}{:>8}{:>12}",
            "", "rows/s", "to original", "to bare", "runs", "MiB", "folded in"
        ),
    ];
    let line = |what: &str, rate: f64, runs: usize, rest: String| {
        format!(
            "  {what:<30}{:>12}{:>12}x{:>9}x{runs:>8}{rest}",
            grouped(rate),
            figure(rate / size.original.rows_per_second),
            figure(rate / size.bare.rows_per_second)
        )
    };
    for (what, copied) in [
        ("COPY, original table", &size.original),
        ("COPY, no foreign keys", &size.without_keys),
        ("COPY, bare table", &size.bare),
    ] {
        lines.push(line(
            what,
            copied.rows_per_second,
            copied.seconds.len(),
            String::new(),
        ));
    }
    for sent in &size.batches {
        let rest = format!("{:>8.0}{:>10.2} s", sent.peak_mib, sent.folded_after_seconds);
        let what = format!("POST /batches, {}", sent.format.name());
        lines.push(line(&what, sent.rows_per_second, sent.seconds.len(), rest));
    }
    lines
}

fn of_mixed(mixed: &Mixed) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!(
            "{} reads a second beside batches of {} rows, in ms from when each was due",
            mixed.reads_per_second,
            grouped(mixed.rows.into())
        ),
        format!("  {:<30}{:>9}{:>9}{:>9}{:>9}", "", "p50", "p99", "max", "reads"),
    ];
    let mut line = |what: String, latency: &super::latency::Latency, rest: String| {
        lines.push(format!(
            "  {what:<30}{:>9.2}{:>9.2}{:>9.2}{:>9}{rest}",
            latency.p50, latency.p99, latency.max, latency.count
        ));
    };
    line("quiet".to_owned(), &mixed.quiet, String::new());
    for beside in &mixed.beside {
        let name = beside.format.name();
        let rest = format!(
            "   {} batches of {:.2} s, {:.0} MiB",
            beside.seconds.len(),
            median(&beside.seconds),
            beside.peak_mib
        );
        line(format!("while a batch runs, {name}"), &beside.during, rest);
        if let Some(folding) = &beside.folding {
            line(format!("while it is folded, {name}"), folding, String::new());
        }
    }
    lines
}

fn of_regions(regions: &Regions) -> Vec<String> {
    let line = |what: &str, latency: &super::latency::Latency| {
        format!(
            "  {what:<30}{:>9.2}{:>9.2}{:>9.2}{:>9}",
            latency.p50, latency.p99, latency.max, latency.count
        )
    };
    vec![
        String::new(),
        format!(
            "{} reads of pairs a second beside {} readers of all pairs, {} keys, in ms from when each was due",
            regions.reads_per_second,
            regions.callers,
            grouped(regions.keys.into())
        ),
        format!("  {:<30}{:>9}{:>9}{:>9}{:>9}", "", "p50", "p99", "max", "reads"),
        line("quiet", &regions.quiet),
        line("while all pairs are read", &regions.beside),
        format!(
            "  all pairs: {} answers after {:.0} ms (the median), {} refused, {:.0} MiB",
            regions.answered, regions.median, regions.refused, regions.peak_mib
        ),
    ]
}

/// A number with commas between its thousands; small ones with a digit behind the point.
fn grouped(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let texts = [3.71, 320.4, 10_931.6, 1_000_000.0].map(grouped);
        assert_eq!(texts, ["3.7", "320", "10,932", "1,000,000"]);
    }
}
