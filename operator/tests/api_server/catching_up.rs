//! Waits until the operator's cache holds what the API server has, so that a test that changed
//! something can ask for the next reconcile.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use rates_operator::cache::{Cache, Cached};
use rates_operator::crd::RatesEnvironment;
use rates_operator::http_route::HTTPRoute;
use rates_operator::pod_monitor::PodMonitor;

/// Returns when the cache holds every environment and child of the namespace at its current version.
pub async fn caught_up(client: &Client, namespace: &str, cache: &Cache) {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=rates-operator");
    let all = async {
        // Before, it does not know which kinds there are.
        listed(cache).await;
        kind::<RatesEnvironment>(client, namespace, cache, &ListParams::default()).await;
        kind::<Secret>(client, namespace, cache, &ours).await;
        kind::<ConfigMap>(client, namespace, cache, &ours).await;
        kind::<ServiceAccount>(client, namespace, cache, &ours).await;
        kind::<Role>(client, namespace, cache, &ours).await;
        kind::<RoleBinding>(client, namespace, cache, &ours).await;
        kind::<PersistentVolumeClaim>(client, namespace, cache, &ours).await;
        kind::<Service>(client, namespace, cache, &ours).await;
        kind::<StatefulSet>(client, namespace, cache, &ours).await;
        kind::<Job>(client, namespace, cache, &ours).await;
        kind::<Deployment>(client, namespace, cache, &ours).await;
        kind::<HorizontalPodAutoscaler>(client, namespace, cache, &ours).await;
        kind::<PodDisruptionBudget>(client, namespace, cache, &ours).await;
        kind::<NetworkPolicy>(client, namespace, cache, &ours).await;
        kind::<Ingress>(client, namespace, cache, &ours).await;
        if cache.has::<HTTPRoute>() {
            kind::<HTTPRoute>(client, namespace, cache, &ours).await;
        }
        if cache.has::<PodMonitor>() {
            kind::<PodMonitor>(client, namespace, cache, &ours).await;
        }
        kind::<Pod>(client, namespace, cache, &ours).await;
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), all).await;
    assert!(waited.is_ok(), "the cache lacks something after 30 s");
}

async fn kind<K: Cached>(client: &Client, namespace: &str, cache: &Cache, which: &ListParams) {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut news = cache.news();
    loop {
        let there: BTreeMap<String, u64> = api
            .list_metadata(which)
            .await
            .unwrap()
            .iter()
            .map(|object| {
                (
                    object.name_any(),
                    object.resource_version().unwrap().parse().unwrap(),
                )
            })
            .collect();
        if cache.versions::<K>(namespace) == there {
            return;
        }
        // What is written meanwhile, by a controller for instance, is looked for again.
        let _ = tokio::time::timeout(Duration::from_secs(1), news.changed()).await;
    }
}

async fn listed(cache: &Cache) {
    let mut news = cache.news();
    while !cache.waiting_for().is_empty() {
        news.changed().await.unwrap();
    }
}
