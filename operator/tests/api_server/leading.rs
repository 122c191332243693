//! The lease: one leads at a time, whatever happens, and the next one follows soon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rates_operator::leader::{Candidate, Timing, Waiting};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::line::Line;
use crate::server::{self, Server};

const NAME: &str = "rates-operator";

/// So slow that only a watch can be quick.
const SLOW: Timing = Timing {
    lease_seconds: 120,
    deadline: Duration::from_secs(100),
    period: Duration::from_mins(1),
};
const QUICK: Timing = Timing {
    lease_seconds: 2,
    deadline: Duration::from_millis(1300),
    period: Duration::from_millis(200),
};

fn candidate(client: &Client, namespace: &str, identity: &str, timing: Timing) -> Candidate {
    Candidate::new(client.clone(), namespace, NAME, identity.to_owned(), timing)
}

#[expect(clippy::needless_pass_by_value, reason = "what a candidate calls")]
fn nobody(waiting: Waiting) {
    panic!("nothing to wait for, but: {waiting:?}");
}

/// A candidate that waits, in a task of its own; and what it says it waits for.
fn waiting(
    candidate: Candidate,
) -> (
    tokio::task::JoinHandle<Candidate>,
    mpsc::UnboundedReceiver<Waiting>,
) {
    let (told, waits_for) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        // Nobody may be listening any more.
        candidate.acquire(|what| drop(told.send(what))).await;
        candidate
    });
    (task, waits_for)
}

fn holder(name: &str) -> Waiting {
    Waiting::Holder(name.to_owned())
}

#[tokio::test]
async fn who_gives_the_lease_up_is_followed_at_once() {
    let server = server::shared();
    let namespace = server.namespace("giving-up").await;
    let client = server.client().await;
    let first = candidate(&client, &namespace, "first", SLOW);
    first.acquire(nobody).await;
    // A restarted container of the same pod need not wait.
    let held = candidate(&client, &namespace, "first", SLOW)
        .acquire(nobody)
        .await;

    let (taking, mut waits_for) = waiting(candidate(&client, &namespace, "second", SLOW));
    assert_eq!(waits_for.recv().await.unwrap(), holder("first"));
    // A change that is none of it makes it neither give up nor hurry.
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let note = Patch::Merge(json!({"metadata": {"annotations": {"note": "of a person"}}}));
    leases.patch(NAME, &PatchParams::default(), &note).await.unwrap();
    assert_eq!(waits_for.recv().await.unwrap(), holder("first"));

    let released = Instant::now();
    first.release().await;
    timeout(Duration::from_secs(10), taking)
        .await
        .expect("long before the lease ends")
        .unwrap();
    println!("handed over in {} ms", released.elapsed().as_millis());

    let renewing = Timing {
        period: QUICK.period,
        ..SLOW
    };
    let first = candidate(&client, &namespace, "first", renewing);
    let lost = timeout(Duration::from_secs(10), first.keep(held)).await.unwrap();
    assert_eq!(lost.to_string(), "the lease was taken by second");
}

#[tokio::test]
async fn who_vanishes_is_followed_when_the_lease_expires_and_not_before() {
    let server = server::shared();
    let namespace = server.namespace("vanishing").await;
    let client = server.client().await;
    let renewed = Instant::now();
    candidate(&client, &namespace, "first", QUICK)
        .acquire(nobody)
        .await;
    let (taking, _waits_for) = waiting(candidate(&client, &namespace, "second", QUICK));
    timeout(Duration::from_secs(10), taking)
        .await
        .expect("it expires")
        .unwrap();
    let after = renewed.elapsed();
    assert!(after >= Duration::from_secs(2), "after {after:?}");
}

#[tokio::test]
async fn a_lease_that_somebody_deletes_stays_with_its_holder() {
    let server = server::shared();
    let namespace = server.namespace("deleting").await;
    let client = server.client().await;
    let first = candidate(&client, &namespace, "first", QUICK);
    let held = first.acquire(nobody).await;
    let keeping = tokio::spawn(async move { first.keep(held).await });
    let (taking, mut waits_for) = waiting(candidate(&client, &namespace, "second", QUICK));
    assert_eq!(waits_for.recv().await.unwrap(), holder("first"));

    let leases: Api<Lease> = Api::namespaced(client, &namespace);
    leases
        .delete(NAME, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let made_again = async {
        while leases.get_opt(NAME).await.unwrap().is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), made_again)
        .await
        .expect("it is made again");
    let spec = leases.get(NAME).await.unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("first"));
    assert!(!taking.is_finished() && !keeping.is_finished());
    taking.abort();
    keeping.abort();
}

