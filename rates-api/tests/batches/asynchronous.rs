//! `Prefer: respond-async`: 202 once the content is stored, and then whichever process comes by decides it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{CSV, DESTINATION, Ingest, JSON, ORIGIN, csv};
use crate::support::postgres::{Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    a_batch_is_answered_202_and_then_applied,
    a_wrong_batch_is_rejected_with_what_is_wrong,
    malformed_content_is_refused_at_once,
    a_job_outlives_the_process_that_took_it,
    a_process_that_lost_its_lease_cannot_finish,
    the_same_key_gets_the_same_answer,
    jobs_of_a_process_that_ends_are_decided_before_a_lease_runs_out,
];

const ASYNC: &str = "Prefer: respond-async";

async fn decided(ingest: &Ingest, location: &str) -> Value {
    eventually("the batch is decided", SOON, async || {
        let batch = ingest.batch(location).await;
        let status = batch["status"].as_str().unwrap();
        assert!(
            ["queued", "running", "applied", "rejected"].contains(&status),
            "{status}"
        );
        ["applied", "rejected"].contains(&status).then_some(batch)
    })
    .await
}

async fn a_batch_is_answered_202_and_then_applied(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let answer = ingest.post(&[CSV, ASYNC], csv([("2022-05-01", 7)])).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let batch = decided(&ingest, answer.header("location").unwrap()).await;
    assert_eq!((&batch["status"], &batch["rows"]), (&json!("applied"), &json!(1)));
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
}

async fn a_wrong_batch_is_rejected_with_what_is_wrong(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let answer = ingest
        .post(&[CSV, ASYNC], csv([("2022-05-01", 7), ("2022-05-01", 0)]))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let batch = decided(&ingest, answer.header("location").unwrap()).await;
    assert_eq!(batch["status"], "rejected");
    assert_eq!(batch["errors"][0]["row"], 2);
    assert_eq!(batch["errorCounts"][0]["count"], 1);
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(null));
}

async fn malformed_content_is_refused_at_once(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    assert_eq!(ingest.post(&[JSON, ASYNC], "[").await.status, 400);
}

async fn a_job_outlives_the_process_that_took_it(postgres: Arc<Postgres>) {
    let lease = ["--lease-seconds", "2"];
    let mut ingest = Ingest::start(&postgres, &lease).await;
    let owner = postgres.owner(&ingest.database).await;
    let queue = "INSERT INTO rates_internal.batches (status, token, asynchronous, lease_until, attempt, ports, checksum)
         VALUES ('running', '', true, now() + interval '2 seconds', 1, '{}', 'sha256:') RETURNING id";
    let id: i64 = owner.query_one(queue, &[]).await.unwrap().get(0);
    ingest.service.kill();

    let second = Ingest::of(&postgres, ingest.database.clone(), &lease).await;
    let batch = decided(&second, &format!("/batches/{id}")).await;
    assert_eq!(batch["status"], "applied");
    let attempt = format!("SELECT attempt::bigint FROM rates_internal.batches WHERE id = {id}");
    assert_eq!(number(&owner, &attempt).await, 2);
}

async fn a_process_that_lost_its_lease_cannot_finish(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--lease-seconds", "1"]).await;
    let answer = ingest.post(&[CSV, ASYNC], csv([("2022-05-01", 7)])).await;
    let location = answer.header("location").unwrap();
    decided(&ingest, location).await;
    // What a process would do that was frozen after its first attempt, and wakes up.
    let id: i64 = location.rsplit('/').next().unwrap().parse().unwrap();
    let owner = postgres.owner(&ingest.database).await;
    let late = format!(
        "UPDATE rates_internal.batches SET status = 'rejected' WHERE id = {id} AND status = 'running' AND attempt = 1"
    );
    assert_eq!(owner.execute(&late, &[]).await.unwrap(), 0);
    assert_eq!(ingest.batch(location).await["status"], "applied");
}

async fn the_same_key_gets_the_same_answer(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let key = "Idempotency-Key: later";
    let body = csv([("2022-05-01", 7)]);
    let first = ingest.post(&[CSV, ASYNC, key], &body).await;
    let again = ingest.post(&[CSV, ASYNC, key], &body).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.header("location"), again.header("location"));
    decided(&ingest, first.header("location").unwrap()).await;
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
    let other = ingest.post(&[CSV, ASYNC, key], csv([("2022-05-01", 8)])).await;
    assert_eq!(other.status, 422);
}

async fn jobs_of_a_process_that_ends_are_decided_before_a_lease_runs_out(postgres: Arc<Postgres>) {
    let lease = ["--lease-seconds", "60", "--drain-quiet-seconds", "0.1"];
    let mut first = Ingest::start(&postgres, &lease).await;
    let owner = postgres.owner(&first.database).await;
    // Deciding is held up: the process is caught with one job taken and the others queued.
    owner
        .batch_execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
             CREATE TRIGGER wait BEFORE UPDATE ON rates_internal.batches
                 FOR EACH ROW WHEN (NEW.status = 'applied') EXECUTE FUNCTION wait();
             SELECT pg_advisory_lock(1)",
        )
        .await
        .unwrap();
    for day in 1..=20 {
        let body = format!("orig_code,dest_code,day,price\n{ORIGIN},{DESTINATION},2022-05-{day:02},7\n");
        assert_eq!(first.post(&[CSV, ASYNC], body).await.status, 202);
    }
    let running = "SELECT count(*) FROM rates_internal.batches WHERE status = 'running'";
    eventually("a job is half decided", SOON, async || {
        (number(&owner, running).await == 1).then_some(())
    })
    .await;

    let second = Ingest::of(&postgres, first.database.clone(), &lease).await;
    first.service.terminate();
    first.service.until_logged("the listener is closed").await;
    owner.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
    let began = Instant::now();
    let applied = "SELECT count(*) FROM rates_internal.batches WHERE status = 'applied' AND attempt = 2";
    eventually("all are decided at the first attempt", SOON, async || {
        (number(&owner, applied).await == 20).then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(first.service.ended(SOON).await.success());
    assert!(first.service.log().contains("background work has stopped"));
    assert_eq!(second.day(ORIGIN, DESTINATION, "2022-05-20").await.0, json!(1));
}
