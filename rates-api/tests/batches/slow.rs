//! A slow database: a batch keeps its lease, its answer waits for no clearing, and looking at batches takes nothing from
//! those that come in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CSV, Ingest, csv, many};
use crate::support::postgres::{Open, Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    a_copy_that_takes_longer_than_the_lease_keeps_it,
    a_wrong_row_at_the_end_is_told_before_anything_is_cleared,
    orphaned_rows_are_cleared_in_slices_while_a_fold_waits,
    looking_at_batches_has_a_deadline_and_takes_no_connection_of_theirs,
];

/// The lock that what is to be slow waits for.
const GATE: i64 = 13;

/// Statements of that kind on the prices of batches wait until the session that this gives ends.
async fn gate(postgres: &Postgres, database: &str, kind: &str) -> Open {
    let admin = postgres.admin(database).await;
    let statements = format!(
        "CREATE FUNCTION public.wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$;
         CREATE TRIGGER gate BEFORE {kind} ON rates_internal.batch_prices
             FOR EACH STATEMENT EXECUTE FUNCTION public.wait_at_the_gate();
         SELECT pg_advisory_lock({GATE})"
    );
    admin.batch_execute(&statements).await.unwrap();
    admin
}

async fn a_copy_that_takes_longer_than_the_lease_keeps_it(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--lease-seconds", "0.5"]).await;
    let admin = postgres.admin(&ingest.database).await;
    let gate = gate(&postgres, &ingest.database, "INSERT").await;
    let posting = ingest.post(&[CSV], csv([("2022-05-01", 7)]));
    let watching = async {
        let lease = "SELECT coalesce(max(extract(epoch FROM lease_until) * 1000)::bigint, 0) FROM rates_internal.batches
             WHERE status = 'receiving'";
        let first = eventually("the batch is claimed", SOON, async || {
            Some(number(&admin, lease).await).filter(|until| *until > 0)
        })
        .await;
        eventually("the lease is renewed again and again", SOON, async || {
            (number(&admin, lease).await > first + 1000).then_some(())
        })
        .await;
        drop(gate);
    };
    let (answer, ()) = tokio::join!(posting, watching);
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn a_wrong_row_at_the_end_is_told_before_anything_is_cleared(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--request-timeout-seconds", "2"]).await;
    let admin = postgres.admin(&ingest.database).await;
    let gate = gate(&postgres, &ingest.database, "DELETE").await;
    // What was written before the first wrong row is to be cleared.
    let body = many(530_000) + "CNGGZ,EETLL,2023-02-01,0\n";
    let answer = ingest.post(&[CSV], &body).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let written = "SELECT count(*) FROM rates_internal.batch_prices";
    assert!(number(&admin, written).await > 0);
    drop(gate);
    eventually("it is cleared", SOON, async || {
        (number(&admin, written).await == 0).then_some(())
    })
    .await;
    let kept = "SELECT count(*) FROM rates_internal.batches WHERE status = 'rejected'";
    assert_eq!(
        number(&admin, kept).await,
        1,
        "what was wrong can still be asked for"
    );
}

async fn orphaned_rows_are_cleared_in_slices_while_a_fold_waits(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let admin = postgres.admin(&ingest.database).await;
    let orphans = "CREATE TABLE public.slices (rows bigint);
         CREATE FUNCTION public.note_slice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
             $$ BEGIN INSERT INTO public.slices SELECT count(*) FROM gone; RETURN NULL; END $$;
         CREATE TRIGGER slices AFTER DELETE ON rates_internal.batch_prices REFERENCING OLD TABLE AS gone
             FOR EACH STATEMENT EXECUTE FUNCTION public.note_slice()";
    admin.batch_execute(orphans).await.unwrap();
    let lock = "BEGIN; LOCK TABLE rates_internal.sums IN ACCESS EXCLUSIVE MODE";
    admin.batch_execute(lock).await.unwrap();
    assert_eq!(ingest.post(&[CSV], csv([("2022-05-01", 7)])).await.status, 201);
    let other = postgres.admin(&ingest.database).await;
    eventually("the fold waits", SOON, async || {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rates_internal.sums'::regclass";
        (number(&other, waiting).await > 0).then_some(())
    })
    .await;

    for status in ["abandoned", "rejected"] {
        let statement = format!(
            "WITH batch AS (
                 INSERT INTO rates_internal.batches (status, token, asynchronous) VALUES ('{status}', '', false) RETURNING id
             )
             INSERT INTO rates_internal.batch_prices
             SELECT id, (n / 100)::text, (n % 100)::text, '{{2022-05-01}}', '{{7}}', '{{1}}', '{{7}}'
             FROM batch, generate_series(1, 25000) AS n"
        );
        other.batch_execute(&statement).await.unwrap();
    }
    eventually("all are cleared", SOON, async || {
        (number(&other, "SELECT count(*) FROM rates_internal.batch_prices").await == 1).then_some(())
    })
    .await;
    eventually("an abandoned batch is forgotten", SOON, async || {
        let left = "SELECT count(*) FROM rates_internal.batches WHERE status = 'abandoned'";
        (number(&other, left).await == 0).then_some(())
    })
    .await;
    let largest = number(&other, "SELECT max(rows) FROM public.slices").await;
    assert!(
        (1..=10_000).contains(&largest),
        "{largest} rows in one transaction"
    );
    assert_eq!(
        number(&other, "SELECT sum(rows)::bigint FROM public.slices").await,
        50_000
    );
}

async fn looking_at_batches_has_a_deadline_and_takes_no_connection_of_theirs(postgres: Arc<Postgres>) {
    let times = ["--request-timeout-seconds", "3", "--max-batches", "1"];
    let ingest = Ingest::start(&postgres, &times).await;
    let applied = ingest.post(&[CSV], csv([("2022-05-01", 7)])).await;
    let location = applied.header("location").unwrap().to_owned();
    let id = location.rsplit('/').next().unwrap();
    let admin = postgres.admin(&ingest.database).await;
    // Whoever looks at this batch waits.
    let slow = format!(
        "CREATE FUNCTION public.pass(batch bigint) RETURNS boolean LANGUAGE plpgsql AS
             $$ BEGIN IF batch = {id} THEN PERFORM pg_advisory_xact_lock_shared({GATE}); END IF; RETURN true; END $$;
         CREATE POLICY gate ON rates_internal.batches USING (public.pass(id));
         ALTER TABLE rates_internal.batches ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         SELECT pg_advisory_lock({GATE})"
    );
    admin.batch_execute(&slow).await.unwrap();

    let began = Instant::now();
    let look = async |target: &str| ingest.service.get(target).await;
    let targets = ["/batches", &location].into_iter().cycle().take(16);
    let looking = futures::future::join_all(targets.map(look));
    let writing = async {
        eventually("some wait", SOON, async || {
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'";
            (number(&admin, waiting).await > 0).then_some(())
        })
        .await;
        let answer = ingest.post(&[CSV], csv([("2022-05-02", 7)])).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    let (answers, ()) = tokio::join!(looking, writing);
    for answer in answers {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    drop(admin);
    assert_eq!(ingest.batch(&location).await["status"], "applied");
}
