//! `rates-api migrate`: from any start, as often as it is called, and without holding up readers.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rates_api::database::Address;
use rates_api::migrate::{MigrateError, migrate};
use rates_api::migrations::{Migration, migrations};
use serde_json::json;

use crate::batches::{CSV, DESTINATION, Ingest, ORIGIN, csv};
use crate::support::dump;
use crate::support::postgres::{Postgres, number, options};
use crate::support::program::{command, finish, run};
use crate::support::{SOON, eventually, tests};

tests![
    an_empty_database_gets_the_tables_of_a_dump,
    a_loaded_dump_is_taken_as_it_is,
    no_default_of_the_server_is_in_the_way,
    a_second_run_does_nothing,
    runs_at_the_same_time_apply_each_migration_once,
    a_waiting_migration_holds_up_no_reader_and_is_applied_when_the_lock_is_free,
    a_run_that_was_killed_while_building_an_index_is_repaired,
    an_index_left_invalid_is_built_again,
    a_migration_that_was_changed_is_an_error,
    a_newer_schema_is_left_alone,
    a_table_of_another_form_is_refused_with_a_sentence,
    a_server_that_is_not_there_is_waited_for_until_the_deadline,
    a_database_that_does_not_exist_is_an_error_at_once,
];

fn latest() -> i32 {
    migrations().unwrap().last().unwrap().version
}

fn all() -> Vec<i32> {
    migrations()
        .unwrap()
        .iter()
        .map(|migration| migration.version)
        .collect()
}

async fn an_empty_database_gets_the_tables_of_a_dump(postgres: Arc<Postgres>) {
    let database = postgres.empty().await;

    let finished = run(&["migrate", "--database-uri", &postgres.owner_uri(&database)]).await;

    assert!(finished.success, "{}", finished.message);
    assert_eq!(
        finished.report(),
        json!({ "outcome": "succeeded", "schemaVersion": latest(), "applied": all() })
    );
    let owner = postgres.owner(&database).await;
    assert_eq!(
        number(&owner, "SELECT count(*) FROM prices, ports, regions").await,
        0
    );
    let owners = "SELECT count(*) FROM pg_tables WHERE tableowner <> 'rates_owner' AND schemaname IN ('public', 'rates_internal')";
    assert_eq!(number(&owner, owners).await, 0);
    let refused = owner
        .batch_execute("INSERT INTO prices VALUES ('XXXXX', 'XXXXX', '2021-01-01', 1)")
        .await;
    assert!(refused.is_err(), "the foreign keys are missing");
}

async fn a_loaded_dump_is_taken_as_it_is(postgres: Arc<Postgres>) {
    let database = postgres.loaded(rates_api::seed::dump::BUNDLED).await;

    assert_eq!(postgres.migrate(&database).await.applied, all());

    let rows: usize = dump::prices(rates_api::seed::dump::BUNDLED)
        .values()
        .flat_map(|days| days.values().map(Vec::len))
        .sum();
    let owner = postgres.owner(&database).await;
    assert_eq!(
        number(&owner, "SELECT count(*) FROM prices").await,
        i64::try_from(rows).unwrap()
    );
}

/// As a person may set them in `database.parameters`, or for a database.
async fn no_default_of_the_server_is_in_the_way(postgres: Arc<Postgres>) {
    let database = postgres.loaded(rates_api::seed::dump::BUNDLED).await;
    let admin = postgres.admin("postgres").await;
    for setting in [
        "quote_all_identifiers = on",
        "default_transaction_isolation = serializable",
        "default_transaction_read_only = on",
        "default_transaction_deferrable = on",
        "search_path = nowhere",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "standard_conforming_strings = off",
        "array_nulls = off",
        "transform_null_equals = on",
        "default_table_access_method = none",
        "DateStyle = 'German'",
        "IntervalStyle = iso_8601",
        "TimeZone = 'Asia/Kathmandu'",
        "extra_float_digits = -15",
        "bytea_output = escape",
        "client_min_messages = error",
    ] {
        let set = format!("ALTER DATABASE {database} SET {setting}");
        admin.batch_execute(&set).await.unwrap();
    }
    assert_eq!(postgres.migrate(&database).await.applied, all());

    let ingest = Ingest::of(&postgres, database, &[]).await;
    let body = csv([("2022-05-01", 5), ("2022-05-01", 6), ("2022-05-01", 7)]);
    assert_eq!(ingest.post(&[CSV], body).await.status, 201);
    let day = ingest.day(ORIGIN, DESTINATION, "2022-05-01").await;
    assert_eq!(day, (json!(3), json!(6.0)));
}

