//! The rules of `manifests/monitoring/rules/`: what is in them, and the object that the Prometheus operator takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::Expression;

/// The plain files, which promtool checks and a Prometheus without its operator reads.
pub const FOLDER: &str = "manifests/monitoring/rules";

/// A rule of one of the files.
#[derive(Clone, Debug, Deserialize)]
pub struct Rule {
    pub record: Option<String>,
    pub alert: Option<String>,
    pub expr: String,
    /// How long an alert's expression has to hold, such as `5m`.
    #[serde(rename = "for")]
    pub holds: Option<String>,
    #[serde(default)]
    pub annotations: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

/// The files in the order of their names.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(FOLDER);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.sort();
    ensure!(!files.is_empty(), "no rules in {}", folder.display());
    Ok(files)
}

/// Every rule.
pub fn all(root: &Path) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for path in files(root)? {
        let file: File = serde_yaml::from_str(&read(&path)?)
            .with_context(|| format!("{} is no file of rules", path.display()))?;
        rules.extend(file.groups.into_iter().flat_map(|group| group.rules));
    }
    Ok(rules)
}

/// What the rules ask.
pub fn expressions(root: &Path) -> Result<Vec<Expression>> {
    Ok(all(root)?
        .into_iter()
        .map(|rule| Expression {
            place: format!("rule {}", rule.record.or(rule.alert).unwrap_or_default()),
            text: rule.expr,
            only: None,
        })
        .collect())
}

/// The groups of all files as they are written, comments included.
pub fn groups(root: &Path) -> Result<String> {
    let mut text =
        String::from("# Written by `cargo xtask generate` from manifests/monitoring/rules/.\ngroups:\n");
    for path in files(root)? {
        let file = read(&path)?;
        let (_, groups) = file
            .split_once("\ngroups:\n")
            .with_context(|| format!("no `groups:` in {}", path.display()))?;
        text.push_str(groups.trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// The object for the Prometheus operator.
pub fn object(root: &Path) -> Result<String> {
    let mut text = String::from(
        "# Written by `cargo xtask generate` from manifests/monitoring/rules/.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: rates\n  labels:\n    app.kubernetes.io/name: rates-operator\n\
         spec:\n",
    );
    for line in groups(root)?.lines().skip(1) {
        if !line.is_empty() {
            text.push_str("  ");
            text.push_str(line);
        }
        text.push('\n');
    }
    Ok(text)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
