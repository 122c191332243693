//! The load against servers that misbehave, each in its way: what is lost has to be counted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::*;
use client::dump::Dump;
use client::wait::{Look, until};

/// One day of one pair, and so one right answer to every question about it.
const DUMP: &str = "COPY public.prices (orig_code, dest_code, day, price) FROM stdin;\n\
    CNGGZ\tEETLL\t2021-01-02\t1\n\\.\n";

/// Requests until there are so many.
const REQUESTS: usize = 40;

/// What the load makes of a server that does this with each of its connections.
fn against(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Log {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    of(target)
}

fn of(target: SocketAddr) -> Log {
    let dump = Dump::parse(DUMP).unwrap();
    let load = Load::start(Settings {
        target,
        rate: 400.0,
        batch_every: Duration::from_hours(1),
        probe_every: None,
        overflow: false,
        token: "token".to_owned(),
        questions: Questions::of(&dump, 5, 1).unwrap(),
    })
    .unwrap();
    until("enough was asked", Duration::from_secs(20), || {
        let all = Phase {
            name: String::new(),
            from: Duration::ZERO,
            to: Duration::MAX,
        };
        let asked = load.summary(&all).requests;
        Ok(if asked >= REQUESTS {
            Look::Holds(())
        } else {
            Look::NotYet(asked.to_string())
        })
    })
    .unwrap();
    load.stop().unwrap()
}

/// Reads one request's head, and says whether there was one.
fn head(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    // HTTP/2 is not spoken here.
    !seen.starts_with(b"PRI ")
}

fn answer(stream: &mut TcpStream, body: &str, length: usize) {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    let _ = stream.write_all((head + body).as_bytes());
}

/// The verdicts on what went over HTTP/1.1.
fn verdicts(log: &Log) -> Vec<&Verdict> {
    let reads = log
        .records
        .iter()
        .filter(|record| !matches!(record.lane, Lane::Batch | Lane::Http2));
    reads.map(|record| &record.verdict).collect()
}

fn kinds(log: &Log) -> Vec<Kind> {
    let verdicts = verdicts(log);
    assert!(!verdicts.is_empty());
    verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Failed(failure) => failure.kind,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn where_nobody_listens_every_request_is_refused() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(kinds(&of(target)).iter().all(|kind| *kind == Kind::Refused));
}

#[test]
fn an_answer_that_is_cut_is_a_failure() {
    let log = against(|mut stream| {
        if head(&mut stream) {
            answer(&mut stream, "{\"rates\":", 1000);
        }
    });
    let kinds = kinds(&log);
    assert!(
        kinds
            .iter()
            .all(|kind| matches!(kind, Kind::Cut | Kind::Reset | Kind::Other)),
        "{kinds:?}"
    );
}

#[test]
fn a_connection_that_ends_without_an_answer_is_a_failure_and_the_request_is_not_sent_again() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let log = against(move |mut stream| {
        if head(&mut stream) {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let kinds = kinds(&log);
    assert!(
        kinds.iter().all(|kind| matches!(kind, Kind::Cut | Kind::Reset)),
        "{kinds:?}"
    );
    // The batches too.
    let sent = log.records.iter().filter(|record| record.lane != Lane::Http2);
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), sent.count());
}

#[test]
fn a_whole_answer_with_other_rates_is_wrong() {
    let log = against(|mut stream| {
        if head(&mut stream) {
            answer(&mut stream, "{\"rates\":[]}", 12);
        }
    });
    for verdict in verdicts(&log) {
        assert!(matches!(verdict, Verdict::Wrong(_)), "{verdict:?}");
    }
}
