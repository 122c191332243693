//! Environments that fall asleep by hand, and that wake, by an annotation and by a request.

use std::collections::BTreeSet;
use std::ops::Range;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use rates_operator::crd::RatesEnvironment;
use rates_operator::previews::Previews;
use rates_operator::surroundings::ActivatorPod;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::controlling::until;
use crate::server;
use crate::stage::{NAME, Stage};

pub const SLICE: &str = "harbour-api-activator";
pub const API_POD: &str = "harbour-api-1";

pub fn spec() -> Value {
    json!({"database": {"seed": {"bundled": {}}}})
}

/// Plays the watch of the activator's pods.
pub fn activator(stage: &Stage, addresses: &[&str]) {
    let context = stage.context.as_ref().unwrap();
    let pods = addresses.iter().map(|address| ActivatorPod {
        addresses: vec![(*address).to_owned()],
        name: format!("rates-activator-{}", address.replace('.', "-")),
        node: None,
    });
    context.sleeping.put(pods.collect(), &context.cache);
}

/// An API's pod that serves at an address.
pub async fn api_serves(stage: &Stage, address: &str) {
    stage.api_pod(API_POD).await;
    let status = json!({"podIP": address, "podIPs": [{"ip": address}]});
    stage.set_status::<Pod>(API_POD, &status).await;
    stage.deployment_rolls_out().await;
    slice_of_the_service(stage);
}

/// Plays the controller of `EndpointSlices`, which gives them all labels of the Service.
fn slice_of_the_service(stage: &Stage) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "harbour-api-controllers", "labels": {
            "app.kubernetes.io/name": "rates", "app.kubernetes.io/instance": NAME,
            "app.kubernetes.io/component": "api", "app.kubernetes.io/managed-by": "rates-operator",
            "kubernetes.io/service-name": "harbour-api",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["198.18.7.1"], "conditions": {"ready": true}}],
    });
    let made = stage.server.apply(&stage.namespace, &slice.to_string());
    assert!(made.ok, "{}", made.text);
}

pub async fn ends(stage: &Stage, pod: &str) {
    let now = DeleteParams::default().grace_period(0);
    stage.api::<Pod>().delete(pod, &now).await.unwrap();
}

pub async fn ask(stage: &Stage, annotation: &str) {
    stage
        .annotate::<RatesEnvironment>(NAME, &json!({annotation: "now"}))
        .await;
}

pub fn phase(stage: &Stage) -> String {
    stage.field("renv/harbour", "{.status.phase}")
}

pub fn sleep_of(stage: &Stage, field: &str) -> String {
    stage.field("renv/harbour", &format!("{{.status.sleep.{field}}}"))
}

fn annotations(stage: &Stage) -> String {
    stage.field("renv/harbour", "{.metadata.annotations}")
}

/// Plays what ends the pods, in the order in which the operator lets them go.
pub async fn falls_asleep(stage: &Stage) {
    stage.settle().await;
    if stage.exists::<Pod>(API_POD).await {
        ends(stage, API_POD).await;
    }
    stage.deployment_rolls_out().await;
    stage.settle().await;
    ends(stage, "harbour-postgres-0").await;
    stage.settle().await;
    assert_eq!(phase(stage), "Asleep");
}

