//! What fills one resource of an environment, until it is told to stop.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use client::environment::Environment;
use client::service;

/// Set once the load is over.
pub type Stop = AtomicBool;

/// Each request of a load may find pods that are just being replaced by the remedy.
const PAUSE: Duration = Duration::from_millis(200);

fn going(stop: &Stop) -> bool {
    !stop.load(Ordering::Relaxed)
}

/// Runs the same so many times side by side, again and again. What fails is tried again: a remedy replaces pods.
fn side_by_side(count: usize, stop: &Stop, act: impl Fn() -> Result<()> + Sync) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while going(stop) {
                    if act().is_err() {
                        thread::sleep(PAUSE);
                    }
                }
            });
        }
    });
}

/// Reads as fast as they are answered.
pub fn reads(environment: &Environment, stop: &Stop) -> Result<()> {
    let client = environment.client()?;
    side_by_side(8, stop, || {
        client
            .rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-31")
            .map(drop)
    });
    Ok(())
}

/// Batches of callers that send a row a second.
pub fn slow_batches(environment: &Environment, stop: &Stop) -> Result<()> {
    let token = environment.ingest_token()?;
    side_by_side(3, stop, || {
        let address = service::address(&environment.kubectl, &format!("{}-api", environment.name))?;
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "POST /batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: text/csv\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        )?;
        chunk(&mut stream, "orig_code,dest_code,day,price\n")?;
        let until = Instant::now() + Duration::from_mins(1);
        while going(stop) && Instant::now() < until {
            chunk(&mut stream, "CNGGZ,EETLL,2039-01-01,1000\n")?;
            thread::sleep(Duration::from_secs(1));
        }
        write!(stream, "0\r\n\r\n")?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let _ = stream.read(&mut [0; 512])?;
        Ok(())
    });
    Ok(())
}

fn chunk(stream: &mut TcpStream, text: &str) -> Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len()).context("the connection was closed")
}

/// Small batches, one after the other.
pub fn batches(environment: &Environment, stop: &Stop) -> Result<()> {
    let (client, token) = (environment.client()?, environment.ingest_token()?);
    side_by_side(4, stop, || {
        let csv = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2039-01-02,1000\n";
        client.post_csv(&token, &[], csv).map(drop)
    });
    Ok(())
}

/// Sessions that calculate and neither read nor write.
#[expect(clippy::unnecessary_wraps, reason = "as every load")]
pub fn calculations(environment: &Environment, stop: &Stop) -> Result<()> {
    side_by_side(3, stop, || {
        environment
            .psql("SELECT count(*) FROM generate_series(1, 30000000)")
            .map(drop)
    });
    Ok(())
}

/// Whether [`commits`] commits only once for all rows of a statement.
static LESS_OFTEN: AtomicBool = AtomicBool::new(false);

/// Sessions that each commit one row after the other.
#[expect(clippy::unnecessary_wraps, reason = "as every load")]
pub fn commits(environment: &Environment, stop: &Stop) -> Result<()> {
    let day = AtomicU64::new(0);
    LESS_OFTEN.store(false, Ordering::Relaxed);
    side_by_side(8, stop, || {
        let day = day.fetch_add(1, Ordering::Relaxed) % 300;
        let commit = if LESS_OFTEN.load(Ordering::Relaxed) {
            ""
        } else {
            "COMMIT;"
        };
        environment
            .psql(&format!(
                "DO $$ BEGIN FOR price IN 1..2000 LOOP INSERT INTO prices VALUES \
                 ('CNGGZ', 'EETLL', date '2038-01-01' + {day}, price); {commit} END LOOP; END $$"
            ))
            .map(drop)
    });
    Ok(())
}

/// What callers do who send large batches in place of single prices.
#[expect(clippy::unnecessary_wraps, reason = "as every remedy")]
pub fn commit_less_often(_: &Environment) -> Result<()> {
    LESS_OFTEN.store(true, Ordering::Relaxed);
    Ok(())
}

/// The number of the lock that one session holds and others wait for.
const LOCK: &str = "4711";