async fn a_second_run_does_nothing(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let finished = run(&["migrate", "--database-uri", &postgres.owner_uri(&database)]).await;
    assert_eq!(
        finished.report(),
        json!({ "outcome": "succeeded", "schemaVersion": latest(), "applied": [] })
    );
}

async fn runs_at_the_same_time_apply_each_migration_once(postgres: Arc<Postgres>) {
    let database = postgres.loaded(rates_api::seed::dump::BUNDLED).await;
    let uri = postgres.owner_uri(&database);
    let arguments = ["migrate", "--database-uri", &uri];
    let children: Vec<_> = (0..5)
        .map(|_| {
            command(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut applied = Vec::new();
    for child in children {
        let finished = finish(child).await;
        assert!(finished.success, "{}", finished.message);
        applied.extend(
            finished.report()["applied"]
                .as_array()
                .unwrap()
                .iter()
                .map(|version| version.as_i64().unwrap()),
        );
    }
    applied.sort_unstable();
    assert_eq!(applied, all().into_iter().map(i64::from).collect::<Vec<_>>());
}

/// The known migrations and one more that needs the table for itself.
fn with_an_exclusive_one() -> Vec<Migration> {
    let sql = "-- compatible-with: 1\n\nALTER TABLE rates_internal.seed_prices ADD COLUMN note text";
    let mut migrations = migrations().unwrap().to_vec();
    migrations.push(Migration::parse("9000_note", sql).unwrap());
    migrations
}

async fn a_waiting_migration_holds_up_no_reader_and_is_applied_when_the_lock_is_free(
    postgres: Arc<Postgres>,
) {
    let database = postgres.seeded().await;
    let long = postgres.owner(&database).await;
    long.batch_execute("BEGIN; SELECT FROM prices LIMIT 1")
        .await
        .unwrap();

    let address = Address::Uri(postgres.owner_uri(&database));
    let running =
        tokio::spawn(async move { migrate(&address, None, &with_an_exclusive_one(), &options(60)).await });
    let admin = postgres.admin(&database).await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rates_internal.seed_prices'::regclass";
    let reader = postgres.owner(&database).await;
    for _ in 0..3 {
        eventually("the migration waits", SOON, async || {
            (number(&admin, waiting).await > 0).then_some(())
        })
        .await;
        let started = Instant::now();
        number(
            &reader,
            "SELECT count(*) FROM (SELECT FROM prices LIMIT 1) AS one",
        )
        .await;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a reader waited {:?}",
            started.elapsed()
        );
    }
    assert!(!running.is_finished());

    long.batch_execute("COMMIT").await.unwrap();

    assert_eq!(running.await.unwrap().unwrap().applied, [9000]);
}

async fn a_run_that_was_killed_while_building_an_index_is_repaired(postgres: Arc<Postgres>) {
    let database = postgres.loaded(rates_api::seed::dump::BUNDLED).await;
    let writer = postgres.owner(&database).await;
    writer.batch_execute("BEGIN; INSERT INTO regions VALUES ('x', 'x', NULL); UPDATE prices SET price = price WHERE day = '2021-01-01'").await.unwrap();
    let uri = postgres.owner_uri(&database);
    let arguments = ["migrate", "--database-uri", &uri];
    let mut killed = command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let admin = postgres.admin(&database).await;
    let building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting for writers%'";
    eventually("the index is being built", SOON, async || {
        (number(&admin, building).await == 1).then_some(())
    })
    .await;

    killed.kill().unwrap();
    killed.wait().unwrap();
    // The backend does not notice that its client is gone; a server that crashes or fails over ends it half-way.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_progress_create_index WHERE datname = current_database()";
    assert_eq!(number(&admin, end).await, 1);
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    eventually("an invalid index is left", SOON, async || {
        (number(&admin, invalid).await == 1).then_some(())
    })
    .await;
    writer.batch_execute("ROLLBACK").await.unwrap();

    let finished = run(&arguments).await;

    assert!(finished.success, "{}", finished.message);
    assert_eq!(number(&admin, invalid).await, 0);
    assert_eq!(finished.report()["schemaVersion"], latest());
}

async fn an_index_left_invalid_is_built_again(postgres: Arc<Postgres>) {
    let database = postgres.loaded(rates_api::seed::dump::BUNDLED).await;
    let admin = postgres.admin(&database).await;
    let leave = "CREATE INDEX prices_by_pair_and_day ON prices (orig_code, dest_code, day) INCLUDE (price);
                 ALTER INDEX prices_by_pair_and_day OWNER TO rates_owner;
                 UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'prices_by_pair_and_day'::regclass";
    // An index belongs to its table's owner; the middle statement is refused where it cannot differ.
    for statement in leave.split(';') {
        let _ = admin.batch_execute(statement).await;
    }
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(number(&admin, invalid).await, 1);

    postgres.migrate(&database).await;

    assert_eq!(number(&admin, invalid).await, 0);
    assert_eq!(
        number(
            &admin,
            "SELECT count(*) FROM pg_indexes WHERE indexname = 'prices_by_pair_and_day'"
        )
        .await,
        1
    );
}

async fn a_migration_that_was_changed_is_an_error(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let owner = postgres.owner(&database).await;
    owner
        .batch_execute("UPDATE rates_internal.migrations SET checksum = 'sha256:0' WHERE version = 1")
        .await
        .unwrap();

    let finished = run(&["migrate", "--database-uri", &postgres.owner_uri(&database)]).await;

    assert!(!finished.success);
    let message = finished.report()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("migration 1 was applied as sha256:0"),
        "{message}"
    );
}

async fn a_newer_schema_is_left_alone(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let address = Address::Uri(postgres.owner_uri(&database));
    migrate(&address, None, &with_an_exclusive_one(), &options(60))
        .await
        .unwrap();

    let finished = run(&["migrate", "--database-uri", &postgres.owner_uri(&database)]).await;

    assert_eq!(
        finished.report(),
        json!({ "outcome": "succeeded", "schemaVersion": 9000, "applied": [] })
    );
}

async fn a_table_of_another_form_is_refused_with_a_sentence(postgres: Arc<Postgres>) {
    let database = postgres.empty().await;
    let owner = postgres.owner(&database).await;
    owner
        .batch_execute("CREATE TABLE prices (orig_code text, dest_code text, day timestamp, price integer)")
        .await
        .unwrap();

    let finished = run(&["migrate", "--database-uri", &postgres.owner_uri(&database)]).await;

    let message = finished.report()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("table public.prices needs a column \"day\" of type date, and has one of type timestamp without time zone"),
        "{message}"
    );
    assert_eq!(
        number(&owner, "SELECT count(*) FROM rates_internal.migrations").await,
        0
    );
}

async fn a_server_that_is_not_there_is_waited_for_until_the_deadline(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let database = postgres.empty().await;
    postgres.stop(nix::sys::signal::Signal::SIGINT);
    let uri = postgres.owner_uri(&database);

    let finished = run(&["migrate", "--database-uri", &uri, "--deadline-seconds", "0.5"]).await;
    assert!(!finished.success);
    let message = finished.report()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("cannot connect to the database") && message.contains("refused"),
        "{message}"
    );

    let waiting = command(&["migrate", "--database-uri", &uri])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    postgres.start_again();
    let finished = finish(waiting).await;
    assert!(finished.success, "{}", finished.message);
}

async fn a_database_that_does_not_exist_is_an_error_at_once(postgres: Arc<Postgres>) {
    let address = Address::Uri(postgres.owner_uri("not_there"));
    let error = migrate(&address, None, migrations().unwrap(), &options(60))
        .await
        .unwrap_err();
    assert!(matches!(error, MigrateError::Connect(_)), "{error}");
}
