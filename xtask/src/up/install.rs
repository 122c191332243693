//! Installing the operator: the manifests as they are, with the images that were built.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::access_folder;
use crate::command;
use crate::images::{Built, Image};
use crate::terminal::Step;
use crate::workspace;

const OPERATOR: &str = "rates-operator";
const SYSTEM: &str = "rates-system";

/// A kustomization over `manifests/`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kustomization {
    api_version: &'static str,
    kind: &'static str,
    resources: Vec<String>,
    patches: Vec<Patch>,
}

#[derive(Serialize)]
struct Patch {
    path: &'static str,
}

/// Installs the operator and waits until it runs.
pub fn operator(kubectl: &dyn Fn() -> Command, built: &[Built]) -> Result<()> {
    let step = Step::begin("install the operator");
    let folder = access_folder().join("install");
    write_overlay(&folder, built)?;
    command::output(
        kubectl()
            .args(["apply", "--server-side", "--force-conflicts", "--kustomize"])
            .arg(&folder),
    )?;
    let deployment = format!("deployment/{OPERATOR}");
    command::output(kubectl().args([
        "rollout",
        "status",
        &deployment,
        "--namespace",
        SYSTEM,
        "--timeout=180s",
    ]))
    .with_context(|| {
        format!("the operator does not start; look at `kubectl --namespace {SYSTEM} describe {deployment}`")
    })?;
    step.done();
    Ok(())
}

fn write_overlay(folder: &Path, built: &[Built]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let patch = "images.yaml";
    let kustomization = Kustomization {
        api_version: "kustomize.config.k8s.io/v1beta1",
        kind: "Kustomization",
        // Relative, as kustomize wants it: the overlay lies two folders below the clone.
        resources: vec!["../../manifests".to_owned()],
        patches: vec![Patch { path: patch }],
    };
    write(
        &folder.join("kustomization.yaml"),
        &serde_yaml::to_string(&kustomization)?,
    )?;
    write(&folder.join(patch), &serde_yaml::to_string(&deployment(built)?)?)
}

/// The images in the operator's Deployment: its own, and the defaults that it gives to environments.
fn deployment(built: &[Built]) -> Result<Value> {
    let reference = |image: Image| {
        built
            .iter()
            .find(|built| built.image == image)
            .map(|built| built.reference.clone())
            .with_context(|| format!("the image {} was not built", image.name()))
    };
    let postgres: Vec<_> = built
        .iter()
        .filter_map(|built| Some(format!("{}={}", built.image.postgres_version()?, built.reference)))
        .collect();
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OPERATOR, "namespace": SYSTEM},
        "spec": {"template": {"spec": {"containers": [{
            "name": "operator",
            "image": reference(Image::Operator)?,
            "imagePullPolicy": "IfNotPresent",
            "env": [
                {"name": "RATES_API_IMAGE", "value": reference(Image::Api)?},
                {"name": "RATES_POSTGRES_IMAGES", "value": postgres.join(",")},
            ],
        }]}}},
    }))
}

fn write(path: &Path, contents: &str) -> Result<()> {
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// The sample environment's manifest.
pub fn sample(name: &str) -> std::path::PathBuf {
    workspace::root().join(format!("manifests/samples/{name}.yaml"))
}
