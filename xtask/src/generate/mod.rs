//! The files that are made from the code, or from one another: the CRD from the operator's types, the dashboards from
//! `tools/monitoring`, the object of Prometheus' rules from their plain files, and what the charts have of the
//! kustomization.

mod argo_cd;
mod charts;
mod crd;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use host::{terminal, workspace};
use monitoring::dashboards;

#[derive(clap::Args)]
pub struct Arguments {
    /// Write nothing; fail when a file is not current
    #[arg(long)]
    pub check: bool,
}

/// A file of the repository and what makes its content.
struct Generated {
    /// Relative to the root of the clone.
    path: &'static str,
    content: fn(root: &Path) -> Result<String>,
}

/// In this order: the charts' files are made from what is written before them.
const FILES: [Generated; 15] = [
    Generated {
        path: "crds/ratesenvironments.rates.internal.yaml",
        content: |_| crd::yaml(),
    },
    Generated {
        path: "charts/rates-operator-crds/templates/ratesenvironments.rates.internal.yaml",
        content: charts::definition,
    },
    Generated {
        path: "charts/rates-operator/rules.yaml",
        content: charts::rules,
    },
    Generated {
        path: "charts/rates-operator/activator-rules.yaml",
        content: charts::activator_rules,
    },
    Generated {
        path: "manifests/monitoring/prometheus-rule.yaml",
        content: monitoring::rules::object,
    },
    Generated {
        path: "charts/rates-operator/monitoring/rules.yaml",
        content: monitoring::rules::groups,
    },
    Generated {
        path: "manifests/argocd/argocd-cm.yaml",
        content: argo_cd::patch,
    },
    Generated {
        path: "manifests/monitoring/dashboards/rates-environments.json",
        content: |_| dashboards::file("environments"),
    },
    Generated {
        path: "manifests/monitoring/dashboards/rates-environment.json",
        content: |_| dashboards::file("environment"),
    },
    Generated {
        path: "manifests/monitoring/dashboards/rates-operator.json",
        content: |_| dashboards::file("operator"),
    },
    Generated {
        path: "manifests/monitoring/dashboards/rates-rollouts.json",
        content: |_| dashboards::file("rollouts"),
    },
    Generated {
        path: "charts/rates-operator/monitoring/rates-environments.json",
        content: |_| dashboards::file("environments"),
    },
    Generated {
        path: "charts/rates-operator/monitoring/rates-environment.json",
        content: |_| dashboards::file("environment"),
    },
    Generated {
        path: "charts/rates-operator/monitoring/rates-operator.json",
        content: |_| dashboards::file("operator"),
    },
    Generated {
        path: "charts/rates-operator/monitoring/rates-rollouts.json",
        content: |_| dashboards::file("rollouts"),
    },
];

pub fn run(arguments: &Arguments) -> Result<()> {
    let root = workspace::root();
    if arguments.check {
        check(&root, &FILES)
    } else {
        write(&root, &FILES)
    }
}

fn check(root: &Path, files: &[Generated]) -> Result<()> {
    let mut stale = Vec::new();
    for file in files {
        if !holds(&root.join(file.path), &(file.content)(root)?) {
            stale.push(file.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "not current: {}; run `cargo xtask generate` and commit what it writes",
            stale.join(", ")
        );
    }
    Ok(())
}

fn write(root: &Path, files: &[Generated]) -> Result<()> {
    for file in files {
        let path = root.join(file.path);
        let content = (file.content)(root)?;
        if holds(&path, &content) {
            terminal::note(format_args!("{} is current", file.path));
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(&path, &content).with_context(|| format!("cannot write {}", path.display()))?;
        terminal::note(format_args!("{} written", file.path));
    }
    Ok(())
}

/// A file that cannot be read holds nothing.
fn holds(path: &Path, content: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes == content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_differs_is_named_and_one_that_is_current_is_not() {
        let root = tempfile::tempdir().unwrap();
        let current = Generated {
            path: "current.txt",
            content: |_| Ok("same".into()),
        };
        let stale = Generated {
            path: "folder/stale.txt",
            content: |_| Ok("new".into()),
        };
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(root.path().join(current.path), "same").unwrap();
        fs::write(root.path().join(stale.path), "old").unwrap();

        let error = check(root.path(), &[current, stale]).unwrap_err().to_string();

        assert!(error.contains("folder/stale.txt"), "{error}");
        assert!(!error.contains("current.txt"), "{error}");
    }

    #[test]
    fn what_was_written_is_current() {
        let root = tempfile::tempdir().unwrap();
        let files = [Generated {
            path: "folder/new.txt",
            content: |_| Ok("new".into()),
        }];

        write(root.path(), &files).unwrap();

        check(root.path(), &files).unwrap();
    }
}