/// Plays the activator, which was asked for something.
async fn asks_to_wake(stage: &Stage, since: &str) {
    let resource = ApiResource::erase::<RatesEnvironment>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(stage.admin.clone(), &stage.namespace, &resource);
    let request = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
        "metadata": {"name": NAME}, "status": {"wakeRequest": since},
    });
    let parameters = PatchParams::apply("rates-activator").force();
    api.patch_status(NAME, &parameters, &Patch::Apply(request))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_environment_sleeps_and_wakes_by_hand_and_the_activator_takes_its_requests() {
    let server = server::shared();
    let mut stage = Stage::new(server, "sleeping").await;
    let api = |stage: &Stage| stage.field("deployment/harbour-api", "{.spec.replicas}");
    let database = |stage: &Stage| stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
    stage.until_ready(&spec()).await;
    api_serves(&stage, "198.18.7.1").await;
    activator(&stage, &["198.18.9.1", "198.18.9.2"]);
    let seeded = stage.field("renv/harbour", "{.status.database.seed}");

    ask(&stage, "rates.internal/sleep").await;
    let first = stage.reconcile().await;
    assert_eq!(
        first,
        ["PATCH ratesenvironments/harbour/status"],
        "it is recorded first"
    );
    assert!(sleep_of(&stage, "since").ends_with('Z'));
    let port = sleep_of(&stage, "port");
    stage.settle().await;
    assert_eq!((api(&stage).as_str(), database(&stage).as_str()), ("0", "1"));
    assert!(
        !annotations(&stage).contains("rates.internal/sleep"),
        "it is done"
    );
    let slice = stage.api::<EndpointSlice>().get(SLICE).await.unwrap();
    let addresses: Vec<_> = slice
        .endpoints
        .iter()
        .map(|endpoint| &endpoint.addresses[0])
        .collect();
    assert_eq!(addresses, ["198.18.9.1", "198.18.9.2"]);
    let labels = slice.metadata.labels.unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "harbour-api");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "rates-operator");
    let ports = slice.ports.unwrap();
    assert_eq!(ports[0].name.as_deref(), Some("http"));
    assert_eq!(ports[0].port.unwrap().to_string(), port);
    assert_eq!(phase(&stage), "Progressing");
    assert_eq!(stage.condition("Ready").1, "FallingAsleep");

    falls_asleep(&stage).await;
    assert_eq!(database(&stage), "0");
    for condition in ["Ready", "DatabaseReady", "ApiAvailable", "Progressing"] {
        let (holds, reason, _) = stage.condition(condition);
        assert_eq!(
            (holds.as_str(), reason.as_str()),
            ("False", "Asleep"),
            "{condition}"
        );
    }
    let message = stage.field("renv/harbour", "{.status.message}");
    assert!(message.contains("a request to the API wakes it"), "{message}");
    assert!(
        message.contains("kubectl annotate renv/harbour rates.internal/wake=now"),
        "{message}"
    );

    // Another operator, which does not know the activator's pods yet, leaves everything as it is.
    stage.restart().await;
    assert!(stage.reconcile().await.is_empty());
    activator(&stage, &["198.18.9.2"]);
    assert_eq!(
        stage.reconcile().await,
        ["PATCH endpointslices/harbour-api-activator"]
    );
    assert!(stage.reconcile().await.is_empty());

    ask(&stage, "rates.internal/wake").await;
    let first = stage.reconcile().await;
    for object in ["statefulsets/harbour-postgres", "deployments/harbour-api"] {
        let patch = format!("PATCH {object}");
        assert!(first.contains(&patch), "both start at once: {first:?}");
    }
    stage.settle().await;
    assert_eq!((api(&stage).as_str(), database(&stage).as_str()), ("1", "1"));
    assert_eq!(stage.condition("Ready").1, "Waking");
    assert_eq!(phase(&stage), "Progressing");

    stage.database_runs().await;
    stage.api_pod(API_POD).await;
    let address = json!({"podIP": "198.18.7.2", "podIPs": [{"ip": "198.18.7.2"}]});
    stage.set_status::<Pod>(API_POD, &address).await;
    stage.settle().await;
    assert_eq!(sleep_of(&stage, "endpoints"), r#"["198.18.7.2:8080"]"#);
    assert!(
        stage.exists::<EndpointSlice>(SLICE).await,
        "no proxy has noticed the pod yet"
    );
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert!(!stage.exists::<EndpointSlice>(SLICE).await);
    assert_eq!(stage.field("renv/harbour", "{.status.sleep}"), "");
    assert!(!annotations(&stage).contains("rates.internal/wake"), "it is done");
    assert_eq!(phase(&stage), "Ready");
    assert_eq!(stage.field("renv/harbour", "{.status.database.seed}"), seeded);
}

