//! What several commands take: which cluster and namespace, which form of output, and for how long to wait.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::duration;

/// Which cluster and namespace, as kubectl has it.
#[derive(Args, Clone, Debug, Default)]
pub struct Target {
    /// The namespace; by default that of the kubeconfig's context
    #[arg(long, short)]
    pub namespace: Option<String>,

    /// The kubeconfig's context, by default its current one
    #[arg(long)]
    pub context: Option<String>,

    /// The kubeconfig; by default that of the variable KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// The environments of a namespace, or of all.
#[derive(Args, Clone, Debug)]
pub struct Several {
    /// The environments of all namespaces
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub all_namespaces: bool,

    #[command(flatten)]
    pub target: Target,
}

/// One environment of a cluster.
#[derive(Args, Clone, Debug)]
pub struct One {
    /// The environment's name
    pub name: String,

    #[command(flatten)]
    pub target: Target,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One document, whose fields are in docs/kubectl-renv.md
    Json,
    /// The same as YAML
    Yaml,
}

impl Format {
    /// A value for programs; `None` where people read.
    pub fn serialised<T: Serialize>(self, value: &T) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Text => None,
            Self::Json => Some(format!("{}\n", serde_json::to_string_pretty(value)?)),
            Self::Yaml => Some(serde_yaml::to_string(value)?),
        })
    }
}

/// Whether and for how long to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct Wait {
    /// Wait until it is done, and tell on standard error what is going on
    #[arg(long)]
    pub wait: bool,

    /// For how long --wait waits at most
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub timeout: Duration,
}
