//! The environment that is rolled out: its spec as it is now, and whether all of it has arrived.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use client::environment::{Environment, condition};
use client::wait::{Look, until};

/// How the environment is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub profile: &'static str,
    pub replicas: u32,
    /// Above the time that the nodes' proxies take to notice.
    pub propagation: Duration,
    pub max_batch: Duration,
}

/// How hard it is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    pub shape: Shape,
    /// Requests a second.
    pub rate: f64,
    /// A step lasts at least so long, whatever is quicker.
    pub step: Duration,
}

pub struct Subject {
    pub environment: Environment,
    spec: Value,
}

/// For a rollout with all its drains; a batch in flight may be long.
pub const PATIENCE: Duration = Duration::from_mins(5);

impl Subject {
    pub fn create(name: &str, shape: &Shape) -> Result<Self> {
        Self::with_spec(
            name,
            json!({
                "profile": shape.profile,
                "database": {"seed": {"bundled": {}}},
                "api": {
                    "replicas": shape.replicas,
                    "rollout": {
                        "propagationSeconds": shape.propagation.as_secs(),
                        "maxBatchSeconds": shape.max_batch.as_secs(),
                    },
                },
            }),
        )
    }

    /// Makes an environment with this spec, and waits until all of it is there.
    pub fn with_spec(name: &str, spec: Value) -> Result<Self> {
        let subject = Self {
            environment: Environment::new(name)?,
            spec,
        };
        subject.environment.apply(&subject.spec)?;
        subject.environment.wait_ready()?;
        subject.settled()?;
        Ok(subject)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.environment.name
    }

    #[must_use]
    pub fn deployment(&self) -> String {
        format!("{}-api", self.environment.name)
    }

    /// Sets what a JSON pointer names (null removes it), and applies the whole as `kubectl apply` does.
    pub fn set(&mut self, pointer: &str, value: Value) -> Result<()> {
        let (parent, member) = pointer.rsplit_once('/').context("a pointer has a slash")?;
        let mut parent_value = &mut self.spec;
        for part in parent.split('/').skip(1) {
            if !parent_value[part].is_object() {
                parent_value[part] = json!({});
            }
            parent_value = &mut parent_value[part];
        }
        match (value, parent_value.as_object_mut()) {
            (Value::Null, Some(parent)) => drop(parent.remove(member)),
            (value, _) => parent_value[member] = value,
        }
        self.environment.apply(&self.spec)
    }

    /// What a pointer names now.
    #[must_use]
    pub fn value(&self, pointer: &str) -> Value {
        self.spec.pointer(pointer).cloned().unwrap_or_default()
    }

    pub fn annotate(&self, annotation: &str) -> Result<()> {
        let target = format!("renv/{}", self.name());
        let arguments = ["annotate", "--overwrite", &target, annotation];
        self.environment.kubectl.run(arguments).map(drop)
    }

    /// Waits until everything is as the spec says, and the last pod that is not part of it has gone.
    pub fn settled(&self) -> Result<()> {
        until(
            format_args!("{} is Ready with its own pods alone", self.name()),
            PATIENCE,
            || {
                let object = self.environment.object()?;
                let status = &object["status"];
                let current = object["metadata"]["generation"] == status["observedGeneration"];
                if !current || condition(&object, "Ready")["status"] != "True" || status["phase"] != "Ready" {
                    return Ok(Look::NotYet(status.to_string()));
                }
                if status["database"]["rotation"].is_string() {
                    return Ok(Look::NotYet("the password is being rotated".to_owned()));
                }
                self.rolled_out()
            },
        )
    }

    fn rolled_out(&self) -> Result<Look<()>> {
        let kubectl = &self.environment.kubectl;
        let deployment = kubectl
            .get("deployment", &self.deployment())?
            .context("no Deployment")?;
        let (spec, status) = (&deployment["spec"], &deployment["status"]);
        let wanted = &spec["replicas"];
        let arrived = deployment["metadata"]["generation"] == status["observedGeneration"]
            && [
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
            ]
            .iter()
            .all(|count| status[count] == *wanted);
        let pods = self.pods()?;
        let only = u64::try_from(pods.len()).ok() == wanted.as_u64();
        Ok(if arrived && only {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{status}, {} pods", pods.len()))
        })
    }

    /// The API's pods that are there, ending ones included, but those that have ended.
    pub fn pods(&self) -> Result<Vec<Value>> {
        let selector = "app.kubernetes.io/component=api";
        let mut pods = self.environment.kubectl.list("pods", selector)?;
        pods.retain(|pod| pod["status"]["phase"] != "Succeeded" && pod["status"]["phase"] != "Failed");
        Ok(pods)
    }

    /// The names of the API's pods: a rollout leaves none of those that were there.
    pub fn pod_names(&self) -> Result<Vec<String>> {
        let pods = self.pods()?;
        let names = pods
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned));
        names.collect::<Option<_>>().context("a pod without a name")
    }

    /// Waits until so many pods are wanted, whoever wants them.
    pub fn scaled_to(&self, replicas: u32) -> Result<()> {
        until(format_args!("{replicas} API pods are wanted"), PATIENCE, || {
            let deployment = self
                .environment
                .kubectl
                .get("deployment", &self.deployment())?
                .context("no Deployment")?;
            let found = &deployment["spec"]["replicas"];
            Ok(if *found == replicas {
                Look::Holds(())
            } else {
                Look::NotYet(found.to_string())
            })
        })
    }

    /// Waits until the pods that were there are being replaced.
    pub fn replaces(&self, before: &[String]) -> Result<()> {
        until("the pods are being replaced", PATIENCE, || {
            let now = self.pod_names()?;
            Ok(if now.iter().all(|name| before.contains(name)) {
                Look::NotYet(format!("{now:?}"))
            } else {
                Look::Holds(())
            })
        })
    }

    /// The node of the database's pod.
    pub fn database_node(&self) -> Result<String> {
        let pod = format!("{}-postgres-0", self.name());
        let node = self
            .environment
            .kubectl
            .run(["get", "pod", &pod, "-o", "jsonpath={.spec.nodeName}"])?;
        ensure!(!node.is_empty(), "{pod} is on no node");
        Ok(node)
    }
}
