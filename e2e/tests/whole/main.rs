//! The tests of the whole. They need `kubectl` and `helm` on PATH and KUBECONFIG of a cluster
//! with the operator installed, whose Service addresses can be reached from here;
//! `cargo xtask test` provides both.
//!
//! The tests with bounds of time run first, one by one: beside others, a slow machine misses
//! them. The others share the cluster, each in a namespace of its own.

mod admission;
mod api;
mod autoscaling;
mod changes;
mod closed;
mod copies;
mod deletion;
mod failover;
mod faults;
mod first_environment;
mod healing;
mod install;
mod monitoring;
mod nodes;
mod placing;
mod plugin;
mod reference_dump;
mod rollouts;
mod seeds;
mod sleeping;
mod three_instances;
mod trial;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !arguments.list && std::env::var_os("KUBECONFIG").is_none() {
        // Shown as ignored, not as passed: without a cluster nothing was tested.
        arguments.ignored = false;
        let ignored = all()
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true))
            .collect();
        return libtest_mimic::run(&arguments, ignored).exit_code();
    }
    let alone = Arguments {
        test_threads: Some(1),
        ..arguments.clone()
    };
    let measured = libtest_mimic::run(&alone, one_by_one());
    let shared = Arguments {
        test_threads: Some(arguments.test_threads.unwrap_or(3)),
        ..arguments
    };
    let others = libtest_mimic::run(&shared, side_by_side());
    if measured.has_failed() || others.has_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn all() -> Vec<Trial> {
    one_by_one().into_iter().chain(side_by_side()).collect()
}

fn one_by_one() -> Vec<Trial> {
    let mut trials = first_environment::trials();
    trials.push(deletion::measured());
    trials.push(faults::measured());
    trials.push(failover::measured());
    trials.push(rollouts::measured());
    trials.push(install::alone());
    trials
}

fn side_by_side() -> Vec<Trial> {
    [
        // The longest first, so that nothing waits for it at the end.
        monitoring::trials(),
        faults::trials(),
        three_instances::trials(),
        changes::trials(),
        closed::trials(),
        copies::trials(),
        deletion::trials(),
        seeds::trials(),
        sleeping::trials(),
        healing::trials(),
        reference_dump::trials(),
        autoscaling::trials(),
        nodes::trials(),
        placing::trials(),
        plugin::trials(),
        api::trials(),
        admission::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
