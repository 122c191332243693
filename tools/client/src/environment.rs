//! A `RatesEnvironment` in a namespace of its own, as its users see it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::http::Client;
use crate::kubectl::Kubectl;
use crate::service;
use crate::wait::{Look, until};

/// How long anything may take on two busy cores before it counts as failed.
pub const PATIENCE: Duration = Duration::from_mins(4);

/// The names that are in use.
static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// An environment `name` in namespace `e2e-name`, both gone when this is dropped.
pub struct Environment {
    pub name: String,
    pub kubectl: Kubectl,
    keep: bool,
}

impl Environment {
    /// Makes the namespace; the environment itself comes with `apply`. Whoever comes later with the same name is refused: one
    /// of the two would delete the other's namespace.
    pub fn new(name: &str) -> Result<Self> {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            names.insert(name.to_owned()),
            "another test has an environment {name}"
        );
        drop(names);
        let namespace = format!("e2e-{name}");
        Kubectl::new("default").apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }))?;
        let keep = std::env::var_os("RATES_E2E_KEEP").is_some();
        Ok(Self {
            name: name.to_owned(),
            kubectl: Kubectl::new(namespace),
            keep,
        })
    }

    /// The object with this spec.
    #[must_use]
    pub fn manifest(&self, spec: &Value) -> Value {
        json!({
            "apiVersion": "rates.internal/v1alpha1",
            "kind": "RatesEnvironment",
            "metadata": {"name": self.name, "namespace": self.kubectl.namespace()},
            "spec": spec,
        })
    }

    /// `kubectl apply` of the environment with this spec.
    pub fn apply(&self, spec: &Value) -> Result<()> {
        self.kubectl.apply(&self.manifest(spec)).map(drop)
    }

    /// The object as it is now; an error where there is none.
    pub fn object(&self) -> Result<Value> {
        self.kubectl
            .get("ratesenvironment", &self.name)?
            .with_context(|| format!("RatesEnvironment {} does not exist", self.name))
    }

    /// Waits until Ready is True for the newest generation; gives how long that took.
    pub fn wait_ready(&self) -> Result<Duration> {
        let started = Instant::now();
        // A watch costs less than looking again and again. What it missed, as when it was cut off, is looked for.
        let _ = self.kubectl.run([
            "wait",
            &format!("ratesenvironment/{}", self.name),
            "--for=condition=Ready",
            &format!("--timeout={}s", PATIENCE.as_secs()),
        ]);
        let rest = PATIENCE.saturating_sub(started.elapsed());
        until(format_args!("{} is Ready", self.name), rest, || {
            let object = self.object()?;
            let ready = condition(&object, "Ready");
            let current = object["metadata"]["generation"] == object["status"]["observedGeneration"];
            if current && ready["status"] == "True" {
                return Ok(Look::Holds(()));
            }
            Ok(Look::NotYet(object["status"].to_string()))
        })
        .map_err(|error| error.context(self.diagnosis()))?;
        Ok(started.elapsed())
    }

    /// Waits until a condition has this status; gives the condition.
    pub fn wait_condition(&self, kind: &str, status: &str) -> Result<Value> {
        until(
            format_args!("condition {kind} of {} is {status}", self.name),
            PATIENCE,
            || {
                let object = self.object()?;
                let found = condition(&object, kind);
                if found["status"] == status {
                    return Ok(Look::Holds(found));
                }
                Ok(Look::NotYet(object["status"].to_string()))
            },
        )
        .map_err(|error| error.context(self.diagnosis()))
    }

    /// A client of Service `x-api`'s address, which takes connections.
    pub fn client(&self) -> Result<Client> {
        service::client(&self.kubectl, &format!("{}-api", self.name))
    }

    /// The token that batches come with.
    pub fn ingest_token(&self) -> Result<String> {
        self.kubectl.secret(&format!("{}-api", self.name), "ingest-token")
    }

    /// One value from the environment's database.
    pub fn psql(&self, query: &str) -> Result<String> {
        self.kubectl.psql(&self.name, query)
    }

    /// Everything that carries this environment's label.
    pub fn objects(&self) -> Result<Vec<String>> {
        let kinds = "statefulsets,deployments,replicasets,jobs,pods,services,secrets,configmaps,\
                     persistentvolumeclaims,serviceaccounts,roles,rolebindings,\
                     horizontalpodautoscalers,poddisruptionbudgets,endpointslices,\
                     networkpolicies,ingresses";
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        Ok(self.kubectl.list(kinds, &selector)?.iter().map(label).collect())
    }

    /// What a person would look at when this environment is not well.
    fn diagnosis(&self) -> String {
        let look = |arguments: &[&str]| {
            self.kubectl
                .run(arguments.iter().copied())
                .unwrap_or_else(|error| format!("{error:#}"))
        };
        format!(
            "state of {}:\n{}\n{}",
            self.name,
            look(&["get", "renv,pods,jobs,persistentvolumeclaims", "-o", "wide"]),
            look(&["get", "events", "--sort-by=.lastTimestamp"]),
        )
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // What is left behind goes with the cluster; a test's result stands by now.
        let namespace = self.kubectl.namespace();
        let _ = self.kubectl.run([
            "delete",
            "namespace",
            namespace,
            "--wait=false",
            "--ignore-not-found",
        ]);
    }
}

/// The condition of this type, or null.
#[must_use]
pub fn condition(object: &Value, kind: &str) -> Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == kind))
        .cloned()
        .unwrap_or_default()
}

/// `kind/name` of an object.
#[must_use]
pub fn label(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// What the bundled seed answers for CNGGZ to EETLL on 2021-01-31: three prices that add up to 3463.
#[must_use]
pub fn bundled_rate() -> Value {
    json!({"count": 3, "day": "2021-01-31", "price": 3463.0 / 3.0})
}
