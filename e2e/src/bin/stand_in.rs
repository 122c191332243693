//! Stands in for releases of the API that do not exist: the entry point of images with the real program beside it, in a
//! mode that the image's variable `STAND_IN` says. All but what the mode is about is the real program's.

use std::error::Error;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs, io, thread};

use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

const PROGRAM: &str = "/usr/bin/rates-api";
const MODE: &str = "STAND_IN";
/// What a slow start takes; a liveness probe does not end it.
const SLOW: Duration = Duration::from_secs(12);
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The name of the migration that the next release brings.
const MIGRATION: &str = "next_release_stand_in";
/// As the real program: a waiting statement queues readers behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = 500";
/// For locks that others hold.
const ATTEMPTS: u32 = 600;

fn main() -> ExitCode {
    let mode = env::var(MODE).unwrap_or_default();
    let command = env::args().nth(1).unwrap_or_default();
    let refused = match (mode.as_str(), command.as_str()) {
        ("crashes", "serve") => Some("this release ends right after its start".to_owned()),
        ("hangs", "serve") => hang().err().map(|error| error.to_string()),
        ("slow", "serve") => {
            thread::sleep(SLOW);
            None
        }
        ("migration-fails", "migrate") => {
            let report = r#"{"outcome":"failed","message":"migration 0099_stand_in failed: db error: ERROR: relation \"no_such_table\" does not exist"}"#;
            let _ = fs::write(TERMINATION_LOG, report);
            Some(report.to_owned())
        }
        ("next", "migrate") => migrate().err().map(|error| error.to_string()),
        ("plain" | "next" | "slow" | "crashes" | "hangs" | "migration-fails", _) => None,
        (other, _) => Some(format!("{MODE} is {other:?}, and no mode")),
    };
    if let Some(message) = refused {
        eprintln!("stand-in: {message}");
        return ExitCode::FAILURE;
    }
    let error = exec();
    eprintln!("stand-in: cannot start {PROGRAM}: {error}");
    ExitCode::FAILURE
}

/// Never listens, and ends when it is told to: one that does not is killed after all of its grace period, which would
/// show nothing more.
fn hang() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            signal(SignalKind::terminate())?.recv().await;
            Err("told to end".into())
        })
}

/// Becomes the real program; returns only when that cannot be.
fn exec() -> io::Error {
    Command::new(PROGRAM)
        .args(env::args_os().skip(1))
        .env_remove(MODE)
        .exec()
}

/// What a next release's migration does: a column and an index more, and a version that programs of this one work with.
fn migrate() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let uri = fs::read_to_string(env::var("RATES_DATABASE_URI_FILE")?)?;
            let config: Config = uri.trim().parse()?;
            let (mut client, connection) = config.connect(NoTls).await?;
            let connection = tokio::spawn(connection);
            let owner = env::var("RATES_OWNER_ROLE").unwrap_or_else(|_| "rates_owner".to_owned());
            client.batch_execute(&format!("SET ROLE \"{owner}\"")).await?;
            for attempt in 1..=ATTEMPTS {
                match change(&mut client).await {
                    Err(error)
                        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && attempt < ATTEMPTS =>
                    {
                        eprintln!("stand-in: a lock is held by others; trying again");
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    done => {
                        done?;
                        break;
                    }
                }
            }
            drop(client);
            connection.await??;
            Ok(())
        })
}

async fn change(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    let noted = "SELECT FROM rates_internal.migrations WHERE name = $1";
    if transaction.query_opt(noted, &[&MIGRATION]).await?.is_some() {
        return Ok(());
    }
    transaction
        .batch_execute(
            "ALTER TABLE rates_internal.batches ADD COLUMN stand_in_note text NOT NULL DEFAULT '';
             ALTER TABLE rates_internal.sums ADD COLUMN stand_in_note text;
             CREATE INDEX stand_in_by_creation ON rates_internal.batches (created_at);",
        )
        .await?;
    transaction
        .execute(
            "INSERT INTO rates_internal.migrations (version, name, checksum, compatible_with) \
             SELECT max(version) + 1, $1, 'stand-in', max(version) FROM rates_internal.migrations",
            &[&MIGRATION],
        )
        .await?;
    transaction.commit().await
}
