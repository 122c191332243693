//! `kubectl renv psql`: psql in the primary's pod, as the application's login.

use std::io::{self, IsTerminal as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::flags::{One, Target};
use crate::parts::{POSTGRES, Parts};

/// Runs in the pod. The password stays in the pod's files: it is on no command line, here or there.
const SCRIPT: &str = "\
PGUSER=$(cat /etc/rates/app/username) PGPASSWORD=$(cat /etc/rates/app/password) || exit 1
export PGUSER PGPASSWORD PGHOST=127.0.0.1 PGDATABASE=rates PGAPPNAME='kubectl renv psql' PGOPTIONS=\"$1\"
shift
exec psql \"$@\"";

/// What makes transactions read-only.
pub const READ_ONLY: &str = "-c default_transaction_read_only=on";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Psql {
    #[command(flatten)]
    pub one: One,

    /// Let it change rows; without this every transaction is read-only
    #[arg(long)]
    pub write: bool,

    /// psql's own arguments, behind --
    #[arg(last = true, value_name = "PSQL ARGUMENTS")]
    pub arguments: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  kubectl renv psql pr-42
  kubectl renv psql pr-42 -- -c 'SELECT count(*) FROM prices'
  kubectl renv psql pr-42 --write < changes.sql

The exit code is psql's. The login may read and change rows, and nothing else.";

/// Becomes `kubectl exec`, which knows terminals, signals and exit codes.
pub async fn run(arguments: &Psql) -> Result<()> {
    let target = &arguments.one.target;
    let cluster = Cluster::connect(target).await?;
    let environment = cluster.environment(&arguments.one.name).await?;
    let parts = Parts::of(&cluster, &arguments.one.name).await?;
    let Some(primary) = parts.primary().and_then(|pod| pod.metadata.name.clone()) else {
        let hint = match environment.phase() {
            "Asleep" => format!("; `kubectl renv wake {} --wait` wakes it", arguments.one.name),
            _ => String::new(),
        };
        return Err(Failure::NotReached(format!(
            "{} has no primary to connect to: it is {}: {}{hint}",
            environment.key(),
            environment.phase(),
            environment.message()
        ))
        .into());
    };
    let options = if arguments.write { "" } else { READ_ONLY };
    let mut command = kubectl(target, &cluster.namespace);
    let tty: &[&str] = if io::stdin().is_terminal() && io::stdout().is_terminal() {
        &["--stdin", "--tty"]
    } else {
        &["--stdin"]
    };
    exec(&mut command, &primary, (tty, options), &arguments.arguments);
    // It comes back only where there is no such program.
    Err(command.exec()).context("cannot start kubectl, which has to be on PATH")
}

/// Lets kubectl run psql in a database pod.
pub fn exec(command: &mut Command, pod: &str, (stdin, options): (&[&str], &str), arguments: &[String]) {
    command
        .args(["exec", pod, "--container", POSTGRES, "--quiet"])
        .args(stdin)
        .args(["--", "sh", "-c", SCRIPT, "psql", options])
        .args(arguments);
}

/// kubectl for the same cluster and namespace.
#[must_use]
pub fn kubectl(target: &Target, namespace: &str) -> Command {
    let mut command = Command::new("kubectl");
    command.arg("--namespace").arg(namespace);
    if let Some(context) = &target.context {
        command.arg("--context").arg(context);
    }
    if let Some(kubeconfig) = &target.kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    command
}
