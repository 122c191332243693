//! The sums that reads use equal the aggregate of the prices in every snapshot, whatever was done to the prices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::postgres::{Postgres, number};
use crate::support::random::Random;
use crate::support::tests;

tests![
    sums_equal_the_aggregate_of_the_loaded_seed,
    sums_equal_the_aggregate_after_any_interleaving_of_changes,
    a_login_that_may_only_write_prices_keeps_the_sums,
    an_emptied_table_has_no_sums,
];

/// How many keys differ between the sums that reads use and the aggregate of the prices, in one snapshot.
pub const DIFFERENCES: &str = "WITH aggregate AS (
        SELECT orig_code, dest_code, day, sum(price) AS total, count(*) AS count FROM prices GROUP BY 1, 2, 3
    ), parts AS (
        SELECT orig_code, dest_code, day, total, count FROM rates_internal.sums
        UNION ALL
        SELECT g.orig_code, g.dest_code, s.day, s.total, s.count
        FROM rates_internal.batches AS b JOIN rates_internal.batch_prices AS g ON g.batch_id = b.id,
            unnest(g.days, g.totals, g.counts) AS s (day, total, count)
        WHERE b.status = 'applied' AND b.folded_at IS NULL
            AND (b.folded_orig_code IS NULL OR (g.orig_code, g.dest_code) > (b.folded_orig_code, b.folded_dest_code))
    ), sums AS (
        SELECT orig_code, dest_code, day, sum(total)::bigint AS total, sum(count)::bigint AS count FROM parts GROUP BY 1, 2, 3
    )
    SELECT count(*) FROM (
        (SELECT * FROM aggregate EXCEPT SELECT * FROM sums) UNION ALL (SELECT * FROM sums EXCEPT SELECT * FROM aggregate)
    ) AS different";

async fn sums_equal_the_aggregate_of_the_loaded_seed(postgres: Arc<Postgres>) {
    let owner = postgres.owner(&postgres.seeded().await).await;
    assert!(number(&owner, "SELECT count(*) FROM rates_internal.sums").await > 10_000);
    assert_eq!(number(&owner, DIFFERENCES).await, 0);
}

/// A change of a few keys that many changes meet on.
fn change(random: &mut Random) -> String {
    let codes = ["CNGGZ", "EETLL", "NLRTM"];
    let mut code = || codes[usize::try_from(random.below(3)).unwrap()];
    let (origin, destination) = (code(), code());
    let day = format!("2022-01-{:02}", 1 + random.below(4));
    let (price, rows) = (1 + random.below(2000), 1 + random.below(20));
    match random.below(6) {
        0..=2 => format!(
            "INSERT INTO rates_internal.seed_prices SELECT '{origin}', '{destination}', date '{day}' + n % 3, {price} + n FROM generate_series(1, {rows}) AS n"
        ),
        3 => format!(
            "UPDATE rates_internal.seed_prices SET price = price + 7, day = day + 1 WHERE orig_code = '{origin}' AND day = '{day}'"
        ),
        4 => format!(
            "UPDATE rates_internal.seed_prices SET dest_code = '{destination}' WHERE orig_code = '{origin}' AND day = '{day}'"
        ),
        _ => format!(
            "DELETE FROM rates_internal.seed_prices WHERE dest_code = '{destination}' AND day = '{day}'"
        ),
    }
}

async fn sums_equal_the_aggregate_after_any_interleaving_of_changes(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    postgres
        .owner(&database)
        .await
        .batch_execute("TRUNCATE rates_internal.seed_prices")
        .await
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..4_u64).map(|seed| {
        let (postgres, database) = (Arc::clone(&postgres), database.clone());
        tokio::spawn(async move {
            let owner = postgres.owner(&database).await;
            let mut random = Random(seed);
            let mut committed = 0;
            for _ in 0..60 {
                owner.batch_execute("BEGIN").await.unwrap();
                let mut failed = false;
                for _ in 0..=random.below(3) {
                    let statement = change(&mut random);
                    // Two transactions may deadlock over the prices themselves; the loser is rolled back.
                    failed = failed || owner.batch_execute(&statement).await.is_err();
                }
                let keep = !failed && random.below(4) > 0;
                owner
                    .batch_execute(if keep { "COMMIT" } else { "ROLLBACK" })
                    .await
                    .unwrap();
                committed += usize::from(keep);
            }
            committed
        })
    });
    let watching = {
        let (postgres, database, done) = (Arc::clone(&postgres), database.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let owner = postgres.owner(&database).await;
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(
                    number(&owner, DIFFERENCES).await,
                    0,
                    "in a snapshot while changes run"
                );
                looks += 1;
            }
            looks
        })
    };
    let committed: usize = futures::future::join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    done.store(true, Ordering::Relaxed);

    assert!(watching.await.unwrap() > 0);
    assert!(committed > 50, "{committed} transactions were committed");
    let owner = postgres.owner(&database).await;
    assert!(number(&owner, "SELECT count(*) FROM rates_internal.sums").await > 0);
    assert_eq!(number(&owner, DIFFERENCES).await, 0);
}

async fn a_login_that_may_only_write_prices_keeps_the_sums(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let admin = postgres.admin(&database).await;
    let grant = "DO $$ BEGIN CREATE ROLE price_writer; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                 GRANT INSERT ON prices TO price_writer; SET ROLE price_writer;
                 INSERT INTO prices VALUES ('CNGGZ', 'EETLL', '2022-01-01', 5); RESET ROLE";
    admin.batch_execute(grant).await.unwrap();
    assert_eq!(number(&admin, DIFFERENCES).await, 0);
}

async fn an_emptied_table_has_no_sums(postgres: Arc<Postgres>) {
    let owner = postgres.owner(&postgres.seeded().await).await;
    owner
        .batch_execute("DELETE FROM rates_internal.seed_prices WHERE day < '2021-03-01'")
        .await
        .unwrap();
    assert_eq!(number(&owner, DIFFERENCES).await, 0);
    owner
        .batch_execute("TRUNCATE rates_internal.seed_prices")
        .await
        .unwrap();
    assert_eq!(
        number(&owner, "SELECT count(*) FROM rates_internal.sums").await,
        0
    );
}
