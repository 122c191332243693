//! `cargo xtask test`: every test, and what each needs.
//!
//! In three layers: checks of the sources; the tests of each part, with its one real
//! dependency; the whole on a cluster of its own, which is taken down again.

mod checks;
mod documents;
mod imports;
mod lifecycle;
mod monitoring;
mod node_faults;
mod parts;
mod programs;
mod scratch;
mod scripts;
mod tally;
mod whole;

use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

use self::tally::Tally;
use host::terminal::note;

/// The lowest priority there is.
const LAST: i32 = 19;

#[derive(clap::Args)]
pub struct Arguments {
    /// Run only one layer
    #[arg(long, value_enum)]
    layer: Option<Layer>,
    /// Leave the cluster `test` running, to look at it or to run the whole's tests again
    #[arg(long)]
    keep: bool,
    /// Run only the tests whose names contain this
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Layer {
    /// Format, lints, imports, generated files, dependencies
    Checks,
    /// The tests of each part, with PostgreSQL, or etcd and kube-apiserver
    Parts,
    /// The whole on a cluster
    Whole,
}

/// Runs the tests; the last line printed is their count. Fails when one failed, or when there was none.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    install::prepare()?;
    let mut tally = Tally::default();
    let filter = arguments.filter.as_deref();
    match arguments.layer {
        None => all(&mut tally, filter, arguments.keep)?,
        Some(Layer::Checks) => {
            checks::sources(&mut tally);
            scripts::check(&mut tally);
            monitoring::check(&mut tally);
            checks::generated_files(&mut tally);
            checks::lints(&mut tally);
        }
        Some(Layer::Parts) => {
            let programs = parts::compile()?;
            parts::run(&mut tally, filter, &programs)?;
        }
        Some(Layer::Whole) => {
            install::compile()?;
            let program = whole::compile()?;
            whole::run(&mut tally, filter, arguments.keep, &program)?;
        }
    }
    if tally.passed + tally.failed == 0 {
        bail!("no test has such a name");
    }
    for failure in &tally.failures {
        note(format_args!("FAILED {failure}"));
    }
    println!("{tally}");
    Ok(if tally.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Every layer. The tests of the whole wait most of the time, so what takes the processors for minutes, the lints and
/// compiling the tests of the parts, is done beside them, with what processor time they leave.
fn all(tally: &mut Tally, filter: Option<&str>, keep: bool) -> Result<()> {
    checks::sources(tally);
    scripts::check(tally);
    monitoring::check(tally);
    checks::generated_files(tally);
    install::compile()?;
    let program = whole::compile()?;
    let beside = thread::scope(|scope| {
        let beside = scope.spawn(|| {
            // On Linux a thread's own, which the programs that it starts take over.
            rustix::process::nice(LAST).context("cannot lower the priority of compiling")?;
            let mut tally = Tally::default();
            checks::lints(&mut tally);
            Ok((tally, parts::compile()?))
        });
        let whole = whole::run(tally, filter, keep, &program);
        let beside: Result<_> = beside
            .join()
            .unwrap_or_else(|_| Err(anyhow!("compiling the tests panicked")));
        whole.and(beside)
    })?;
    let (lints, programs) = beside;
    tally.add(lints);
    parts::run(tally, filter, &programs)
}
