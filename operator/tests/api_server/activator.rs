//! The activator as a process, with its own rights: the tests play the operator, which writes the status of an
//! environment that sleeps and wakes, and its API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::routing::{any, get};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::controlling::until;
use crate::program::Program;
use crate::server::{self, Server};

const NAME: &str = "harbour";
const PORT: u16 = 24_000;
const SINCE: &str = "2026-01-01T00:00:00.000001Z";

/// An environment that sleeps, and an activator.
struct Scene {
    server: &'static Server,
    namespace: String,
    ip: String,
    environments: Api<DynamicObject>,
}

impl Scene {
    async fn new(namespace: &str) -> Self {
        static ADDRESSES: AtomicU8 = AtomicU8::new(1);
        let server = server::shared();
        let namespace = server.namespace(namespace).await;
        let manifest = json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": NAME}, "spec": {},
        });
        let applied = server.apply(&namespace, &manifest.to_string());
        assert!(applied.ok, "{}", applied.text);
        let resource = ApiResource::erase::<RatesEnvironment>(&());
        let environments = Api::namespaced_with(server.client().await, &namespace, &resource);
        // An address of its own, so that the ports are free whoever else tests here.
        let number = ADDRESSES.fetch_add(1, Ordering::SeqCst);
        let process = std::process::id();
        let ip = format!("127.{}.{}.{number}", process / 256 % 256, process % 256);
        Self {
            server,
            namespace,
            ip,
            environments,
        }
    }

    async fn activator(&self, settings: &[(&str, &str)]) -> Program {
        let fixed = [
            ("RATES_ACTIVATOR_PORTS", "24000-24003"),
            ("RATES_WATCH_NAMESPACE", self.namespace.as_str()),
            ("RATES_DRAIN_SECONDS", "2"),
            // On a busy machine too.
            ("RATES_HOLD_SECONDS", "300"),
        ];
        let kubeconfig = self.server.activator_kubeconfig();
        let settings = fixed.into_iter().chain(settings.iter().copied());
        let activator = Program::start_command("activate", &self.ip, &kubeconfig, settings);
        activator.until_readiness(200, "ready").await;
        activator
    }

    /// Plays the operator.
    async fn status(&self, status: &Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let parameters = PatchParams::default();
        self.environments
            .patch_status(NAME, &parameters, &patch)
            .await
            .unwrap();
    }

    async fn sleeps(&self) {
        self.status(&json!({"phase": "Asleep", "sleep": {"since": SINCE, "port": PORT}}))
            .await;
    }

    async fn serves(&self, api: &FakeApi) {
        let sleep = json!({"since": SINCE, "port": PORT, "endpoints": [api.address.to_string()]});
        self.status(&json!({"phase": "Progressing", "sleep": sleep}))
            .await;
    }

    async fn until_asked(&self) {
        until("the activator asks for the environment to wake", async || {
            let environment = self.environments.get(NAME).await.unwrap();
            environment.data["status"]["wakeRequest"] == SINCE
        })
        .await;
    }

    fn send(&self, request: Request<Full<Bytes>>) -> JoinHandle<Option<Answer>> {
        let address: SocketAddr = format!("{}:{PORT}", self.ip).parse().unwrap();
        tokio::spawn(send(address, request))
    }

    fn get(&self, path: &str) -> JoinHandle<Option<Answer>> {
        self.send(Request::get(path).body(Full::default()).unwrap())
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn problem(&self) -> String {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        let document: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(document["status"], self.status);
        document["detail"].as_str().unwrap().to_owned()
    }
}

/// The answer, or nothing where the connection ended without one.
async fn send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Option<Answer> {
    let host = address.to_string().parse().unwrap();
    request.headers_mut().insert("host", host);
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.ok()?;
    let (head, body) = response.into_parts();
    let text = body.collect().await.ok()?.to_bytes();
    connection.abort();
    Some(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(text.to_vec()).unwrap(),
    })
}

/// An API of an environment: it counts its requests, and tells each what came.
struct FakeApi {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl FakeApi {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ready, requests) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let api = Self {
            address: listener.local_addr().unwrap(),
            ready: ready.clone(),
            requests: requests.clone(),
        };
        let readiness = get(async move || {
            if ready.load(Ordering::SeqCst) {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            }
        });
        let everything = any(async move |request: Request<Body>| {
            let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
            let (head, body) = request.into_parts();
            let content = body.collect().await.unwrap().to_bytes();
            let authorization = head
                .headers
                .get("authorization")
                .map(|value| value.to_str().unwrap());
            let told = json!({
                "number": number, "method": head.method.as_str(), "uri": head.uri.to_string(),
                "authorization": authorization, "bytes": content.len(),
                "sum": content.iter().map(|byte| u64::from(*byte)).sum::<u64>(),
            });
            Response::builder().status(201).body(told.to_string()).unwrap()
        });
        let router = Router::new().route("/readyz", readiness).fallback(everything);
        tokio::spawn(async { axum::serve(listener, router).await });
        api
    }

    fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Waits until an activator holds so many requests.
