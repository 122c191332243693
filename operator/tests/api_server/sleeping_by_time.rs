//! Environments that fall asleep by time, once their API was not in use for `spec.lifetime.sleepAfter`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use k8s_openapi::api::core::v1::Pod;
use rates_operator::activator_ports::ActivatorPorts;
use rates_operator::sleeping::Sleeping;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::controlling::until;
use crate::server;
use crate::sleeping::{activator, api_serves, ask, ends, falls_asleep, phase, sleep_of, spec};
use crate::stage::Stage;

fn by_time(sleep_after: &str) -> Value {
    let mut spec = spec();
    spec["lifetime"] = json!({"sleepAfter": sleep_after});
    spec
}

/// For how long an API was not in use that does not say so.
const SAYS_NOTHING: u32 = u32::MAX;

/// The metrics of an API, as its pod would give them.
struct Metrics {
    address: IpAddr,
    idle_seconds: Arc<AtomicU32>,
    asked: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl Metrics {
    async fn serve() -> Self {
        // An address of its own: the port is the same for all.
        static ADDRESSES: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let number = ADDRESSES.fetch_add(1, Ordering::SeqCst);
        let address = format!("127.{}.{}.{number}", 100 + process / 256 % 100, process % 256);
        let address: IpAddr = address.parse().unwrap();
        let listener = TcpListener::bind((address, 9090)).await.unwrap();
        let (idle_seconds, asked) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicUsize::new(0)));
        let (idle, count) = (idle_seconds.clone(), asked.clone());
        let metrics = get(move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            match idle.load(Ordering::SeqCst) {
                SAYS_NOTHING => "rates_ready 1\n# EOF\n".to_owned(),
                seconds => format!("rates_ready 1\nrates_idle_seconds {seconds}.5\n# EOF\n"),
            }
        });
        let router = Router::new().route("/metrics", metrics);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            idle_seconds,
            asked,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn an_environment_sleeps_once_none_of_its_pods_was_in_use_for_long_enough() {
    let server = server::shared();
    let mut stage = Stage::new(server, "sleeping-time").await;
    let metrics = Metrics::serve().await;
    stage.until_ready(&spec()).await;
    api_serves(&stage, &metrics.address.to_string()).await;
    activator(&stage, &["198.18.9.1"]);
    stage.settle().await;
    assert_eq!(metrics.asked(), 0, "only what sleeps by itself is asked");

    stage.specify(&by_time("10m"));
    metrics.idle_seconds.store(599, Ordering::SeqCst);
    stage.settle().await;
    let (holds, reason, message) = stage.condition("SleepsWhenIdle");
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "WaitingForIdleness"));
    assert!(message.contains("for 10m"), "{message}");
    let policy = stage.field("networkpolicy/harbour-api", "{.spec.ingress}");
    assert!(policy.contains("9090") && policy.contains("lookout"), "{policy}");
    metrics.idle_seconds.store(100, Ordering::SeqCst);
    stage.restart().await;
    activator(&stage, &["198.18.9.1"]);
    stage.settle().await;
    let asked = metrics.asked();
    for _ in 0..3 {
        assert!(stage.reconcile().await.is_empty());
    }
    assert_eq!(metrics.asked(), asked, "not before it may be due");

    metrics.idle_seconds.store(600, Ordering::SeqCst);
    stage.restart().await;
    activator(&stage, &[]);
    stage.settle().await;
    assert_eq!(phase(&stage), "Ready");
    assert_eq!(stage.condition("SleepsWhenIdle").1, "NoActivator");

    stage.restart().await;
    activator(&stage, &["198.18.9.1"]);
    falls_asleep(&stage).await;
    // Somebody wakes it: then it is in use.
    ask(&stage, "rates.internal/wake").await;
    stage.settle().await;
    stage.database_runs().await;
    metrics.idle_seconds.store(0, Ordering::SeqCst);
    api_serves(&stage, &metrics.address.to_string()).await;
    stage.settle().await;
    assert_eq!(phase(&stage), "Ready");
}

#[tokio::test]
async fn a_pod_that_is_in_use_or_silent_keeps_its_environment_awake() {
    let server = server::shared();
    let mut stage = Stage::new(server, "sleeping-awake").await;
    let (idle, used) = (Metrics::serve().await, Metrics::serve().await);
    idle.idle_seconds.store(100_000, Ordering::SeqCst);
    stage.until_ready(&by_time("1h")).await;
    api_serves(&stage, &idle.address.to_string()).await;
    stage.api_pod("harbour-api-2").await;
    let address = |ip: String| json!({"podIP": ip, "podIPs": [{"ip": ip}]});
    stage
        .set_status::<Pod>("harbour-api-2", &address(used.address.to_string()))
        .await;
    activator(&stage, &["198.18.9.1"]);
    stage.settle().await;
    assert_eq!(phase(&stage), "Ready");
    assert_eq!((idle.asked(), used.asked()), (1, 1));
    // Nobody answers there.
    let silent = format!("{}9", used.address.to_string().trim_end_matches(char::is_numeric));
    stage.set_status::<Pod>("harbour-api-2", &address(silent)).await;
    stage.restart().await;
    activator(&stage, &["198.18.9.1"]);
    stage.settle().await;
    assert_eq!(phase(&stage), "Ready");
    assert_eq!(idle.asked(), 2);
    ends(&stage, "harbour-api-2").await;
    stage.restart().await;
    activator(&stage, &["198.18.9.1"]);
    stage.settle().await;
    assert_eq!(stage.condition("Ready").1, "FallingAsleep");
}

#[tokio::test]
async fn an_api_that_does_not_say_how_long_it_was_idle_is_told_and_asked_on() {
    let mut stage = Stage::new(server::shared(), "sleeping-unknown").await;
    let ports = ActivatorPorts::DEFAULT.parse().unwrap();
    let soon = Duration::from_millis(10);
    stage.context.as_mut().unwrap().sleeping = Sleeping::new(Some("lookout".to_owned()), ports, 7, soon);
    let metrics = Metrics::serve().await;
    metrics.idle_seconds.store(SAYS_NOTHING, Ordering::SeqCst);
    stage.until_ready(&by_time("1h")).await;
    api_serves(&stage, &metrics.address.to_string()).await;
    activator(&stage, &["198.18.9.1"]);
    let reason = async || {
        stage.reconcile().await;
        stage.condition("SleepsWhenIdle").1
    };
    until("it is told", async || reason().await == "IdleUnknown").await;
    assert_eq!(metrics.asked(), 3, "one answer that is missing may pass");
    assert_eq!(
        stage.condition("SleepsWhenIdle").2,
        "it stays awake, as a pod does not say for how long it was not in use: harbour-api-1: its metrics have no \
         rates_idle_seconds: its image is older than spec.lifetime.sleepAfter"
    );
    assert_eq!(phase(&stage), "Ready");
    assert_eq!(sleep_of(&stage, "since"), "");

    metrics.idle_seconds.store(3599, Ordering::SeqCst);
    until("it says so again", async || {
        reason().await == "WaitingForIdleness"
    })
    .await;
    assert_eq!(phase(&stage), "Ready");
}