#[tokio::test]
async fn one_that_is_made_to_sleep_starts_nothing_before_it_is_woken() {
    let stage = Stage::new(server::shared(), "made-asleep").await;
    activator(&stage, &["198.18.7.2"]);
    let made = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
        "metadata": {"name": NAME, "annotations": {"rates.internal/sleep": "now"}}, "spec": spec(),
    });
    let made = stage.server.apply(&stage.namespace, &made.to_string());
    assert!(made.ok, "{}", made.text);
    let instances = || stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
    for _ in 0..8 {
        stage.reconcile().await;
        assert_eq!(instances(), "0");
    }
    let volume = || stage.exists::<PersistentVolumeClaim>("data-harbour-postgres-0");
    assert!(!volume().await);
    assert_eq!(stage.reconcile().await, [""; 0]);
    assert_eq!(phase(&stage), "Asleep");
    assert_eq!(
        stage
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );

    asks_to_wake(&stage, &sleep_of(&stage, "since")).await;
    stage.settle().await;
    assert_eq!(instances(), "1");
    assert!(volume().await);
    stage.until_the_api_is_due().await;
    stage.settle().await;
    api_serves(&stage, "198.18.7.1").await;
    stage.settle().await;
    assert_eq!(phase(&stage), "Ready");
}

#[tokio::test]
async fn a_request_wakes_the_sleep_that_it_names_and_no_later_one() {
    let server = server::shared();
    let stage = Stage::new(server, "sleeping-request").await;
    stage.until_ready(&spec()).await;
    api_serves(&stage, "198.18.7.1").await;
    activator(&stage, &["198.18.9.1"]);
    ask(&stage, "rates.internal/sleep").await;
    falls_asleep(&stage).await;
    let (first, port) = (sleep_of(&stage, "since"), sleep_of(&stage, "port"));

    asks_to_wake(&stage, "2026-01-01T00:00:00.000000Z").await;
    assert!(stage.reconcile().await.is_empty(), "of another sleep");
    asks_to_wake(&stage, &first).await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready").1, "Waking");
    stage.database_runs().await;
    api_serves(&stage, "198.18.7.2").await;
    stage.settle().await;
    assert_eq!(phase(&stage), "Ready");
    let request = || stage.field("renv/harbour", "{.status.wakeRequest}");
    assert_eq!(request(), first, "the activator's own field stays");

    ask(&stage, "rates.internal/sleep").await;
    falls_asleep(&stage).await;
    assert_ne!(sleep_of(&stage, "since"), first);
    assert_ne!(sleep_of(&stage, "port"), port, "not used again soon");
    assert!(
        stage.reconcile().await.is_empty(),
        "the request was for the sleep before"
    );
    assert_eq!(request(), first);
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_while_an_environment_wakes() {
    let server = server::shared();
    let stage = Stage::new(server, "sleeping-image").await;
    stage.until_ready(&spec()).await;
    activator(&stage, &["198.18.9.1"]);
    ask(&stage, "rates.internal/sleep").await;
    falls_asleep(&stage).await;
    asks_to_wake(&stage, &sleep_of(&stage, "since")).await;
    stage.settle().await;
    stage.database_runs().await;
    stage.pod(API_POD, "api", &json!({}), None).await;
    let status = json!({
        "phase": "Pending",
        "containerStatuses": [{
            "name": "api", "ready": false, "image": "any", "imageID": "", "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        }],
    });
    stage.set_status::<Pod>(API_POD, &status).await;
    stage.settle().await;
    assert_eq!(phase(&stage), "Degraded");
    let message = stage.field("renv/harbour", "{.status.message}");
    assert!(message.contains("no such image"), "{message}");
    assert_ne!(
        stage.field("renv/harbour", "{.status.sleep}"),
        "",
        "the activator still takes its requests"
    );
    assert!(stage.exists::<EndpointSlice>(SLICE).await);
}

#[tokio::test]
async fn a_suspension_stands_above_a_sleep_and_deleting_is_possible_in_it() {
    let server = server::shared();
    let stage = Stage::new(server, "sleeping-suspended").await;
    stage.until_ready(&spec()).await;
    activator(&stage, &["198.18.9.1"]);
    ask(&stage, "rates.internal/sleep").await;
    falls_asleep(&stage).await;
    let mut suspended = spec();
    suspended["suspend"] = json!(true);
    stage.specify(&suspended);
    stage.settle().await;
    assert_eq!(phase(&stage), "Suspended");
    assert_eq!(stage.field("renv/harbour", "{.status.sleep}"), "");
    assert!(!stage.exists::<EndpointSlice>(SLICE).await);
    ask(&stage, "rates.internal/sleep").await;
    stage.settle().await;
    assert_eq!(phase(&stage), "Suspended");
    assert!(!annotations(&stage).contains("rates.internal/sleep"));

    stage.specify(&spec());
    stage.settle().await;
    assert_eq!(stage.condition("Ready").1, "Resuming");
    stage.database_runs().await;
    stage.settle().await;
    stage.deployment_rolls_out().await;
    stage.settle().await;
    ask(&stage, "rates.internal/sleep").await;
    falls_asleep(&stage).await;
    let owners = stage.printed(
        &format!("endpointslice/{SLICE}"),
        "{.metadata.ownerReferences[*].name}",
    );
    assert_eq!(owners, NAME, "it goes with its environment");
    let environments = stage.api::<RatesEnvironment>();
    environments.delete(NAME, &DeleteParams::default()).await.unwrap();
    assert!(stage.reconcile().await.is_empty());
}

#[tokio::test]
async fn one_that_is_to_wake_while_as_many_run_as_may_waits_until_another_sleeps() {
    let mut stage = Stage::new(server::shared(), "sleeping-queued").await;
    stage.context.as_mut().unwrap().previews = Previews::new(1);
    stage.until_ready(&spec()).await;
    api_serves(&stage, "198.18.7.1").await;
    activator(&stage, &["198.18.9.1"]);
    ask(&stage, "rates.internal/sleep").await;
    falls_asleep(&stage).await;
    let since = sleep_of(&stage, "since");

    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    let database = |name: &str| stage.field(&format!("statefulset/{name}-postgres"), "{.spec.replicas}");
    let other = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "metadata": {"name": "other"}, "spec": {},
    });
    let made = stage.server.apply(&stage.namespace, &other.to_string());
    assert!(made.ok, "{}", made.text);
    until("another one runs", async || database("other") == "1").await;
    asks_to_wake(&stage, &since).await;
    until("it waits", async || phase(&stage) == "Queued").await;
    let message = stage.field("renv/harbour", "{.status.message}");
    assert!(
        message.starts_with("place 1 of 1: 1 previews run in this namespace"),
        "{message}"
    );
    let (holds, reason, _) = stage.condition("Queued");
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "WaitingForTurn"));
    assert_eq!(database(NAME), "0");
    assert_eq!(
        sleep_of(&stage, "since"),
        since,
        "the activator holds its requests"
    );
    assert!(stage.exists::<EndpointSlice>(SLICE).await);

    stage
        .annotate::<RatesEnvironment>("other", &json!({"rates.internal/sleep": "now"}))
        .await;
    until("it starts", async || database(NAME) == "1").await;
    assert_eq!(stage.field("renv/other", "{.status.phase}"), "Asleep");
    stage.database_runs().await;
    api_serves(&stage, "198.18.7.2").await;
    until("it is awake", async || phase(&stage) == "Ready").await;
    assert_eq!(stage.condition("Queued").0, "");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn many_that_fall_asleep_at_once_have_ports_of_their_own_also_after_a_restart() {
    let server = server::shared();
    let mut stage = Stage::new(server, "sleeping-many").await;
    let namespace = stage.namespace.clone();
    let apply = |numbers: Range<usize>| {
        let manifests: Vec<String> = numbers
            .map(|number| {
                json!({
                    "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
                    "metadata": {"name": format!("pier-{number}"), "annotations": {"rates.internal/sleep": "now"}},
                    "spec": {},
                })
                .to_string()
            })
            .collect();
        let answer = server.apply(&namespace, &manifests.join("\n---\n"));
        assert!(answer.ok, "{}", answer.text);
    };
    let environments = stage.api::<RatesEnvironment>();
    let ports = async || -> Vec<i32> {
        let all = environments.list(&ListParams::default()).await.unwrap();
        let port = |environment: &RatesEnvironment| environment.status.as_ref()?.sleep.as_ref()?.port;
        all.iter().filter_map(port).collect()
    };
    let distinct = |ports: &[i32]| ports.iter().collect::<BTreeSet<_>>().len();
    apply(0..12);
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    until("all have a port", async || ports().await.len() == 12).await;
    let first = ports().await;
    assert_eq!(distinct(&first), 12);
    stop.cancel();
    running.await.unwrap();

    apply(12..16);
    stage.restart().await;
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    until("all have a port", async || ports().await.len() == 16).await;
    let all = ports().await;
    assert_eq!(distinct(&all), 16);
    assert!(first.iter().all(|port| all.contains(port)), "they keep theirs");
    stop.cancel();
    running.await.unwrap();
}
