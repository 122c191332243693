//! What the application's login may do in the database: rows of every table that a migration made, and nothing else.
//! All other tests that serve run with that login, too.

use std::sync::Arc;

use tokio_postgres::error::SqlState;

use crate::support::postgres::{Postgres, number};
use crate::support::tests;

tests![
    every_table_of_every_migration_is_served,
    what_is_not_a_row_is_refused,
];

async fn every_table_of_every_migration_is_served(postgres: Arc<Postgres>) {
    let session = postgres.connect(&postgres.seeded().await).await;
    let tables = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')
         AND relnamespace IN ('public'::regnamespace, 'rates_internal'::regnamespace)";
    assert!(number(&session, tables).await > 7);
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        let lacks = format!("{tables} AND NOT has_table_privilege(oid, '{privilege}')");
        assert_eq!(number(&session, &lacks).await, 0, "{privilege}");
    }
    let more = format!("{tables} AND has_table_privilege(oid, 'TRUNCATE, REFERENCES, TRIGGER')");
    assert_eq!(number(&session, &more).await, 0);
    let owned = "SELECT count(*) FROM pg_class WHERE pg_has_role(relowner, 'MEMBER')";
    assert_eq!(number(&session, owned).await, 0);
}

async fn what_is_not_a_row_is_refused(postgres: Arc<Postgres>) {
    let session = postgres.connect(&postgres.seeded().await).await;
    let refused = [
        "CREATE TABLE public.mine (n int)",
        "CREATE TABLE rates_internal.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "CREATE OR REPLACE VIEW public.prices AS SELECT 1",
        "ALTER TABLE rates_internal.batches ADD COLUMN mine int",
        "ALTER FUNCTION rates_internal.keep_sums() RENAME TO mine",
        "DROP VIEW public.prices",
        "DROP TABLE rates_internal.batches",
        "TRUNCATE rates_internal.seed_prices",
        "TRUNCATE rates_internal.sums",
        "SET ROLE rates_owner",
        "SET ROLE rates_migrator",
        "SET ROLE rates_b",
        "SET ROLE postgres",
    ];
    for statement in refused {
        let error = session.batch_execute(statement).await.expect_err(statement);
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{statement}: {error}"
        );
    }
}
