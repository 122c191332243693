//! What the operator does about kinds that it cannot follow, or not understand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::client::Body;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use rates_operator::cache::{self, Cache, Timing};
use rates_operator::crd::RatesEnvironment;
use rates_operator::http_route::HTTPRoute;
use rates_operator::metrics::Metrics;
use rates_operator::settings::Namespaces;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;
use tower::service_fn;

use crate::controlling::until;
use crate::exposing::install_gateway_api;
use crate::line::Line;
use crate::program::Program;
use crate::server::{self, MANIFESTS};
use crate::stage::Stage;

/// A cache that follows a namespace.
fn follow(
    client: &Client,
    namespace: &str,
    timing: Timing,
) -> (Arc<Cache>, Arc<Metrics>, AbortOnDropHandle<()>) {
    let metrics = Arc::new(Metrics::default());
    let namespaces = Namespaces::One(namespace.to_owned());
    let (cache, _, following) = cache::follow(client, &namespaces, metrics.clone(), timing);
    (cache, metrics, AbortOnDropHandle::new(tokio::spawn(following)))
}

fn says(metrics: &Metrics, line: &str) -> bool {
    let text = metrics.text(&std::collections::BTreeMap::new(), &[]).unwrap();
    text.lines().any(|told| told == line)
}

async fn make_config_map(client: &Client, namespace: &str, name: &str) {
    let labels =
        json!({"app.kubernetes.io/managed-by": "rates-operator", "app.kubernetes.io/instance": "harbour"});
    let config_map = json!({"metadata": {"name": name, "labels": labels}});
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let config_map = serde_json::from_value(config_map).unwrap();
    api.create(&PostParams::default(), &config_map).await.unwrap();
}

#[tokio::test]
async fn an_object_that_cannot_be_understood_stalls_nothing_and_is_counted() {
    let server = server::with(&["-k", MANIFESTS]);
    let stage = Stage::new(server, "malformed").await;
    install_gateway_api(server, &stage.namespace);
    stage.knows::<HTTPRoute>().await;
    let resource = ApiResource::erase::<HTTPRoute>(&());
    let namespace = server.namespace("malformed-other").await;
    let routes: Api<DynamicObject> = Api::namespaced_with(stage.admin.clone(), &namespace, &resource);
    let malformed: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "malformed", "labels": {"app.kubernetes.io/managed-by": "rates-operator"}},
        "spec": {"rules": [{"backendRefs": [{"weight": 1}]}]},
    }))
    .unwrap();
    routes.create(&PostParams::default(), &malformed).await.unwrap();
    let (cache, metrics, _following) = follow(&stage.admin, &namespace, Timing::default());
    until("everything was listed", async || cache.waiting_for().is_empty()).await;
    let count = |number| format!("rates_operator_malformed_objects{{kind=\"HTTPRoute\"}} {number}");
    until("it is counted", async || says(&metrics, &count(1))).await;
    // A backend without a port is one that the operator understands.
    stage
        .until_ready(&json!({
            "database": {"seed": {"bundled": {}}},
            "expose": {"host": "harbour.example", "gateway": {"name": "lock"}},
        }))
        .await;
    let patch = r#"[{"op": "remove", "path": "/spec/rules/0/backendRefs/0/port"}]"#;
    let changed = server.kubectl(
        &[
            "-n",
            &stage.namespace,
            "patch",
            "httproute/harbour-api",
            "--type=json",
            "-p",
            patch,
        ],
        "",
    );
    assert!(changed.ok, "{}", changed.text);
    until("it is corrected", async || {
        stage.reconcile().await;
        stage.field("httproute/harbour-api", "{.spec.rules[0].backendRefs[0].port}") == "80"
    })
    .await;
    routes
        .delete("malformed", &DeleteParams::default())
        .await
        .unwrap();
    until("it is gone", async || says(&metrics, &count(0))).await;
}

#[tokio::test]
async fn a_watch_that_is_silent_is_begun_again() {
    let server = server::shared();
    let namespace = server.namespace("silent").await;
    let line = Line::to(server).await;
    let (_, config) = server.by_way_of(line.port).await;
    let timing = Timing {
        silence: Duration::from_secs(2),
        // The next watch may be sent on another connection that is silent too.
        answer: Duration::from_secs(5),
        ..Timing::default()
    };
    let (cache, _, _following) = follow(&Client::try_from(config).unwrap(), &namespace, timing);
    until("everything was listed", async || cache.waiting_for().is_empty()).await;
    line.silence();
    make_config_map(&server.client().await, &namespace, "unheard-of").await;
    until("the next watch tells of it", async || {
        cache.versions::<ConfigMap>(&namespace).contains_key("unheard-of")
    })
    .await;
}

/// What an API server says of a version that etcd has forgotten.
fn too_old() -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version: 1 (2)",
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = StatusCode::GONE;
    response
}

