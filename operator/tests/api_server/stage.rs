//! One environment in a namespace of its own, reconciled step by step with the operator's own
//! identity, each write recorded. There is no kubelet and no scheduler: the tests play their part
//! and write the status that those would.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::client::ClientBuilder;
use kube::core::NamespaceResourceScope;
use kube::discovery::ApiResource;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use rates_operator::activator_ports::ActivatorPorts;
use rates_operator::apply::{Corrections, Pacing};
use rates_operator::cache::{self, Cached, Key};
use rates_operator::controller::{Scope, controller};
use rates_operator::copies::Neighbours;
use rates_operator::crd::RatesEnvironment;
use rates_operator::metrics::Metrics;
use rates_operator::plan::replication::PrimaryHistory;
use rates_operator::previews::Previews;
use rates_operator::reconcile::{Context, reconcile};
use rates_operator::settings::{Images, Monitoring, Namespaces};
use rates_operator::sleeping::Sleeping;
use rates_operator::starts::Starts;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::layer::layer_fn;
use tower::util::MapRequestLayer;

use crate::catching_up::caught_up;
use crate::mortal::{Life, Mortal, is_write};
use crate::objects;
use crate::server::Server;

pub struct Stage {
    pub server: &'static Server,
    pub namespace: String,
    /// The environment's.
    pub name: &'static str,
    /// What its operator serves.
    scope: Namespaces,
    pub admin: Client,
    pub context: Option<Context>,
    triggered: Option<UnboundedReceiver<Key>>,
    following: AbortOnDropHandle<()>,
    life: Arc<Life>,
    writes: Arc<Mutex<Vec<String>>>,
    restarted: bool,
}

/// What the seed Job leaves behind.
pub fn seeded() -> Value {
    json!({"outcome": "succeeded", "source": "bundled", "checksum": "sha256:00", "rows": 3, "seconds": 0.5, "schemaVersion": 1})
}

pub const NAME: &str = "harbour";

/// An operator of its own: what reconciles, and what keeps its cache.
async fn operator(
    server: &Server,
    namespaces: &Namespaces,
    writes: &Arc<Mutex<Vec<String>>>,
    life: &Arc<Life>,
) -> (Context, UnboundedReceiver<Key>, AbortOnDropHandle<()>) {
    let recorded = writes.clone();
    let record = MapRequestLayer::new(move |request: http::Request<kube::client::Body>| {
        if is_write(&request) {
            recorded
                .lock()
                .unwrap()
                .push(format!("{} {}", request.method(), request.uri().path()));
        }
        request
    });
    let life = life.clone();
    let client = ClientBuilder::try_from(server.operator_config().await)
        .unwrap()
        .with_layer(&record)
        .with_layer(&layer_fn(move |inner| Mortal {
            inner,
            life: life.clone(),
        }))
        .build();
    let reporter = Reporter {
        controller: "tests".to_owned(),
        instance: None,
    };
    let postgres = ["13.5=pg:thirteen", "17=pg:seventeen"].map(str::to_owned);
    let metrics = Arc::new(Metrics::default());
    let (cache, triggered, following) =
        cache::follow(&client, namespaces, metrics.clone(), cache::Timing::default());
    let context = Context {
        client: client.clone(),
        cache,
        metrics,
        images: Images::new("api:first".to_owned(), &postgres).unwrap(),
        monitoring: Monitoring::new(Some("exporter:first".to_owned()), vec!["lookout".to_owned()]),
        recorder: Recorder::new(client, reporter),
        corrections: Corrections::default(),
        pacing: Pacing::new("0.0.0", 1),
        primaries: PrimaryHistory::default(),
        starts: Starts::new(100),
        previews: Previews::new(0),
        neighbours: Neighbours::default(),
        sleeping: Sleeping::new(
            Some("lookout".to_owned()),
            ActivatorPorts::DEFAULT.parse().unwrap(),
            7,
            Sleeping::ASK_AGAIN,
        ),
    };
    (
        context,
        triggered,
        AbortOnDropHandle::new(tokio::spawn(following)),
    )
}