async fn until_held(activator: &Program, requests: u8) {
    let says = format!("rates_activator_held_requests {requests}");
    until(&says, async || activator.get("/metrics").unwrap().contains(&says)).await;
}

#[tokio::test]
async fn a_request_wakes_its_environment_and_is_answered_once_when_the_api_is_ready() {
    let scene = Scene::new("waking").await;
    let activator = scene.activator(&[]).await;
    let api = FakeApi::start().await;
    api.ready.store(false, Ordering::SeqCst);
    scene.sleeps().await;
    let content = vec![b'7'; 5_000_000];
    let post = Request::post("/batches?dry=1").header("authorization", "Bearer t");
    let waiting = scene.send(post.body(Full::from(content)).unwrap());
    scene.until_asked().await;
    scene.serves(&api).await;
    until_held(&activator, 1).await;
    assert_eq!(api.count(), 0, "it is not ready");

    api.ready.store(true, Ordering::SeqCst);
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["connection"], "close");
    let told: Value = serde_json::from_str(&answer.text).unwrap();
    let expected = json!({
        "number": 1, "method": "POST", "uri": "/batches?dry=1", "authorization": "Bearer t",
        "bytes": 5_000_000, "sum": 5_000_000 * 55_u64,
    });
    assert_eq!(told, expected);

    // Awake: what still comes by the old way is forwarded.
    scene.status(&json!({"phase": "Ready", "sleep": null})).await;
    until("the activator knows", async || {
        activator
            .get("/metrics")
            .unwrap()
            .contains("sleeping_environments 0")
    })
    .await;
    assert_eq!(scene.get("/rates").await.unwrap().unwrap().status, 201);
    assert_eq!(api.count(), 2);
}