#[tokio::test]
async fn a_watch_that_is_refused_as_too_old_again_and_again_costs_a_list_after_growing_pauses() {
    let server = server::shared();
    let namespace = server.namespace("too-old").await;
    let (forgetful, watches) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (forgets, counted) = (forgetful.clone(), watches.clone());
    let real = Client::try_from(server.operator_config().await).unwrap();
    let client = Client::new(
        service_fn(move |request: Request<Body>| {
            let of_config_maps = request.uri().path().ends_with("/configmaps");
            let is_watch = request.uri().query().unwrap_or_default().contains("watch=true");
            let refused = of_config_maps && is_watch && forgets.load(Ordering::SeqCst);
            counted.fetch_add(usize::from(refused), Ordering::SeqCst);
            let real = real.clone();
            async move {
                if refused {
                    Ok(too_old())
                } else {
                    real.send(request).await
                }
            }
        }),
        "default",
    );
    let began = Instant::now();
    let (cache, metrics, _following) = follow(&client, &namespace, Timing::default());
    // After pauses of 0.5, 1 and 2 s.
    let fourth = "rates_operator_lists_total{kind=\"ConfigMap\"} 4";
    until(fourth, async || says(&metrics, fourth)).await;
    assert!(
        began.elapsed() >= Duration::from_millis(3500),
        "after {:?}",
        began.elapsed()
    );
    assert!(watches.load(Ordering::SeqCst) <= 4);
    // What the lists bring is taken meanwhile, and the kinds beside it are followed.
    make_config_map(&server.client().await, &namespace, "in-a-list").await;
    until("a list tells of it", async || {
        cache.versions::<ConfigMap>(&namespace).contains_key("in-a-list")
    })
    .await;
    forgetful.store(false, Ordering::SeqCst);
    until("the watch goes on", async || cache.not_followed().is_empty()).await;
    make_config_map(&server.client().await, &namespace, "in-a-watch").await;
    until("the watch tells of it", async || {
        cache.versions::<ConfigMap>(&namespace).contains_key("in-a-watch")
    })
    .await;
}

#[tokio::test]
async fn every_kind_is_listed_again_from_time_to_time() {
    let server = server::shared();
    let namespace = server.namespace("listed-again").await;
    let timing = Timing {
        relist: Duration::from_secs(1),
        ..Timing::default()
    };
    let (cache, metrics, _following) = follow(&server.client().await, &namespace, timing);
    for number in 2..=3 {
        let line = format!("rates_operator_lists_total{{kind=\"ConfigMap\"}} {number}");
        until(&line, async || says(&metrics, &line)).await;
    }
    make_config_map(&server.client().await, &namespace, "between-lists").await;
    until("the watch goes on between them", async || {
        cache
            .versions::<ConfigMap>(&namespace)
            .contains_key("between-lists")
    })
    .await;
}

#[tokio::test]
async fn who_may_not_list_what_is_needed_does_not_lead_and_goes_without_the_rest() {
    let server = server::with(&["-k", MANIFESTS]);
    let namespace = server.namespace("not-permitted").await;
    let environments: Api<RatesEnvironment> = Api::namespaced(server.client().await, &namespace);
    let environment = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "metadata": {"name": "harbour"},
        "spec": {"expose": {"host": "harbour.example", "ingress": {}}, "monitoring": {}},
    });
    let environment = serde_json::from_value(environment).unwrap();
    environments
        .create(&PostParams::default(), &environment)
        .await
        .unwrap();

    // Ingresses at no time: a watch that began while it was permitted would go on.
    server.forbid("ingresses", &["list", "watch"]);
    server.forbid("podmonitors", &["list", "watch"]);
    server.forbid("pods", &["list", "watch"]);
    let operator = Program::start(&server.operator_kubeconfig(), []);
    operator
        .until_readiness(503, "waiting for kinds to be listed: pods: ")
        .await;
    server.permit("pods", &["list", "watch"]);
    operator.until_readiness(200, "leading").await;
    operator.until_readiness(200, "not followed: ingresses: ").await;
    let stateful_sets: Api<StatefulSet> = Api::namespaced(server.client().await, &namespace);
    until("it goes on with the others", async || {
        stateful_sets.get_opt("harbour-postgres").await.unwrap().is_some()
    })
    .await;
    let says = |path: &str| {
        let path = format!("jsonpath={path}");
        server
            .kubectl(&["-n", &namespace, "get", "renv/harbour", "-o", &path], "")
            .text
    };
    until("the status says so", async || {
        says("{.status.message}").starts_with("the operator may not list ingresses")
    })
    .await;
    let monitored = "{.status.conditions[?(@.type==\"Monitored\")]['reason', 'message']}";
    let not_permitted = "NotPermitted the operator may not list podmonitors, and goes on without them";
    assert!(says(monitored).starts_with(not_permitted), "{}", says(monitored));
    server.permit_all();
    until("it heals", async || {
        let answer = operator.get("/readyz").unwrap();
        answer.contains("leading") && !answer.contains("not followed")
    })
    .await;
    until("the status says so", async || {
        !says("{.status.message}").contains("may not list")
    })
    .await;
    until("there still is no such kind", async || {
        says(monitored).starts_with("PodMonitorMissing")
    })
    .await;
}
