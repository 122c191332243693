//! What Argo CD is told of environments' health: a patch of its settings, made from the script that is tested.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const SCRIPT: &str = "manifests/argocd/health.lua";

/// A strategic merge patch of the `ConfigMap` that Argo CD has its settings in.
pub fn patch(root: &Path) -> Result<String> {
    let script = fs::read_to_string(root.join(SCRIPT)).with_context(|| format!("cannot read {SCRIPT}"))?;
    let mut text = format!(
        "# Written by `cargo xtask generate` from {SCRIPT}.\n\
         # kubectl patch configmap argocd-cm --namespace argocd --patch-file manifests/argocd/argocd-cm.yaml\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n  \
         resource.customizations.health.rates.internal_RatesEnvironment: |\n"
    );
    for line in script.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}
