//! Arguments, logging, the runtime; everything else is in the library.

use std::process::ExitCode;

use rates_api::cli::{self, Command};
use rates_api::{log, migrate, report, seed, serve};

fn main() -> ExitCode {
    let arguments = cli::parse();
    let _log = log::start(&arguments.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::fail("cannot start the asynchronous runtime", &error),
    };
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Serve(settings) => match serve::run(*settings).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => report::fail("cannot serve", &error),
            },
            Command::Migrate(job) => job.termination.tell(migrate::run(&job).await),
            Command::Publish(job) => {
                let termination = &job.migration.termination;
                match seed::publish::run(&job).await {
                    Err(error) if error.is_of_the_load() => termination.skip(&error),
                    outcome => termination.tell(outcome),
                }
            }
            Command::Dump(job) => job.termination.tell(seed::dump::run(&job)),
        }
    });
    // A thread that waits, say for a name look-up, does not hold up the end.
    runtime.shutdown_background();
    code
}
