//! Objects read and applied without a program that is started for each.

use std::sync::mpsc::sync_channel;

use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// The kinds as the tests name them, with where the API server has them.
const KINDS: [(&str, &str, &str); 16] = [
    ("cm", "api/v1", "configmaps"),
    ("deployment", "apis/apps/v1", "deployments"),
    ("endpointslice", "apis/discovery.k8s.io/v1", "endpointslices"),
    ("hpa", "apis/autoscaling/v2", "horizontalpodautoscalers"),
    ("httproute", "apis/gateway.networking.k8s.io/v1", "httproutes"),
    ("ingress", "apis/networking.k8s.io/v1", "ingresses"),
    ("job", "apis/batch/v1", "jobs"),
    ("networkpolicy", "apis/networking.k8s.io/v1", "networkpolicies"),
    ("pod", "api/v1", "pods"),
    ("podmonitor", "apis/monitoring.coreos.com/v1", "podmonitors"),
    ("pvc", "api/v1", "persistentvolumeclaims"),
    ("renv", "apis/rates.internal/v1alpha1", "ratesenvironments"),
    ("secret", "api/v1", "secrets"),
    ("service", "api/v1", "services"),
    ("statefulset", "apis/apps/v1", "statefulsets"),
    ("svc", "api/v1", "services"),
];

/// A client with a thread of its own: the answer comes also where the test's own thread waits for it.
pub struct Reader {
    thread: Runtime,
    client: Client,
}

impl Reader {
    pub fn new(config: Config) -> Self {
        let thread = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = {
            let _entered = thread.enter();
            Client::try_from(config).unwrap()
        };
        Self { thread, client }
    }

    /// `KIND/NAME` of a namespace.
    pub fn get(&self, namespace: &str, object: &str) -> kube::Result<Value> {
        self.answer(http::Request::get(path(namespace, object)).body(Vec::new()))
    }

    /// Applies `KIND/NAME` in a namespace; fields that the kind does not have are refused.
    pub fn apply(&self, namespace: &str, object: &str, manifest: &Value) -> kube::Result<Value> {
        let question = "fieldManager=tests&fieldValidation=Strict&force=true";
        let request = http::Request::patch(format!("{}?{question}", path(namespace, object)))
            .header("Content-Type", "application/apply-patch+yaml")
            .body(manifest.to_string().into_bytes());
        self.answer(request)
    }

    fn answer(&self, request: http::Result<http::Request<Vec<u8>>>) -> kube::Result<Value> {
        let (client, request) = (self.client.clone(), request.unwrap());
        let (sender, answer) = sync_channel(1);
        self.thread.spawn(async move {
            let _ = sender.send(client.request::<Value>(request).await);
        });
        answer.recv().unwrap()
    }
}

/// Where the API server has `KIND/NAME` of a namespace.
fn path(namespace: &str, object: &str) -> String {
    let (kind, name) = object.split_once('/').unwrap();
    let (_, group, plural) = KINDS
        .iter()
        .find(|(known, ..)| *known == kind)
        .unwrap_or_else(|| panic!("{kind} is not among the kinds that the tests read"));
    format!("/{group}/namespaces/{namespace}/{plural}/{name}")
}

/// What is at a path of names and indices, such as `{.spec.rules[0].host}`, as kubectl prints it: a text without
/// quotes, and nothing for what is not there.
pub fn at(whole: &Value, path: &str) -> String {
    let names = path
        .strip_prefix("{.")
        .and_then(|path| path.strip_suffix('}'))
        .unwrap_or_else(|| panic!("{path} is no path"));
    // Within a name a point has a backslash before it.
    let names = names.replace(r"\.", "\0");
    let mut value = whole;
    for step in names.split('.') {
        let mut parts = step.split('[');
        let name = parts.next().unwrap_or_default().replace('\0', ".");
        value = &value[name];
        for index in parts {
            let index: usize = index.trim_end_matches(']').parse().unwrap();
            value = &value[index];
        }
    }
    text(value)
}

/// A value as kubectl prints it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
