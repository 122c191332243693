//! What the Helm charts have from the kustomization: a chart cannot read files outside of itself.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The definition, which `helm uninstall` keeps: every environment would be deleted with it.
pub fn definition(root: &Path) -> Result<String> {
    kept(&read(root, "crds/ratesenvironments.rates.internal.yaml")?)
}

/// The rules of the operator's role.
pub fn rules(root: &Path) -> Result<String> {
    rules_of(root, "manifests/role/cluster-role.yaml")
}

/// The rules of the activator's role.
pub fn activator_rules(root: &Path) -> Result<String> {
    rules_of(root, "manifests/role/activator-cluster-role.yaml")
}

fn rules_of(root: &Path, path: &str) -> Result<String> {
    let role = read(root, path)?;
    let (_, rules) = role
        .split_once("\nrules:\n")
        .with_context(|| format!("no `rules:` in {path}"))?;
    Ok(rules.to_owned())
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

fn kept(definition: &str) -> Result<String> {
    const METADATA: &str = "\nmetadata:\n";
    const KEEP: &str = "  annotations:\n    helm.sh/resource-policy: keep\n";
    ensure!(
        !definition.contains("{{"),
        "the definition holds what Helm takes for a template; write it otherwise"
    );
    let (before, after) = definition
        .split_once(METADATA)
        .context("no `metadata:` in the definition")?;
    ensure!(
        !after.starts_with("  annotations:"),
        "the definition has annotations of its own; add Helm's to them"
    );
    Ok(format!("{before}{METADATA}{KEEP}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_told_to_stay_and_is_otherwise_the_same() {
        let chart = kept("kind: X\nmetadata:\n  name: x\nspec: {}\n").unwrap();
        assert_eq!(
            chart,
            "kind: X\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n  name: x\nspec: {}\n"
        );
    }

    #[test]
    fn what_helm_would_take_for_a_template_is_refused() {
        assert!(kept("metadata:\n  name: {{ x }}\n").is_err());
    }
}