#[tokio::test]
async fn fifty_at_once_are_answered_once_each_and_ask_once() {
    let scene = Scene::new("fifty").await;
    let activator = scene.activator(&[]).await;
    let api = FakeApi::start().await;
    scene.sleeps().await;
    let waiting: Vec<_> = (0..50)
        .map(|number| scene.get(&format!("/rates?{number}")))
        .collect();
    until("all of them are held, and the operator was asked", async || {
        let metrics = activator.get("/metrics").unwrap();
        metrics.contains("rates_activator_held_requests 50")
            && metrics.contains("rates_activator_wake_requests_total 1")
    })
    .await;
    scene.serves(&api).await;
    for (number, answer) in waiting.into_iter().enumerate() {
        let answer = answer.await.unwrap().unwrap();
        assert!(
            answer.status == 201 && answer.text.contains(&format!("/rates?{number}\"")),
            "{answer:?}"
        );
    }
    assert_eq!(api.count(), 50);
    let metrics = activator.get("/metrics").unwrap();
    assert!(
        metrics.contains("rates_activator_wake_requests_total 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("rates_activator_requests_total{result=\"forwarded\"} 50\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn an_environment_that_cannot_start_is_told_with_its_reason_at_once() {
    let scene = Scene::new("unwakeable").await;
    let _activator = scene.activator(&[]).await;
    // What failed before it slept says nothing of this waking.
    let failed = json!({"phase": "Degraded", "message": "api: no image <b>a:1</b>"});
    scene.status(&failed).await;
    scene.sleeps().await;
    let waiting = scene.get("/rates");
    scene.until_asked().await;
    assert!(!waiting.is_finished());
    scene.status(&failed).await;
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(
        (answer.status, &answer.headers["retry-after"]),
        (503, &"10".parse().unwrap())
    );
    assert_eq!(
        answer.problem(),
        "The environment cannot start: api: no image <b>a:1</b>"
    );

    let browser = || Request::get("/docs").header("accept", "text/html,*/*;q=0.8");
    let page = scene
        .send(browser().body(Full::default()).unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(
        page.text.contains("harbour cannot start") && page.text.contains("&lt;b&gt;"),
        "{page:?}"
    );
    scene.sleeps().await;
    let waking = async || {
        let page = scene
            .send(browser().body(Full::default()).unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (page.status, &page.headers["cache-control"]),
            (503, &"no-store".parse().unwrap())
        );
        page.text.contains("harbour is waking") && page.text.contains("http-equiv=\"refresh\"")
    };
    until("a browser is told that it wakes", waking).await;
}

#[tokio::test]
async fn what_cannot_be_held_is_answered_with_when_to_ask_again() {
    let scene = Scene::new("unheld").await;
    let activator = scene
        .activator(&[
            ("RATES_HOLD_SECONDS", "3"),
            ("RATES_MAX_HELD_PER_ENVIRONMENT", "1"),
        ])
        .await;
    // Known to nobody yet: a Service leads here before the activator has heard of it.
    let early = scene.get("/rates");
    scene.sleeps().await;
    until_held(&activator, 1).await;
    let further = scene.get("/rates").await.unwrap().unwrap();
    assert!(
        further.status == 503 && further.problem().starts_with("Too many"),
        "{further:?}"
    );
    let slow = early.await.unwrap().unwrap();
    assert_eq!(
        (slow.status, &slow.headers["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    assert!(slow.problem().contains("not ready in time"), "{slow:?}");

    let unknown: SocketAddr = format!("{}:{}", scene.ip, PORT + 1).parse().unwrap();
    let unknown = send(unknown, Request::get("/rates").body(Full::default()).unwrap()).await;
    assert!(unknown.unwrap().problem().starts_with("No environment"));
    let connect = scene
        .send(Request::connect("x:1").body(Full::default()).unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(connect.status, 405);
}

#[tokio::test]
async fn what_is_held_for_one_that_is_deleted_is_told_at_once() {
    let scene = Scene::new("held-deleted").await;
    let activator = scene.activator(&[]).await;
    scene.sleeps().await;
    let deleted = scene.get("/rates");
    until_held(&activator, 1).await;
    scene
        .environments
        .delete(NAME, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(
        deleted.await.unwrap().unwrap().problem(),
        "The environment was deleted."
    );
}

#[tokio::test]
async fn a_request_to_one_that_waits_for_its_turn_is_answered_with_its_place() {
    let scene = Scene::new("queueing-to-wake").await;
    let _activator = scene.activator(&[("RATES_HOLD_SECONDS", "3")]).await;
    scene
        .status(&json!({
            "phase": "Queued", "message": "place 2 of 5: 5 previews run", "sleep": {"since": SINCE, "port": PORT},
        }))
        .await;
    let answer = scene.get("/rates").await.unwrap().unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    assert_eq!(
        answer.problem(),
        "The environment waits until it may run: place 2 of 5: 5 previews run"
    );
    scene.until_asked().await;
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_is_not_sent_again() {
    let scene = Scene::new("interrupted").await;
    let _activator = scene.activator(&[]).await;
    // Ready, and it ends every other connection without an answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = tokio::io::AsyncReadExt::read(&mut stream, &mut head)
                .await
                .unwrap();
            if head[..read].starts_with(b"GET /readyz ") {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
                    .await
                    .unwrap();
            } else {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    // One that refuses connections is passed over.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoints = [gone.to_string(), address.to_string()];
    scene
        .status(&json!({"sleep": {"since": SINCE, "port": PORT, "endpoints": endpoints}}))
        .await;
    let answer = scene.get("/rates").await.unwrap().unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.problem().contains("may have taken effect"), "{answer:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_that_is_told_to_end_finishes_what_it_holds_and_one_that_is_killed_drops_it() {
    let scene = Scene::new("ending").await;
    let api = FakeApi::start().await;
    scene.sleeps().await;
    let killed = scene.activator(&[]).await;
    let lost = scene.get("/rates");
    scene.until_asked().await;
    killed.signal("KILL");
    assert!(lost.await.unwrap().is_none(), "the connection is closed");
    drop(killed);

    let told = scene.activator(&[]).await;
    let held = scene.get("/rates");
    until_held(&told, 1).await;
    told.signal("TERM");
    told.until_readiness(503, "ending").await;
    let late = scene.get("/rates");
    until_held(&told, 2).await;
    until("the ports are closed", async || {
        TcpStream::connect((scene.ip.as_str(), PORT)).await.is_err()
    })
    .await;
    scene.serves(&api).await;
    for answer in [held, late] {
        assert_eq!(answer.await.unwrap().unwrap().status, 201);
    }
    let (ended, log) = told.end().await;
    assert!(ended.success(), "{log}");
    assert!(log.contains("ending/harbour"), "{log}");
}

#[tokio::test]
async fn the_activator_may_ask_and_read_no_more_than_environments() {
    let scene = Scene::new("activator-rights").await;
    let account = "--as=system:serviceaccount:rates-system:rates-activator";
    for (what, allowed) in [
        (["list", "ratesenvironments"], true),
        (["watch", "ratesenvironments"], true),
        (["patch", "ratesenvironments"], false),
        (["list", "secrets"], false),
        (["get", "pods"], false),
    ] {
        let question = [
            "auth",
            "can-i",
            what[0],
            what[1],
            account,
            "--namespace",
            &scene.namespace,
        ];
        assert_eq!(scene.server.kubectl(&question, "").ok, allowed, "{what:?}");
    }
}