#[tokio::test]
async fn after_a_lease_was_deleted_a_fresh_candidate_leads_and_the_holder_notices_within_a_period() {
    let server = server::shared();
    let namespace = server.namespace("deleting-fresh").await;
    let client = server.client().await;
    let renewing = Timing {
        period: Duration::from_secs(1),
        ..SLOW
    };
    let first = candidate(&client, &namespace, "first", renewing);
    let held = first.acquire(nobody).await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    leases
        .delete(NAME, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    // It has seen no lease, and cannot know of the holder.
    let fresh = candidate(&client, &namespace, "fresh", renewing);
    let held_by_fresh = fresh.acquire(nobody).await;
    let both = Instant::now();
    let lost = timeout(Duration::from_secs(10), first.keep(held)).await.unwrap();
    assert_eq!(lost.to_string(), "the lease was taken by fresh");
    // One attempt after one period; the rest is for a machine that does a lot beside.
    assert!(
        both.elapsed() < Duration::from_secs(8),
        "after {:?}",
        both.elapsed()
    );
    // And it is the fresh one's to keep.
    assert!(
        timeout(Duration::from_secs(2), fresh.keep(held_by_fresh))
            .await
            .is_err()
    );
}

/// A holder whose clock is wrong by some hours: the lease as it writes it.
fn of_another_time(hours: i64) -> LeaseSpec {
    let then = Timestamp::now() + hours.hours();
    LeaseSpec {
        holder_identity: Some("elsewhere".to_owned()),
        lease_duration_seconds: Some(2),
        acquire_time: Some(MicroTime(then)),
        renew_time: Some(MicroTime(then)),
        ..LeaseSpec::default()
    }
}

#[tokio::test]
async fn a_holder_is_believed_by_what_it_does_and_not_by_its_clock() {
    let server = server::shared();
    for (name, hours) in [("an-hour-late", -1), ("an-hour-early", 1)] {
        let namespace = server.namespace(name).await;
        let client = server.client().await;
        let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
        let lease = Lease {
            metadata: kube::api::ObjectMeta {
                name: Some(NAME.to_owned()),
                ..Default::default()
            },
            spec: Some(of_another_time(hours)),
        };
        leases.create(&PostParams::default(), &lease).await.unwrap();
        let (taking, mut waits_for) = waiting(candidate(&client, &namespace, "here", QUICK));
        assert_eq!(waits_for.recv().await.unwrap(), holder("elsewhere"));
        // Twice the lease's time, renewed all the while.
        let until = Instant::now() + Duration::from_secs(4);
        let mut renewed = Instant::now();
        while Instant::now() < until {
            let before = Instant::now();
            let patch = Patch::Merge(json!({"spec": of_another_time(hours)}));
            leases.patch(NAME, &PatchParams::default(), &patch).await.unwrap();
            assert!(
                !taking.is_finished() || before - renewed > Duration::from_secs(1),
                "it was taken although it was renewed"
            );
            renewed = before;
            sleep(Duration::from_millis(200)).await;
        }
        timeout(Duration::from_secs(10), taking)
            .await
            .expect("taken once it is renewed no more")
            .unwrap();
        assert!(
            renewed.elapsed() >= Duration::from_secs(2),
            "{:?}",
            renewed.elapsed()
        );
    }
}

/// How one stops to lead.
#[derive(Clone, Copy, Debug)]
enum End {
    Released,
    Vanished,
    /// It goes on as if it led, until it notices.
    CutOff,
}

/// Leads once, and ends in some way. Counts itself among those who lead for as long as it could write.
async fn lead_once(server: &Server, namespace: &str, identity: &str, end: End, leading: &AtomicUsize) {
    let line = Line::to(server).await;
    let (_, config) = server.by_way_of(line.port).await;
    let client = Client::try_from(config).unwrap();
    let candidate = candidate(&client, namespace, identity, QUICK);
    let held = candidate.acquire(drop).await;
    assert_eq!(
        leading.fetch_add(1, Ordering::SeqCst),
        0,
        "{identity} is not alone"
    );
    let keeping = candidate.keep(held);
    match end {
        End::Released => {
            let _ = timeout(Duration::from_millis(300), keeping).await;
            leading.fetch_sub(1, Ordering::SeqCst);
            candidate.release().await;
        }
        End::Vanished => {
            let _ = timeout(Duration::from_millis(300), keeping).await;
            leading.fetch_sub(1, Ordering::SeqCst);
        }
        End::CutOff => {
            line.cut();
            let lost = timeout(Duration::from_secs(10), keeping).await;
            leading.fetch_sub(1, Ordering::SeqCst);
            let lost = lost.map(|lost| lost.to_string());
            assert_eq!(lost.unwrap(), "the lease could not be renewed in time");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_never_lead_at_once_however_they_end() {
    let server = server::shared();
    let namespace = server.namespace("never-two").await;
    let leading = Arc::new(AtomicUsize::new(0));
    let contenders: Vec<_> = [
        [End::Released, End::CutOff, End::Vanished],
        [End::Vanished, End::Released, End::CutOff],
        [End::CutOff, End::Released, End::Released],
    ]
    .into_iter()
    .enumerate()
    .map(|(number, ends)| {
        let (namespace, leading) = (namespace.clone(), leading.clone());
        tokio::spawn(async move {
            for (life, end) in ends.into_iter().enumerate() {
                lead_once(server, &namespace, &format!("{number}-{life}"), end, &leading).await;
            }
        })
    })
    .collect();
    for contender in contenders {
        timeout(Duration::from_secs(90), contender)
            .await
            .expect("each of them leads in its turn")
            .unwrap();
    }
    assert_eq!(leading.load(Ordering::SeqCst), 0);
}
