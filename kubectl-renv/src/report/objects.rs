//! The objects of a report.

use anyhow::Result;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde::Serialize;

use super::archive::Files;
use crate::cluster::Cluster;
use crate::parts::selector;

/// What the operator makes, but for Secrets: group, version, kind and plural.
const KINDS: [(&str, &str, &str, &str); 18] = [
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Service", "services"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("batch", "v1", "Job", "jobs"),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
];

/// Everything that was made for an environment.
pub async fn of_environment(cluster: &Cluster, name: &str, files: &mut Files) -> Result<()> {
    let everything = ListParams::default().labels(&selector(name));
    for (group, version, kind, plural) in KINDS {
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &kind);
        let listed = api.list(&everything).await.map(|listed| listed.items);
        keep(files, &format!("objects/{plural}.yaml"), listed)?;
    }
    // Metadata is all that the API server sends then.
    let secrets = cluster.api::<Secret>().list_metadata(&everything).await;
    keep(
        files,
        "objects/secrets-metadata.yaml",
        secrets.map(|listed| listed.items),
    )?;
    Ok(())
}

/// One part of the operator; gives its pods.
pub async fn of_operator(
    cluster: &Cluster,
    part: &str,
    selector: &str,
    files: &mut Files,
) -> Result<Vec<Pod>> {
    let chosen = ListParams::default().labels(selector);
    let deployments = cluster.api::<k8s_openapi::api::apps::v1::Deployment>();
    let deployments = deployments.list(&chosen).await.map(|listed| listed.items);
    keep(files, &format!("operator/{part}-deployments.yaml"), deployments)?;
    let pods = cluster
        .api::<Pod>()
        .list(&chosen)
        .await
        .map(|listed| listed.items);
    let found = pods.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
    keep(files, &format!("operator/{part}-pods.yaml"), pods)?;
    Ok(found)
}

/// The versions of the API server and of the definition, and the nodes.
pub async fn of_cluster(cluster: &Cluster, files: &mut Files) -> Result<()> {
    match cluster.client.apiserver_version().await {
        Ok(version) => files.object("cluster/version.yaml", serde_json::to_value(version)?)?,
        Err(error) => files.not_read("cluster/version.yaml", &error.to_string()),
    }
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(cluster.client.clone());
    let nodes = nodes.list(&ListParams::default()).await;
    let nodes = nodes.map(|mut listed| {
        for node in &mut listed.items {
            if let Some(status) = &mut node.status {
                status.images = None;
            }
        }
        listed.items
    });
    keep(files, "cluster/nodes.yaml", nodes)?;
    let definitions = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    let definitions: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &definitions);
    let definition = definitions.get("ratesenvironments.rates.internal").await;
    keep(
        files,
        "cluster/definition.yaml",
        definition.map(|definition| vec![definition]),
    )
}

/// Keeps what was listed. A kind that the cluster has not is left out; what may not be read is named.
fn keep<T: Serialize>(files: &mut Files, path: &str, listed: kube::Result<Vec<T>>) -> Result<()> {
    match listed {
        Ok(objects) if objects.is_empty() => Ok(()),
        Ok(objects) => files.objects(path, &objects),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(kube::Error::Api(status)) => {
            files.not_read(path, &status.message);
            Ok(())
        }
        Err(error) => {
            files.not_read(path, &error.to_string());
            Ok(())
        }
    }
}
