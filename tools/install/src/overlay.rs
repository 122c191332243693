//! Installing the operator: the manifests as they are, with the images that were built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use serde::Serialize;

use host::command;
use host::terminal::Step;
use host::workspace;
use images::{Built, Image};

const OPERATOR: &str = "rates-operator";
const ACTIVATOR: &str = "rates-activator";
const SYSTEM: &str = "rates-system";

/// A kustomization over `manifests/` that says which images to use.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kustomization {
    api_version: &'static str,
    kind: &'static str,
    resources: Vec<&'static str>,
    images: Vec<ImageReplacement>,
    config_map_generator: Vec<Generator>,
}

/// The operator's own image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageReplacement {
    name: &'static str,
    new_name: String,
    new_tag: String,
}

/// What the operator is told by variables: the images that it gives to environments, and the size of the machine.
#[derive(Serialize)]
struct Generator {
    name: String,
    namespace: &'static str,
    behavior: &'static str,
    literals: Vec<String>,
}

/// Installs the operator and waits until it runs.
pub fn apply(kubectl: &dyn Fn() -> Command, built: &[Built]) -> Result<()> {
    let step = Step::begin("install the operator");
    let folder = access_folder().join("install");
    write_overlay(&folder, built)?;
    command::output(
        kubectl()
            .args(["apply", "--server-side", "--force-conflicts", "--kustomize"])
            .arg(&folder),
    )?;
    for name in [OPERATOR, ACTIVATOR] {
        let deployment = format!("deployment/{name}");
        command::output(kubectl().args([
            "rollout",
            "status",
            &deployment,
            "--namespace",
            SYSTEM,
            "--timeout=180s",
        ]))
        .with_context(|| {
            format!("{name} does not start; look at `kubectl --namespace {SYSTEM} describe {deployment}`")
        })?;
    }
    step.done();
    Ok(())
}

fn write_overlay(folder: &Path, built: &[Built]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join("kustomization.yaml");
    let text = serde_yaml::to_string(&kustomization(built)?).context("cannot write the kustomization")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn kustomization(built: &[Built]) -> Result<Kustomization> {
    let reference = |image: Image| {
        built
            .iter()
            .find(|built| built.image == image)
            .map(|built| built.reference.as_str())
            .with_context(|| format!("the image {} was not built", image.name()))
    };
    let (name, tag) = reference(Image::Operator)?
        .rsplit_once(':')
        .context("an image's reference has no tag")?;
    let postgres: Vec<_> = built
        .iter()
        .filter_map(|built| Some(format!("{}={}", built.image.postgres_version()?, built.reference)))
        .collect();
    Ok(Kustomization {
        api_version: "kustomize.config.k8s.io/v1beta1",
        kind: "Kustomization",
        // Relative, as kustomize wants it: the overlay lies two folders below the clone.
        resources: vec!["../../manifests"],
        images: vec![ImageReplacement {
            name: Image::Operator.name(),
            new_name: name.to_owned(),
            new_tag: tag.to_owned(),
        }],
        config_map_generator: vec![Generator {
            name: format!("{OPERATOR}-images"),
            namespace: SYSTEM,
            behavior: "merge",
            literals: vec![
                format!("RATES_API_IMAGE={}", reference(Image::Api)?),
                format!("RATES_POSTGRES_IMAGES={}", postgres.join(",")),
                format!("RATES_EXPORTER_IMAGE={}", reference(Image::Exporter)?),
                // All nodes of the local cluster share this machine.
                format!("RATES_STARTS_AT_ONCE={}", 2 * processors()),
            ],
        }],
    })
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The folder in which a clone keeps its kubeconfig, its kubectl and the overlay.
#[must_use]
pub fn access_folder() -> PathBuf {
    workspace::root().join(".local-cluster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_names_every_image_that_was_built() {
        let built = |image: Image, reference: &str| Built {
            image,
            reference: reference.to_owned(),
            archive: Path::new("/x").to_path_buf(),
        };
        let all = [
            built(Image::Operator, "registry:5000/rates-operator:aa"),
            built(Image::Api, "registry:5000/rates-api:bb"),
            built(Image::Postgres13, "registry:5000/p13:cc"),
            built(Image::Postgres17, "registry:5000/p17:dd"),
            built(Image::Exporter, "registry:5000/rates-exporter:ee"),
        ];
        let found = kustomization(&all).unwrap();
        assert_eq!(found.images[0].new_name, "registry:5000/rates-operator");
        assert_eq!(found.images[0].new_tag, "aa");
        assert_eq!(
            found.config_map_generator[0].literals,
            [
                "RATES_API_IMAGE=registry:5000/rates-api:bb",
                "RATES_POSTGRES_IMAGES=13.5=registry:5000/p13:cc,17=registry:5000/p17:dd",
                "RATES_EXPORTER_IMAGE=registry:5000/rates-exporter:ee",
                &format!("RATES_STARTS_AT_ONCE={}", 2 * processors()),
            ]
        );
        assert!(kustomization(&all[1..]).is_err(), "without the operator's image");
    }
}
