//! `rates-api publish`: a whole scratch database becomes the served one, once, whatever attempts run beside.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use crate::support::http::EXAMPLE;
use crate::support::postgres::{Postgres, number};
use crate::support::program::{Finished, Service, command, finish, run};
use crate::support::{SOON, dump, eventually, tests};

tests![
    a_loaded_database_is_migrated_and_served_under_the_name,
    what_was_copied_is_reported,
    a_second_attempt_reports_what_is_there_and_drops_nothing,
    of_attempts_at_the_same_time_one_wins_and_all_succeed,
    a_load_that_did_not_finish_is_not_published,
    a_scratch_database_that_is_gone_is_named,
    a_load_that_runs_beside_is_waited_for,
    a_load_beside_that_fails_or_is_killed_ends_the_wait_and_is_left_to_say_why,
    a_database_that_no_seed_made_is_left_alone,
    the_bundled_dump_is_written_whole,
];

/// A name for the served database and ids for attempts that no other test uses.
struct Case {
    postgres: Arc<Postgres>,
    target: String,
    number: u32,
}

impl Case {
    fn new(postgres: Arc<Postgres>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            postgres,
            target: format!("served_{number}"),
            number,
        }
    }

    fn attempt(&self, which: u32) -> String {
        format!("{:08x}-{which:04x}-4e6f-8a9b-0c1d2e3f4a5b", self.number)
    }

    fn scratch(&self, which: u32) -> String {
        format!("rates_seed_{:08x}{which:04x}", self.number)
    }

    /// What the loader of an attempt leaves, with or without the marker that it writes last.
    async fn load(&self, which: u32, marker: bool) {
        let scratch = self.scratch(which);
        let admin = self.postgres.admin("postgres").await;
        admin
            .batch_execute(&format!(
                "CREATE DATABASE {scratch} OWNER rates_owner TEMPLATE template1"
            ))
            .await
            .unwrap();
        let owner = self.postgres.owner(&scratch).await;
        dump::load(&owner, rates_api::seed::dump::BUNDLED).await;
        let mut statements = "CREATE SCHEMA rates_internal; CREATE TABLE rates_internal.seed (source text NOT NULL,
             checksum text NOT NULL, rows bigint NOT NULL, seconds double precision NOT NULL, seeded_at timestamptz NOT NULL);"
            .to_owned();
        if marker {
            statements.push_str("INSERT INTO rates_internal.seed SELECT 'bundled', 'sha256:ab', count(*), 1.5, now() FROM prices");
        }
        owner.batch_execute(&statements).await.unwrap();
    }

    async fn publish(&self, which: u32) -> Finished {
        let uri = self.postgres.owner_uri(&self.target);
        run(&[
            "publish",
            "--attempt",
            &self.attempt(which),
            "--database-uri",
            &uri,
            "--deadline-seconds",
            "60",
        ])
        .await
    }

    /// Publishes after a load that keeps this file locked.
    fn publish_after(&self, file: &Path) -> Child {
        let uri = self.postgres.owner_uri(&self.target);
        let attempt = self.attempt(1);
        let file = file.to_str().unwrap();
        command(&[
            "publish",
            "--attempt",
            &attempt,
            "--database-uri",
            &uri,
            "--after",
            file,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
    }

    async fn exists(&self, database: &str) -> bool {
        let admin = self.postgres.admin("postgres").await;
        number(
            &admin,
            &format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'"),
        )
        .await
            == 1
    }
}

async fn a_loaded_database_is_migrated_and_served_under_the_name(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    case.load(1, true).await;

    let finished = case.publish(1).await;

    let rows = number(
        &*case.postgres.owner(&case.target).await,
        "SELECT count(*) FROM prices",
    )
    .await;
    let schema_version = rates_api::migrations::migrations()
        .unwrap()
        .last()
        .unwrap()
        .version;
    assert_eq!(
        finished.report(),
        json!({
            "outcome": "succeeded", "source": "bundled", "checksum": "sha256:ab", "rows": rows, "seconds": 1.5,
            "schemaVersion": schema_version, "alreadySeeded": false,
        })
    );
    assert!(!case.exists(&case.scratch(1)).await);
    let service = Service::ready(&case.postgres.uri(&case.target), &[]).await;
    assert_eq!(service.get(EXAMPLE).await.json()["rates"][0]["count"], 3);
}

async fn what_was_copied_is_reported(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    case.load(1, true).await;
    let copied = json!({
        "position": "0/5A3F2C8", "at": "2031-03-04T05:06:07Z", "rows": {"ports": 2, "regions": 1, "prices": 9},
        "masks": ["prices: noise 20 %"], "sample": 10,
    });
    let owner = case.postgres.owner(&case.scratch(1)).await;
    owner
        .batch_execute(&format!(
            "ALTER TABLE rates_internal.seed ADD COLUMN copied jsonb; UPDATE rates_internal.seed SET copied = '{copied}'"
        ))
        .await
        .unwrap();
    drop(owner);
    assert_eq!(case.publish(1).await.report()["copied"], copied);

    // What a report has no room for is left out of it.
    let served = case.postgres.owner(&case.target).await;
    served
        .batch_execute("UPDATE rates_internal.seed SET copied = to_jsonb(repeat('x', 3000))")
        .await
        .unwrap();
    drop(served);
    let report = case.publish(1).await.report();
    assert_eq!(
        (&report["outcome"], report.get("copied")),
        (&json!("succeeded"), None)
    );
}

async fn a_second_attempt_reports_what_is_there_and_drops_nothing(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    case.load(1, true).await;
    assert!(case.publish(1).await.success);
    case.load(2, true).await;

    for which in [1, 2, 3] {
        let report = case.publish(which).await.report();
        assert_eq!(
            (&report["outcome"], &report["alreadySeeded"]),
            (&json!("succeeded"), &json!(true)),
            "{report}"
        );
    }
    assert!(case.exists(&case.scratch(2)).await);
}

async fn of_attempts_at_the_same_time_one_wins_and_all_succeed(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    for which in 1..=4 {
        case.load(which, true).await;
    }
    let reports = futures::future::join_all((1..=4).map(|which| case.publish(which))).await;
    let fresh = reports
        .iter()
        .filter(|finished| finished.report()["alreadySeeded"] == false)
        .count();
    for finished in &reports {
        assert!(finished.success, "{}", finished.message);
    }
    assert_eq!(fresh, 1);
    let owner = case.postgres.owner(&case.target).await;
    assert_eq!(
        number(&owner, "SELECT count(*) FROM rates_internal.seed").await,
        1
    );
}

async fn a_load_that_did_not_finish_is_not_published(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    case.load(1, false).await;
    let finished = case.publish(1).await;
    assert!(!finished.success);
    let message = finished.report()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains(&case.scratch(1)) && message.contains("did not finish"),
        "{message}"
    );
    assert!(!case.exists(&case.target).await);
}