impl Stage {
    pub async fn new(server: &'static Server, namespace: &str) -> Self {
        let namespace = server.namespace(namespace).await;
        let scope = Namespaces::One(namespace.clone());
        Self::of(server, namespace, NAME, scope).await
    }

    /// An environment with this name in a namespace, and an operator that sees all namespaces. It is only reconciled
    /// step by step.
    pub async fn everywhere(server: &'static Server, namespace: &str, name: &'static str) -> Self {
        let namespace = server.namespace(namespace).await;
        Self::of(server, namespace, name, Namespaces::AllBut(Vec::new())).await
    }

    /// Another environment in the namespace of this one.
    pub async fn beside(&self, name: &'static str) -> Self {
        Self::of(self.server, self.namespace.clone(), name, self.scope.clone()).await
    }

    async fn of(server: &'static Server, namespace: String, name: &'static str, scope: Namespaces) -> Self {
        let (writes, life) = (Arc::default(), Arc::default());
        let (context, triggered, following) = operator(server, &scope, &writes, &life).await;
        Self {
            server,
            namespace,
            name,
            scope,
            admin: server.client().await,
            context: Some(context),
            triggered: Some(triggered),
            following,
            writes,
            life,
            restarted: false,
        }
    }

    /// Lets the operator die with the answer to one of its next writes: 1 is the first of them.
    pub fn dies_with_write(&self, number: i64) {
        self.life.writes_left.store(number, Ordering::SeqCst);
    }

    pub fn writes_left(&self) -> i64 {
        self.life.writes_left.load(Ordering::SeqCst)
    }

    pub fn restarted(&self) -> bool {
        self.restarted
    }

    /// Another operator takes over, which knows nothing.
    pub async fn restart(&mut self) {
        self.restarted = true;
        self.life = Arc::default();
        let (context, triggered, following) =
            operator(self.server, &self.scope, &self.writes, &self.life).await;
        self.context = Some(context);
        self.triggered = Some(triggered);
        self.following = following;
    }

