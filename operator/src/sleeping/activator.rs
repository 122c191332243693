//! The activator's pods, which the operator watches in its own namespace.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};

use crate::pods::is_ready;
use crate::surroundings::ActivatorPod;

/// By which they are known.
pub const LABEL: &str = "app.kubernetes.io/name=rates-activator";

fn ready(pod: &Pod) -> Option<ActivatorPod> {
    let addresses = pod.status.as_ref()?.pod_ips.iter().flatten();
    let addresses: Vec<String> = addresses.map(|address| address.ip.clone()).collect();
    (is_ready(pod) && !addresses.is_empty()).then(|| ActivatorPod {
        addresses,
        name: pod.name_any(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    })
}

/// Those that are ready, whenever they may have changed. Errors of the watch are logged, and it goes on.
pub fn changes(client: &Client, namespace: &str) -> impl Stream<Item = Vec<ActivatorPod>> + Send + use<> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut seen = Seen::default();
    watcher(api, watcher::Config::default().labels(LABEL))
        .default_backoff()
        .filter_map(async |event| match event {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(%error, "the watch of the activator's pods failed and is tried again");
                None
            }
        })
        .flat_map(move |event| stream::iter(seen.take(event)))
}

/// What the watch has told.
#[derive(Default)]
struct Seen {
    pods: BTreeMap<String, ActivatorPod>,
    /// A list that is under way.
    listed: Option<BTreeMap<String, ActivatorPod>>,
}

impl Seen {
    /// A list counts once it is complete.
    fn take(&mut self, event: Event<Pod>) -> Option<Vec<ActivatorPod>> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeMap::new());
                return None;
            }
            Event::InitApply(pod) => {
                let listed = self.listed.get_or_insert_default();
                listed.extend(ready(&pod).map(|ready| (pod.name_any(), ready)));
                return None;
            }
            Event::InitDone => self.pods = self.listed.take().unwrap_or_default(),
            Event::Apply(pod) => match ready(&pod) {
                Some(ready) => {
                    self.pods.insert(pod.name_any(), ready);
                }
                None => {
                    self.pods.remove(&pod.name_any());
                }
            },
            Event::Delete(pod) => {
                self.pods.remove(&pod.name_any());
            }
        }
        let mut pods: Vec<ActivatorPod> = self.pods.values().cloned().collect();
        pods.sort();
        Some(pods)
    }
}

/// The last that is known of them.
#[derive(Default)]
pub struct Pods(Mutex<Option<Vec<ActivatorPod>>>);

/// What is new.
pub enum Known {
    Same,
    Others,
    /// There are some now, or none any more.
    FirstOrNone,
}

impl Pods {
    pub fn put(&self, pods: Vec<ActivatorPod>) -> Known {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match &*known {
            Some(before) if *before == pods => Known::Same,
            Some(before) if before.is_empty() == pods.is_empty() => Known::Others,
            _ => Known::FirstOrNone,
        };
        *known = Some(pods);
        news
    }

    /// `None` until they were listed once.
    pub fn get(&self) -> Option<Vec<ActivatorPod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: &str) -> Pod {
        let pod = json!({
            "metadata": {"name": name},
            "spec": {"nodeName": "node-1", "containers": []},
            "status": {"podIPs": [{"ip": "198.18.0.9"}], "conditions": [{"type": "Ready", "status": ready}]},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn names(pods: Option<Vec<ActivatorPod>>) -> Option<Vec<String>> {
        pods.map(|pods| pods.into_iter().map(|pod| pod.name).collect())
    }

    #[test]
    fn a_list_counts_once_it_is_complete_and_then_each_change() {
        let mut seen = Seen::default();
        assert_eq!(names(seen.take(Event::Init)), None);
        assert_eq!(names(seen.take(Event::InitApply(pod("a", "True")))), None);
        assert_eq!(names(seen.take(Event::InitDone)).unwrap(), ["a"]);
        assert_eq!(
            names(seen.take(Event::Apply(pod("b", "True")))).unwrap(),
            ["a", "b"]
        );
        assert_eq!(names(seen.take(Event::Apply(pod("a", "False")))).unwrap(), ["b"]);
        // A list that fails half way says nothing of who is not in it.
        assert_eq!(names(seen.take(Event::Init)), None);
        assert_eq!(names(seen.take(Event::Init)), None);
        assert_eq!(names(seen.take(Event::InitApply(pod("b", "True")))), None);
        assert_eq!(names(seen.take(Event::InitDone)).unwrap(), ["b"]);
        assert!(
            names(seen.take(Event::Delete(pod("b", "True"))))
                .unwrap()
                .is_empty()
        );
    }
}
