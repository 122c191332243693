//! `cargo xtask bench previews`: how soon a Preview is Ready on the local cluster, what one takes, how soon one that
//! sleeps answers, how soon a copy is Ready, how many are Ready at once, what these ask of the API server at rest, and what
//! many take that sleep. On a cluster of its own, which is taken down again; docs/benchmarks.md has a run.

mod asleep;
mod copies;
mod objects;
mod rest;
mod usage;
mod wake;
mod watch;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use self::asleep::Asleep;
use self::copies::Copied;
use self::objects::{PATIENCE, apply, kubectl};
use self::rest::Rest;
use self::usage::Usage;
use self::wake::Wakes;
use self::watch::{PARTS, Watch};
use super::on_cluster::{self, Limits};
use crate::figures;
use crate::goal::Goal;
use host::terminal::note;
use local_cluster::Running;

/// What a busy machine does after the last one is Ready is not what they take.
const SETTLE: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub struct Arguments {
    /// How many times one Preview is made, alone on the cluster
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// How many Previews are applied at once
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..=100))]
    count: u8,
    /// How many times one that sleeps is woken by a request; 0: not measured
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    wakes: u8,
    /// How many are made that sleep from the beginning; 0: none
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(0..=2000))]
    asleep: u16,
    /// Leave out the copies of a running environment
    #[arg(long)]
    no_copies: bool,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    processors: usize,
    alone: Vec<Round>,
    one: Usage,
    wakes: Option<Wakes>,
    copies: Option<[Copied; 2]>,
    together: Together,
    asleep: Option<Asleep>,
    goals: Vec<Goal>,
}

/// From `kubectl apply` to Ready, in seconds, and when each part was there.
#[derive(Debug, Serialize)]
struct Round {
    ready: f64,
    parts: Vec<(&'static str, f64)>,
}

#[derive(Debug, Serialize)]
struct Together {
    applied: u8,
    ready: usize,
    /// Seconds from the apply until the last of those was Ready.
    seconds: f64,
    usage: Usage,
    rest: Rest,
}

/// Measures, prints, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    let report = on_cluster::measure(1, Limits::default(), arguments.keep, |running| {
        measure(running, arguments)
    })?;
    println!("{report}");
    let file = figures::write("previews.json", &report)?;
    note(format_args!("the figures are in {}", file.display()));
    Ok(())
}

fn measure(running: &Running, arguments: &Arguments) -> Result<Report> {
    let mut alone = Vec::new();
    let mut one = None;
    for number in 1..=arguments.rounds {
        let round = round(running, number, &mut one)?;
        note(format_args!("round {number}: Ready after {:.1} s", round.ready));
        alone.push(round);
    }
    let wakes = match arguments.wakes {
        0 => None,
        rounds => Some(wake::measure(running, rounds)?),
    };
    let copies = if arguments.no_copies {
        None
    } else {
        Some(copies::measure(running)?)
    };
    let together = together(running, arguments.count)?;
    let asleep = match arguments.asleep {
        0 => None,
        count => Some(asleep::measure(running, count.into())?),
    };
    let mut goals = goals(&alone, wakes.as_ref(), &together);
    goals.extend(
        asleep
            .iter()
            .map(|asleep| Goal::at_most("writes at rest, of those asleep", 0.0, asleep.rest.writes())),
    );
    goals.extend(copies.iter().flat_map(goals_of_copies));
    Ok(Report {
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        alone,
        one: one.context("nothing was measured")?,
        wakes,
        copies,
        together,
        asleep,
        goals,
    })
}

/// One Preview, made and removed; what it takes is measured once.
fn round(running: &Running, number: u8, one: &mut Option<Usage>) -> Result<Round> {
    let namespace = format!("alone-{number}");
    kubectl(running, &["create", "namespace", &namespace])?;
    let mut watch = Watch::start(running, &namespace)?;
    let started = Instant::now();
    apply(running, &namespace, 1)?;
    let times = watch.until_ready(1, PATIENCE);
    ensure!(
        times.len() == 1,
        "the Preview is not Ready after {PATIENCE:?}: {}",
        watch.complaints()
    );
    drop(watch);
    if one.is_none() {
        std::thread::sleep(SETTLE);
        *one = Some(Usage::of(running, &namespace)?);
    }
    objects::remove(running, &namespace)?;
    let seconds = |at: Instant| at.saturating_duration_since(started).as_secs_f64();
    let times = times.into_iter().next().context("no times")?;
    let parts = PARTS
        .iter()
        .zip(times.parts)
        .filter_map(|(&part, at)| Some((part, seconds(at?))));
    Ok(Round {
        ready: seconds(times.ready),
        parts: parts.collect(),
    })
}

