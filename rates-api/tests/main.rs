//! Tests of the program as it is run, against a real PostgreSQL.
//!
//! `RATES_TEST_POSTGRES` names a folder with `bin/{initdb,postgres}`; unset, these tests are reported as ignored.
//! One server is started for all tests, and each has a database of its own; those that stop the server have their own.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking; clippy sees no test where the harness is its own"
)]

mod batches;
mod database;
mod drain;
mod expensive;
mod failover;
mod fuzz;
mod metrics;
mod migrate;
mod openapi;
mod privileges;
mod publish;
mod reference_dump;
mod routes;
mod settings;
mod standby;
mod sums;
mod support;
mod usage;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use support::Test;
use support::postgres::{Installation, Postgres};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests: Vec<Test> = [
        batches::all::tests(),
        database::tests(),
        drain::tests(),
        expensive::tests(),
        failover::tests(),
        fuzz::tests(),
        metrics::tests(),
        migrate::tests(),
        openapi::tests(),
        privileges::tests(),
        publish::tests(),
        reference_dump::tests(),
        routes::tests(),
        settings::tests(),
        standby::tests(),
        sums::tests(),
        usage::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();

    let installation = Installation::from_environment();
    if installation.is_none() {
        eprintln!("RATES_TEST_POSTGRES is not set: the tests that need PostgreSQL are ignored");
    }
    let server = installation
        .filter(|_| !arguments.list)
        .map(|installation| Arc::new(Postgres::start(installation)));
    let trials = tests
        .into_iter()
        .map(|test| trial(test, server.clone()))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: Test, server: Option<Arc<Postgres>>) -> Trial {
    let ignored = server.is_none() || test.is_skipped();
    Trial::test(test.name().to_owned(), move || {
        let server = server.ok_or("RATES_TEST_POSTGRES is not set")?;
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(test.run(server));
        Ok(())
    })
    .with_ignored_flag(ignored)
}
