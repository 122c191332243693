//! What the operator made, as files that kubectl can apply to an empty server: without what a server adds, and without
//! owners, which are not there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use super::servers::Servers;

/// All that the operator applies.
const KINDS: &str = "secrets,configmaps,serviceaccounts,roles,rolebindings,persistentvolumeclaims,services,\
statefulsets,jobs,deployments,horizontalpodautoscalers,poddisruptionbudgets,networkpolicies,ingresses";

/// The children in a folder of one file a namespace, and how many they are.
pub struct Children {
    pub folder: PathBuf,
    pub count: usize,
}

pub fn export(servers: &Servers, namespaces: &[String], folder: &Path) -> Result<Children> {
    fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut count = 0;
    for namespace in namespaces {
        let ours = "--selector=app.kubernetes.io/managed-by=rates-operator";
        let text = servers.kubectl(&["-n", namespace, "get", KINDS, ours, "-o", "json"])?;
        let mut list: Value = serde_json::from_str(&text).context("kubectl printed no JSON")?;
        let items = list["items"].as_array_mut().context("kubectl printed no list")?;
        items.iter_mut().for_each(strip);
        count += items.len();
        fs::write(folder.join(format!("{namespace}.json")), list.to_string())?;
    }
    Ok(Children {
        folder: folder.to_path_buf(),
        count,
    })
}

fn strip(object: &mut Value) {
    let job = object["kind"] == "Job";
    let Some(object) = object.as_object_mut() else {
        return;
    };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
        if job {
            drop_generated(metadata);
        }
    }
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    for key in ["clusterIP", "clusterIPs", "volumeName"] {
        // Headless stays headless.
        if spec
            .get(key)
            .is_some_and(|value| value != "None" && value[0] != "None")
        {
            spec.remove(key);
        }
    }
    if job {
        spec.remove("selector");
        let template = spec
            .get_mut("template")
            .and_then(|template| template.get_mut("metadata"));
        if let Some(metadata) = template.and_then(Value::as_object_mut) {
            drop_generated(metadata);
        }
    }
}

/// The labels that tie a Job to its pods, which are another server's.
fn drop_generated(metadata: &mut Map<String, Value>) {
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| !key.contains("controller-uid") && !key.ends_with("job-name"));
    }
}