/// All at once, in one namespace.
fn together(running: &Running, count: u8) -> Result<Together> {
    let namespace = "together";
    kubectl(running, &["create", "namespace", namespace])?;
    let mut watch = Watch::start(running, namespace)?;
    let started = Instant::now();
    apply(running, namespace, count)?;
    let times = watch.until_ready(usize::from(count), PATIENCE);
    let last = times.iter().map(|times| times.ready).max().unwrap_or(started);
    if times.len() < usize::from(count) {
        note(format_args!("not Ready: {}", watch.complaints()));
    }
    drop(watch);
    std::thread::sleep(SETTLE);
    let usage = Usage::of(running, namespace)?;
    let rest = Rest::watch(running)?;
    objects::remove(running, namespace)?;
    Ok(Together {
        applied: count,
        ready: times.len(),
        seconds: last.saturating_duration_since(started).as_secs_f64(),
        usage,
        rest,
    })
}

fn goals(alone: &[Round], wakes: Option<&Wakes>, together: &Together) -> Vec<Goal> {
    let median = median(alone);
    let slowest = alone.iter().map(|round| round.ready).fold(0.0, f64::max);
    let mut goals = vec![
        Goal::at_most("one Preview, apply to Ready, median, in seconds", 10.0, median),
        Goal::at_most("one Preview, apply to Ready, slowest, in seconds", 15.0, slowest),
        Goal::new(
            "Previews Ready at once",
            "at least 30",
            format!("{} of {}", together.ready, together.applied),
            together.ready >= 30,
        ),
        Goal::at_most("all of them Ready, in seconds", 120.0, together.seconds),
    ];
    if let Some(wakes) = wakes {
        let first = |percent| wakes.percentile(percent);
        goals.push(Goal::at_most(
            "asleep, first answer, p50, in seconds",
            4.0,
            first(50),
        ));
        goals.push(Goal::at_most(
            "asleep, first answer, p99, in seconds",
            8.0,
            first(99),
        ));
    }
    goals
}

fn goals_of_copies([small, large]: &[Copied; 2]) -> [Goal; 4] {
    let slower = |copied: &Copied| copied.p99_meanwhile / copied.p99_quiet;
    [
        Goal::at_most(
            "a copy of the bundled data, apply to Ready, in seconds",
            10.0,
            small.ready,
        ),
        Goal::at_most("a copy of five million prices, in seconds", 30.0, large.ready),
        Goal::at_most(
            "p99 of the source beside the small copy, times the quiet one",
            1.5,
            slower(small),
        ),
        Goal::at_most(
            "p99 of the source beside the large copy, times the quiet one",
            1.5,
            slower(large),
        ),
    ]
}

fn median(rounds: &[Round]) -> f64 {
    let mut seconds: Vec<f64> = rounds.iter().map(|round| round.ready).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "One Preview alone, seconds from kubectl apply:")?;
        write!(formatter, "  round ")?;
        PARTS
            .iter()
            .try_for_each(|part| write!(formatter, "{part:>12}"))?;
        writeln!(formatter, "{:>12}", "Ready")?;
        for (index, round) in self.alone.iter().enumerate() {
            write!(formatter, "  {:<6}", index + 1)?;
            for part in PARTS {
                let at = round.parts.iter().find(|(name, _)| *name == part);
                let at = at.map_or_else(|| "-".to_owned(), |(_, at)| format!("{at:.1}"));
                write!(formatter, "{at:>12}")?;
            }
            writeln!(formatter, "{:>12.1}", round.ready)?;
        }
        writeln!(formatter, "One Preview takes {}.", self.one)?;
        if let Some(wakes) = &self.wakes {
            writeln!(formatter, "{wakes}.")?;
        }
        self.copies
            .iter()
            .flatten()
            .try_for_each(|copied| writeln!(formatter, "{copied}."))?;
        writeln!(
            formatter,
            "{} of {} applied at once were Ready after {:.0} s; together they take {}; {}, which is {:.1} a second.",
            self.together.ready,
            self.together.applied,
            self.together.seconds,
            self.together.usage,
            self.together.rest,
            self.together.rest.writes_per_second()
        )?;
        self.asleep
            .iter()
            .try_for_each(|asleep| writeln!(formatter, "{asleep}."))?;
        self.goals
            .iter()
            .try_for_each(|goal| writeln!(formatter, "{goal}"))
    }
}
