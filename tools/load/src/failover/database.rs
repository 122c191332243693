//! The database of an environment as kubectl shows it: its pods, its primary, who streams.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use client::environment::{Environment, condition};
use client::http::Client;
use client::wait::Look;

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    /// Empty while it is on none.
    pub node: String,
    pub ready: bool,
    pub ending: bool,
    pub ip: String,
    /// What Patroni's label says.
    pub role: String,
}

#[derive(Clone, Copy)]
pub struct Database<'a> {
    pub environment: &'a Environment,
    /// Kubernetes' API.
    pub api: &'a Client,
}

const SELECTOR: &str = "labelSelector=app.kubernetes.io%2Fcomponent%3Dpostgres";

impl Database<'_> {
    fn get(&self, path: &str) -> Result<Value> {
        let response = self.api.get(path)?;
        ensure!(response.status == 200, "GET {path}: {}", response.status);
        response.json()
    }

    fn in_namespace(&self, group: &str, rest: &str) -> Result<Value> {
        let namespace = self.environment.kubectl.namespace();
        self.get(&format!("/{group}/namespaces/{namespace}/{rest}"))
    }

    /// The instances' pods, by name.
    pub fn pods(&self) -> Result<Vec<Pod>> {
        let list = self.in_namespace("api/v1", &format!("pods?{SELECTOR}"))?;
        let items = list["items"].as_array().context("a list without items")?;
        let mut pods: Vec<_> = items.iter().map(pod).collect();
        pods.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(pods)
    }

    /// The holder of Patroni's leader key.
    pub fn leader(&self) -> Result<String> {
        let key = format!("configmaps/{}-postgres-leader", self.environment.name);
        let key = self.in_namespace("api/v1", &key)?;
        let leader = key["metadata"]["annotations"]["leader"]
            .as_str()
            .unwrap_or_default();
        ensure!(!leader.is_empty(), "nobody holds the leader key");
        Ok(leader.to_owned())
    }

    pub fn primary(&self) -> Result<Pod> {
        let leader = self.leader()?;
        let pods = self.pods()?;
        pods.into_iter()
            .find(|pod| pod.name == leader)
            .with_context(|| format!("the leader {leader} has no pod"))
    }

    pub fn standbys(&self) -> Result<Vec<Pod>> {
        let leader = self.leader()?;
        let mut pods = self.pods()?;
        pods.retain(|pod| pod.name != leader);
        Ok(pods)
    }

    /// A query's rows from a pod, asked as the superuser within it.
    pub fn sql(&self, pod: &str, database: &str, query: &str) -> Result<String> {
        self.environment.kubectl.psql_as_superuser(pod, database, query)
    }

    /// Where a Service leads: Kubernetes' controllers may follow the pods a minute later, when the API server was away.
    fn endpoints(&self, service: &str) -> Result<BTreeSet<String>> {
        let selector = format!("endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}");
        let slices = self.in_namespace("apis/discovery.k8s.io/v1", &selector)?;
        let endpoints = slices["items"].as_array().into_iter().flatten();
        let ready = endpoints
            .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
            .filter(|endpoint| endpoint["conditions"]["ready"] == true);
        let addresses = ready.flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten());
        Ok(addresses
            .filter_map(|address| address.as_str().map(str::to_owned))
            .collect())
    }

    /// Whether all of it is as it has to be, and everything acknowledged is on another instance too.
    pub fn healthy(&self, instances: usize) -> Result<Look<()>> {
        let object = format!("ratesenvironments/{}", self.environment.name);
        let object = self.in_namespace("apis/rates.internal/v1alpha1", &object)?;
        let status = &object["status"];
        let current = object["metadata"]["generation"] == status["observedGeneration"];
        if !current || condition(&object, "Ready")["status"] != "True" || status["phase"] != "Ready" {
            return Ok(Look::NotYet(format!(
                "phase {}, {}",
                status["phase"],
                condition(&object, "Ready")
            )));
        }
        let available = condition(&object, "HighlyAvailable");
        if instances > 1 && available["status"] != "True" {
            return Ok(Look::NotYet(available.to_string()));
        }
        let pods = self.pods()?;
        let primaries: Vec<_> = pods.iter().filter(|pod| pod.role == "primary").collect();
        let settled = pods.len() == instances && pods.iter().all(|pod| pod.ready && !pod.ending);
        let [primary] = primaries[..] else {
            return Ok(Look::NotYet(format!("{} primaries: {pods:?}", primaries.len())));
        };
        if !settled || primary.name != self.leader()? {
            return Ok(Look::NotYet(format!("{pods:?}")));
        }
        let standbys = pods.iter().filter(|pod| instances == 1 || pod.role != "primary");
        for (service, pods) in [("", vec![primary]), ("-ro", standbys.collect())] {
            let service = format!("{}-postgres{service}", self.environment.name);
            let wanted: BTreeSet<_> = pods.into_iter().map(|pod| pod.ip.clone()).collect();
            let found = self.endpoints(&service)?;
            if found != wanted {
                return Ok(Look::NotYet(format!(
                    "{service} leads to {found:?}, not to {wanted:?}"
                )));
            }
        }
        let query = "SELECT count(*) FROM pg_stat_replication \
                     WHERE state = 'streaming' AND application_name NOT LIKE '%basebackup%' \
                     AND application_name NOT LIKE '%receivewal%'";
        let streaming = self.sql(&primary.name, "postgres", query)?;
        Ok(if streaming == (instances - 1).to_string() {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{streaming} standbys stream"))
        })
    }
}

fn pod(object: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Pod {
        name: text(&object["metadata"]["name"]),
        uid: text(&object["metadata"]["uid"]),
        node: text(&object["spec"]["nodeName"]),
        ready: condition(object, "Ready")["status"] == "True",
        ending: object["metadata"]["deletionTimestamp"].is_string(),
        ip: text(&object["status"]["podIP"]),
        role: text(&object["metadata"]["labels"]["rates.internal/role"]),
    }
}
