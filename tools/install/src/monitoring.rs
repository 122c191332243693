//! Prometheus and Alertmanager on a local cluster, with the rules and consoles of `manifests/monitoring`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use host::terminal::Step;
use host::{command, workspace};
use images::Image;
use local_cluster::Running;

use crate::overlay::access_folder;

/// What scrapes, what runs, and where alerts go; `objects.yaml` has two words that are replaced.
const OBJECTS: &str = include_str!("../monitoring/objects.yaml");
const PROMETHEUS: &str = include_str!("../monitoring/prometheus.yaml");
const ALERTMANAGER: &str = include_str!("../monitoring/alertmanager.yaml");

/// The namespace of all of it, and the Service of Prometheus' pages.
pub const NAMESPACE: &str = "monitoring";
pub const SERVICE: &str = "prometheus";
pub const PORT: u16 = 9090;

/// Brings the image to the cluster, and Prometheus and Alertmanager with it; waits until they answer.
pub fn install(running: &Running) -> Result<()> {
    let objects = objects_for(running)?;
    apply(&|| running.kubectl(), &objects)
}

/// Brings the image to the cluster, and gives the objects that use it as one list.
pub fn objects_for(running: &Running) -> Result<Value> {
    let built = images::build(&[Image::Monitoring])?;
    let built = built.first().context("the image was not built")?;
    running.import_images(&[(&built.reference, &built.archive)])?;
    objects(&built.reference, &workspace::root().join("manifests/monitoring"))
}

fn apply(kubectl: &dyn Fn() -> Command, objects: &Value) -> Result<()> {
    let step = Step::begin("install Prometheus and Alertmanager");
    let folder = access_folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join("monitoring.json");
    fs::write(&file, objects.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    command::output(
        kubectl()
            .args(["apply", "--server-side", "--force-conflicts", "--filename"])
            .arg(&file),
    )?;
    for deployment in ["deployment/prometheus", "deployment/alertmanager"] {
        command::output(kubectl().args([
            "rollout",
            "status",
            deployment,
            "--namespace",
            NAMESPACE,
            "--timeout=120s",
        ]))
        .with_context(|| {
            format!("it does not start; look at `kubectl --namespace {NAMESPACE} describe {deployment}`")
        })?;
    }
    step.done();
    Ok(())
}

/// The objects, with an image and with what is in this folder as ConfigMaps. A change of any of them replaces the pods.
pub fn objects(image: &str, folder: &Path) -> Result<Value> {
    let rules = files(&folder.join("rules"))?;
    let consoles = files(&folder.join("consoles"))?;
    ensure!(!rules.is_empty(), "{} has no rules", folder.display());
    let config_maps = [
        config_map("prometheus", &json!({"prometheus.yaml": PROMETHEUS})),
        config_map("prometheus-rules", &json!(rules)),
        config_map("prometheus-consoles", &json!(consoles)),
        config_map("alertmanager", &json!({"alertmanager.yaml": ALERTMANAGER})),
    ];
    let text = OBJECTS
        .replace("IMAGE", image)
        .replace("CONFIGURATION", &hash(&json!(config_maps)));
    let mut items = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        items.push(Value::deserialize(document).context("tools/install/monitoring/objects.yaml is no YAML")?);
    }
    // The namespace comes first; pods find their ConfigMaps.
    items.splice(1..1, config_maps);
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    })
}

fn hash(value: &Value) -> String {
    Sha256::digest(value.to_string())
        .iter()
        .take(8)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The files of a folder by their names; none where there is no folder.
fn files(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(files);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(name, text);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Value {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        fs::write(folder.path().join("rules/ladder.yaml"), "groups: []\n").unwrap();
        objects("localhost/rates-monitoring:0a", folder.path()).unwrap()
    }

    #[test]
    fn the_namespace_is_first_and_every_object_is_in_it_or_in_none() {
        let list = list();
        let items = list["items"].as_array().unwrap();
        assert_eq!(items[0]["kind"], "Namespace");
        for item in items {
            let namespace = &item["metadata"]["namespace"];
            let of_cluster =
                ["Namespace", "ClusterRole", "ClusterRoleBinding"].contains(&item["kind"].as_str().unwrap());
            assert!(
                of_cluster && namespace.is_null() || namespace == NAMESPACE,
                "{item}"
            );
        }
    }

    #[test]
    fn pods_run_the_image_that_was_built_and_change_with_their_configuration() {
        let text = list().to_string();
        assert_eq!(text.matches("localhost/rates-monitoring:0a").count(), 3, "{text}");
        assert!(
            !text.contains("IMAGE") && !text.contains("CONFIGURATION"),
            "{text}"
        );
    }

    #[test]
    fn a_folder_without_rules_is_an_error() {
        assert!(objects("", Path::new("/nonexistent")).is_err());
    }
}