async fn a_scratch_database_that_is_gone_is_named(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    let finished = case.publish(1).await;
    assert!(!finished.success);
    assert!(
        finished.message.contains(&case.scratch(1)),
        "{}",
        finished.message
    );
}

/// As a load makes its file: locked before it has its name.
fn load_begins(path: &Path) -> File {
    let new = path.with_extension("new");
    let file = File::create(&new).unwrap();
    file.lock().unwrap();
    fs::rename(&new, path).unwrap();
    file
}

/// Whether a process waits for a lock, as the kernel tells.
async fn until_it_waits_for_a_lock(process: &Child) {
    let stacks = format!("/proc/{}/task", process.id());
    eventually("it waits for the lock", SOON, async || {
        let mut tasks = fs::read_dir(&stacks).unwrap().flatten();
        tasks
            .any(|task| {
                let call = fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
                call.split(' ').next() == Some(&nix::libc::SYS_flock.to_string())
            })
            .then_some(())
    })
    .await;
}

async fn a_load_that_runs_beside_is_waited_for(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    let publish = case.publish_after(&path);
    let mut load = load_begins(&path);
    until_it_waits_for_a_lock(&publish).await;
    // Only now is there anything to publish, and a moment later all of it.
    case.load(1, true).await;
    assert!(!case.exists(&case.target).await);

    load.write_all(b"done\n").unwrap();
    drop(load);

    let report = finish(publish).await.report();
    assert_eq!(report["outcome"], "succeeded", "{report}");
    assert!(case.exists(&case.target).await);
    // One that comes again, when the load has long ended, finds its work done.
    let report = finish(case.publish_after(&path)).await.report();
    assert_eq!(report["alreadySeeded"], true, "{report}");
}

async fn a_load_beside_that_fails_or_is_killed_ends_the_wait_and_is_left_to_say_why(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    let load = load_begins(&path);
    let publish = case.publish_after(&path);
    until_it_waits_for_a_lock(&publish).await;
    // As the kernel does for a process that is gone.
    drop(load);
    // And one that comes later.
    for publish in [publish, case.publish_after(&path)] {
        let finished = finish(publish).await;
        assert!(!finished.success);
        assert_eq!(finished.report()["outcome"], "skipped", "{}", finished.message);
    }
    assert!(!case.exists(&case.target).await);
}

async fn a_database_that_no_seed_made_is_left_alone(postgres: Arc<Postgres>) {
    let case = Case::new(postgres);
    let admin = case.postgres.admin("postgres").await;
    admin
        .batch_execute(&format!("CREATE DATABASE {} OWNER rates_owner", case.target))
        .await
        .unwrap();
    case.load(1, true).await;
    let finished = case.publish(1).await;
    assert!(!finished.success);
    assert!(
        finished.message.contains("has no seed marker"),
        "{}",
        finished.message
    );
    assert!(case.exists(&case.scratch(1)).await);
}

async fn the_bundled_dump_is_written_whole(_: Arc<Postgres>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump.sql");
    let finished = run(&["dump", "--output", path.to_str().unwrap()]).await;
    assert!(finished.success, "{}", finished.message);
    assert_eq!(fs::read_to_string(path).unwrap(), rates_api::seed::dump::BUNDLED);
    assert!(!run(&["dump", "--output", "/nowhere/dump.sql"]).await.success);
}
