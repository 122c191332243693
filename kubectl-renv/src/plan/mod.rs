//! `kubectl renv plan`: what an apply would change, and what it would restart.
//!
//! The only command that knows the operator's code: it has the operator's own plan and objects made for both
//! specifications, and compares them.

mod change;
mod difference;
mod observe;
#[cfg(test)]
mod tests;
mod text;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use jiff::Timestamp;
use rates_operator::crd::RatesEnvironment;
use serde_json::Value;

use crate::canvas;
use crate::cluster::Cluster;
use crate::flags::{Format, Target};
use crate::psql;

#[derive(Args, Clone, Debug)]
#[command(after_help = HONEST)]
pub struct Plan {
    /// The environment's manifest, as `kubectl apply -f` takes it; - is standard input
    pub file: PathBuf,

    #[command(flatten)]
    pub target: Target,

    /// As `kubectl apply --server-side` would apply it
    #[arg(long)]
    pub server_side: bool,

    /// The namespace of the operator, whose default images count
    #[arg(long, default_value = "rates-system")]
    pub operator_namespace: String,

    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

const HONEST: &str = "\
The API server says by a dry run of kubectl what the object would be, and whether it takes it. What the operator makes of
it is computed here by the operator's own code, of this plugin's release: install the plugin of the operator's release.
Whether a parameter needs a restart the database is asked. Nothing is changed.";

pub async fn run(arguments: &Plan) -> Result<()> {
    let cluster = Cluster::connect(&arguments.target).await?;
    let next = dry_run(arguments, &cluster)?;
    let next: RatesEnvironment =
        serde_json::from_value(next).context("the API server's object is not one that this release knows")?;
    let name = next.metadata.name.clone().context("the manifest has no name")?;
    let cluster = cluster.in_namespace(next.metadata.namespace.as_deref().unwrap_or(&cluster.namespace));
    let found = cluster.environments().get_opt(&name).await;
    let found = found.map_err(|error| cluster.explain(error, &format!("read environment {name}")))?;
    let operator = observe::operator(&cluster, &arguments.operator_namespace, &next).await;
    let now = Timestamp::now();
    let change = match found {
        None => change::creation(&cluster.namespace, &name, &next)?,
        Some(object) => {
            let current: RatesEnvironment = serde_json::from_value(serde_json::to_value(object)?)
                .context("the environment is not one that this release knows")?;
            let observed = Box::pin(observe::observe(&cluster, current)).await?;
            let mut change = change::of(&observed, &next, &operator, now)?;
            if !change.database.parameters.is_empty() && !change.database.restarts {
                let primary = observe::primary(&observed);
                change.database.parameters_restart = primary.and_then(|pod| {
                    restarting(&arguments.target, &cluster, &pod, &change.database.parameters).ok()
                });
            }
            change
        }
    };
    canvas::write(
        &arguments
            .output
            .serialised(&change)?
            .unwrap_or_else(|| text::draw(&change)),
    )
}

/// The object as an apply would leave it, by kubectl's own rules.
fn dry_run(arguments: &Plan, cluster: &Cluster) -> Result<Value> {
    let manifest = if arguments.file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?
    } else {
        std::fs::read_to_string(&arguments.file)
            .with_context(|| format!("cannot read {}", arguments.file.display()))?
    };
    let mut kubectl = psql::kubectl(&arguments.target, &cluster.namespace);
    kubectl.args(["apply", "--dry-run=server", "-f", "-", "-o", "json"]);
    if arguments.server_side {
        kubectl.arg("--server-side");
    }
    let mut child = kubectl
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start kubectl, which has to be on PATH")?;
    if let Some(mut input) = child.stdin.take() {
        // kubectl may refuse it before it has read all.
        let _ = input.write_all(manifest.as_bytes());
    }
    let output = child.wait_with_output().context("kubectl broke off")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "an apply would be refused: {}",
        said.trim()
    );
    let object: Value = serde_json::from_slice(&output.stdout).context("kubectl's answer is no object")?;
    if object["kind"] != "RatesEnvironment" {
        bail!(
            "the manifest has {}; plan takes one RatesEnvironment at a time",
            object["kind"].as_str().unwrap_or("no kind")
        );
    }
    Ok(object)
}

/// Which of these parameters the server takes only when it starts.
fn restarting(target: &Target, cluster: &Cluster, pod: &str, parameters: &[String]) -> Result<Vec<String>> {
    let names: Vec<String> = parameters
        .iter()
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
        })
        .map(|name| format!("'{}'", name.to_ascii_lowercase()))
        .collect();
    let query = format!(
        "SELECT name FROM pg_settings WHERE context = 'postmaster' AND lower(name) IN ({}) ORDER BY 1",
        names.join(", ")
    );
    let mut command: Command = psql::kubectl(target, &cluster.namespace);
    psql::exec(
        &mut command,
        pod,
        (&[], psql::READ_ONLY),
        &["-XAtc".to_owned(), query],
    );
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    ensure!(output.status.success());
    Ok(String::from_utf8(output.stdout)?
        .lines()
        .map(str::to_owned)
        .collect())
}