    /// Starts a controller, which reconciles by itself.
    pub fn run(&mut self, stop: &CancellationToken) -> AbortOnDropHandle<()> {
        let scope = Scope {
            namespaces: self.scope.clone(),
            concurrency: 2,
        };
        let (context, triggered) = (self.context.take().unwrap(), self.triggered.take().unwrap());
        let running = controller(context, scope, triggered, stop.clone());
        AbortOnDropHandle::new(tokio::spawn(running))
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Applies the environment with a specification.
    pub fn specify(&self, spec: &Value) {
        let manifest = json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": self.name}, "spec": spec,
        });
        let object = format!("renv/{}", self.name);
        let reader = self.server.reader();
        reader.apply(&self.namespace, &object, &manifest).unwrap();
    }

    /// Waits until the operator has noticed a kind that was installed.
    pub async fn knows<K: Cached>(&self) {
        let cache = &self.context.as_ref().unwrap().cache;
        let mut news = cache.news();
        while !cache.has::<K>() {
            news.changed().await.unwrap();
        }
    }

    pub async fn environment(&self) -> RatesEnvironment {
        self.api().get(self.name).await.unwrap()
    }

    /// Reconciles once; false if the operator died.
    pub async fn lives_through_a_reconcile(&self) -> bool {
        let context = self.context.as_ref().unwrap();
        caught_up(&self.admin, &self.namespace, &context.cache).await;
        let key = format!("{}/{}", self.namespace, self.name);
        let outcome = Box::pin(reconcile(&key, 0, context)).await;
        let dead = self.life.writes_left.load(Ordering::SeqCst) <= 0;
        assert!(dead || outcome.is_ok(), "{:?}", outcome.err());
        !dead
    }

    /// Reconciles once, after so many failures in a row; false if it failed.
    pub async fn reconciles_after(&self, failures: u32) -> bool {
        let context = self.context.as_ref().unwrap();
        caught_up(&self.admin, &self.namespace, &context.cache).await;
        let key = format!("{}/{}", self.namespace, self.name);
        Box::pin(reconcile(&key, failures, context)).await.is_ok()
    }

    /// Waits until the operator has seen what there is of another environment.
    pub async fn sees(&self, other: &Self) {
        let cache = &self.context.as_ref().unwrap().cache;
        caught_up(&self.admin, &other.namespace, cache).await;
    }

    /// One reconcile; gives what it wrote, as `METHOD name-of-kind/name`.
    pub async fn reconcile(&self) -> Vec<String> {
        let context = self.context.as_ref().unwrap();
        caught_up(&self.admin, &self.namespace, &context.cache).await;
        self.writes.lock().unwrap().clear();
        let key = format!("{}/{}", self.namespace, self.name);
        Box::pin(reconcile(&key, 0, context)).await.unwrap();
        let writes = std::mem::take(&mut *self.writes.lock().unwrap());
        let marker = format!("/namespaces/{}/", self.namespace);
        writes
            .iter()
            .map(|write| {
                let (method, path) = write.split_once(' ').unwrap();
                let name = path.split_once(&marker).unwrap().1;
                format!("{method} {name}")
            })
            .collect()
    }

    /// Reconciles until nothing is written any more.
    pub async fn settle(&self) {
        for _ in 0..8 {
            if self.reconcile().await.is_empty() {
                return;
            }
        }
        panic!(
            "still writing after eight reconciles: {:?}",
            self.reconcile().await
        );
    }

    /// What `kubectl get KIND NAME -o jsonpath=…` prints.
    pub fn printed(&self, object: &str, template: &str) -> String {
        let template = format!("jsonpath={template}");
        self.server
            .kubectl(&["-n", &self.namespace, "get", object, "-o", &template], "")
            .text
    }

    /// As [`Stage::printed`] for one path of names and indices, `{.spec.rules[0].host}`, without a program that is
    /// started: the operator under test runs in the thread that asks.
    pub fn field(&self, object: &str, path: &str) -> String {
        match self.server.reader().get(&self.namespace, object) {
            Ok(whole) => objects::at(&whole, path),
            Err(error) => error.to_string(),
        }
    }

    pub fn condition(&self, kind: &str) -> (String, String, String) {
        let environment = self
            .server
            .reader()
            .get(&self.namespace, &format!("renv/{}", self.name))
            .unwrap();
        let condition = environment["status"]["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == kind));
        let field = |name: &str| condition.map_or_else(String::new, |found| objects::text(&found[name]));
        (field("status"), field("reason"), field("message"))
    }

    pub async fn exists<K>(&self, name: &str) -> bool
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        self.api::<K>().get_opt(name).await.unwrap().is_some()
    }

    /// The names of a kind's objects that carry the operator's labels.
    pub async fn names<K>(&self) -> Vec<String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=rates-operator");
        self.api::<K>()
            .list(&ours)
            .await
            .unwrap()
            .iter()
            .map(ResourceExt::name_any)
            .collect()
    }

    async fn jobs(&self, component: &str) -> Vec<Job> {
        let of = ListParams::default().labels(&format!(
            "app.kubernetes.io/component={component},app.kubernetes.io/instance={}",
            self.name
        ));
        self.api::<Job>().list(&of).await.unwrap().items
    }

    /// Whether a component has a Job.
    pub async fn has_job(&self, component: &str) -> bool {
        !self.jobs(component).await.is_empty()
    }

    /// The only Job of a component.
    pub async fn job(&self, component: &str) -> Job {
        let mut jobs = self.jobs(component).await;
        assert_eq!(jobs.len(), 1, "{component}: {jobs:?}");
        jobs.remove(0)
    }

    /// Plays the kubelet: a pod that runs the database as its primary.
    pub async fn database_runs(&self) {
        let labels = json!({"rates.internal/role": "primary"});
        let name = format!("{}-postgres-0", self.name);
        self.pod(&name, "postgres", &labels, None).await;
        let status = json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "postgres", "ready": true, "image": "", "imageID": "", "restartCount": 0,
                "state": {"running": {"startedAt": "2021-01-01T00:00:00Z"}},
            }],
        });
        self.set_status::<Pod>(&name, &status).await;
    }

    /// Plays the Deployment controller and the kubelet: a pod of the API that runs.
    pub async fn api_pod(&self, name: &str) {
        self.pod(name, "api", &json!({}), None).await;
        let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        self.set_status::<Pod>(name, &status).await;
    }

    /// Plays the Job controller and the kubelet: a pod of the Job that ended with a report of this container. Of a seed's
    /// two that run together, the other one ended as it then does.
    pub async fn job_ends(&self, component: &str, container: &str, phase: &str, report: &Value) {
        let job = self.job(component).await;
        let name = format!("{}-pod", job.uid().unwrap());
        let labels = json!({"batch.kubernetes.io/job-name": job.name_any()});
        self.pod(&name, component, &labels, Some(&job)).await;
        let ended = |container: &str, code: i32, message: &str| {
            json!({
                "name": container, "ready": false, "image": "", "imageID": "", "restartCount": 0,
                "state": {"terminated": {
                    "exitCode": code, "message": message,
                    "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
                }},
            })
        };
        let code = i32::from(report["outcome"] == "failed");
        let skipped =
            json!({"outcome": "skipped", "message": "the load did not come to a good end"}).to_string();
        let of_this = ended(container, code, &report.to_string());
        let statuses = match container {
            "load" => vec![of_this, ended("publish", 1, &skipped)],
            "publish" => vec![ended("load", 0, ""), of_this],
            _ => vec![of_this],
        };
        let status = json!({"phase": phase, "containerStatuses": statuses});
        self.set_status::<Pod>(&name, &status).await;
    }

    /// Plays the Deployment controller: all pods are there and ready.
    pub async fn deployment_rolls_out(&self) {
        let api: Api<k8s_openapi::api::apps::v1::Deployment> = self.api();
        let name = format!("{}-api", self.name);
        let deployment = api.get(&name).await.unwrap();
        let replicas = deployment.spec.unwrap().replicas.unwrap();
        let status = json!({
            "observedGeneration": deployment.metadata.generation,
            "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        });
        self.set_status::<k8s_openapi::api::apps::v1::Deployment>(&name, &status)
            .await;
    }

    /// Brings an environment with this specification to Ready.
    pub async fn until_ready(&self, spec: &Value) {
        self.specify(spec);
        self.settle().await;
        self.until_the_api_is_due().await;
        self.deployment_rolls_out().await;
        self.settle().await;
        assert_eq!(
            self.field(&format!("renv/{}", self.name), "{.status.phase}"),
            "Ready"
        );
    }

    /// Plays what has to happen until the API can run.
    pub async fn until_the_api_is_due(&self) {
        self.database_runs().await;
        self.job_ends("seed", "publish", "Succeeded", &seeded()).await;
        self.reconcile().await;
    }

    pub async fn pod(&self, name: &str, component: &str, more: &Value, owner: Option<&Job>) {
        let mut labels = json!({
            "app.kubernetes.io/name": "rates",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/managed-by": "rates-operator",
        });
        labels
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let owners = owner.map(|job| job.owner_ref(&()).unwrap());
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "ownerReferences": owners.into_iter().collect::<Vec<_>>()},
            "spec": {"containers": [{"name": "any", "image": "any"}]},
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.api::<Pod>()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }

    pub async fn annotate<K>(&self, name: &str, annotations: &Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        self.api::<K>()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub async fn set_status<K>(&self, name: &str, status: &Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.admin.clone(), &self.namespace, &resource);
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
}
