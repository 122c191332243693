//! `kubectl renv report`: everything that a bug report needs, in one archive or folder, without secrets.

mod archive;
mod objects;
mod pod_logs;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

use crate::canvas::{self, Canvas};
use crate::cluster::Cluster;
use crate::flags::One;
use crate::parts::Parts;
use crate::status::{Summary, draw};
use archive::Files;

/// The parts of the operator, by the label of their pods.
const OPERATOR: [&str; 2] = ["rates-operator", "rates-activator"];

#[derive(Args, Clone, Debug)]
#[command(after_help = CONTENT)]
pub struct Report {
    #[command(flatten)]
    pub one: One,

    /// Where it goes: a file NAME.tar.gz, or a folder that is not there yet; by default NAME-report-TIME.tar.gz
    #[arg(long, short, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// The namespace of the operator
    #[arg(long, default_value = "rates-system")]
    pub operator_namespace: String,
}

const CONTENT: &str = "\
It has the environment's object and status, the objects that the operator made for it, their Events, the logs of its
pods, and the operator's Deployment and logs. Of Secrets it has the metadata alone: their values are not read. Variables
with the names of secrets, passwords in URIs and bearer tokens are replaced by REDACTED. Prices and other rows are not in
it. Look through it before you give it away: what a log says in words of its own cannot be known.";

pub async fn run(arguments: &Report) -> Result<()> {
    let cluster = Cluster::connect(&arguments.one.target).await?;
    let name = &arguments.one.name;
    let now = Timestamp::now();
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}-report-{}.tar.gz", now.strftime("%Y%m%dT%H%M%SZ"))));
    archive::check(&output)?;
    let environment = cluster.environment(name).await?;
    let parts = Parts::of(&cluster, name).await?;
    let summary = Summary::of(&environment, &parts, now);
    let mut files = Files::default();
    files.text("status.txt", &draw(&summary, now, Canvas::PLAIN));
    files.text("status.json", &serde_json::to_string_pretty(&summary)?);
    files.object("environment.yaml", serde_json::to_value(&environment.object)?)?;
    files.objects("events.yaml", &parts.events)?;
    objects::of_environment(&cluster, name, &mut files).await?;
    pod_logs::add(&cluster, &parts.pods, "logs", &mut files).await;
    of_operator(&cluster.in_namespace(&arguments.operator_namespace), &mut files).await?;
    objects::of_cluster(&cluster, &mut files).await?;
    let (count, unread) = (files.len(), files.unread().len());
    files.write(&output)?;
    let unread = match unread {
        0 => String::new(),
        number => format!("; {number} kinds or logs could not be read, unread.txt names them"),
    };
    canvas::write(&format!(
        "{}: {count} files{unread}\nNo values of Secrets were read. Look through it before you give it away.\n",
        output.display()
    ))
}

/// What runs the environments.
async fn of_operator(cluster: &Cluster, files: &mut Files) -> Result<()> {
    for part in OPERATOR {
        let selector = format!("app.kubernetes.io/name={part}");
        let pods = objects::of_operator(cluster, part, &selector, files).await?;
        pod_logs::add(cluster, &pods, "operator/logs", files).await;
    }
    Ok(())
}