/// A transaction that holds a lock, and others that want it.
pub fn waiting_for_a_lock(environment: &Environment, stop: &Stop) -> Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = environment.psql(&format!("SELECT pg_advisory_lock({LOCK}), pg_sleep(600)"));
        });
        side_by_side(3, stop, || {
            environment
                .psql(&format!("SELECT pg_advisory_xact_lock({LOCK}), pg_sleep(0.05)"))
                .map(drop)
        });
        release(environment)
    })
}

/// Ends the session that holds the lock; the login may end its own.
pub fn release(environment: &Environment) -> Result<()> {
    environment
        .psql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND granted"
        ))
        .map(drop)
}

/// The standby's pod.
pub fn standby(environment: &Environment) -> Result<String> {
    let pods = environment.kubectl.list(
        "pods",
        &format!(
            "app.kubernetes.io/instance={},rates.internal/role=replica",
            environment.name
        ),
    )?;
    Ok(pods
        .first()
        .and_then(|pod| pod["metadata"]["name"].as_str())
        .context("there is no standby")?
        .to_owned())
}

/// Batches that a stopped standby does not confirm.
pub fn unconfirmed_batches(environment: &Environment, stop: &Stop) -> Result<()> {
    signal_all(environment, &standby(environment)?, "STOP")?;
    batches(environment, stop)
}

/// Sends a signal to all processes of a database container but its first one.
pub fn signal_all(environment: &Environment, pod: &str, signal: &str) -> Result<()> {
    let command = format!("kill -{signal} -1");
    environment
        .kubectl
        .run(["exec", pod, "--container", "postgres", "--", "sh", "-c", &command])
        .map(drop)
}

/// A file on the volume that leaves a twentieth of it. Some of what is free only root may use.
pub fn filled_volume(environment: &Environment, stop: &Stop) -> Result<()> {
    fill(environment, &first(environment))?;
    while going(stop) {
        thread::sleep(PAUSE);
    }
    empty_volume(environment)
}

pub fn empty_volume(environment: &Environment) -> Result<()> {
    empty(environment, &first(environment))
}

fn first(environment: &Environment) -> String {
    format!("{}-postgres-0", environment.name)
}

/// Leaves a twentieth of the volume of a pod.
pub fn fill(environment: &Environment, pod: &str) -> Result<()> {
    let fill = "size=$(df --output=size -k /data | tail -1); free=$(df --output=avail -k /data | tail -1); \
                fallocate -l $(( free - size / 20 ))k /data/filling";
    in_database(environment, pod, fill)
}

pub fn empty(environment: &Environment, pod: &str) -> Result<()> {
    in_database(environment, pod, "rm -f /data/filling")
}

fn in_database(environment: &Environment, pod: &str, script: &str) -> Result<()> {
    environment
        .kubectl
        .run(["exec", pod, "--container", "postgres", "--", "sh", "-c", script])
        .map(drop)
}

/// So little that the failures of a failover are below what wakes somebody: ten reads, or five batches, in an hour.
const READ_EVERY: Duration = Duration::from_secs(3);
const BATCH_EVERY: Duration = Duration::from_secs(30);

/// A read and a small batch now and then. What fails is not sent again.
pub fn sporadic(environment: &Environment, stop: &Stop) -> Result<()> {
    let (client, token) = (environment.client()?, environment.ingest_token()?);
    let csv = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2039-01-03,1000\n";
    thread::scope(|scope| {
        scope.spawn(|| {
            every(READ_EVERY, stop, || {
                let _ = client.rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-31");
            });
        });
        every(BATCH_EVERY, stop, || {
            let _ = client.post_csv(&token, &[], csv);
        });
    });
    Ok(())
}

/// Again and again, with this pause after each.
fn every(pause: Duration, stop: &Stop, act: impl Fn()) {
    while going(stop) {
        act();
        let done = Instant::now();
        while going(stop) && done.elapsed() < pause {
            thread::sleep(PAUSE);
        }
    }
}
