//! What the command line says.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Looks at rates environments.
#[derive(Parser)]
#[command(name = "kubectl-renv", bin_name = "kubectl renv", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show what limits an environment: the ladder of nine rungs, or of several environments the worst rung of each
    Top(Top),
    /// Print the completion of a shell for this command
    Completion {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args, Clone, Debug)]
#[command(after_help = FORWARD)]
pub struct Top {
    /// The environment; without a name all of the namespace, a line each
    pub name: Option<String>,

    /// The namespace; by default that of the kubeconfig's context
    #[arg(long, short)]
    pub namespace: Option<String>,

    /// The environments of all namespaces, a line each
    #[arg(long, short = 'A', conflicts_with_all = ["name", "namespace"])]
    pub all_namespaces: bool,

    /// The kubeconfig's context, by default its current one
    #[arg(long)]
    pub context: Option<String>,

    /// The address of the Prometheus that has the rules of manifests/monitoring, such as <http://127.0.0.1:9090>
    #[arg(long, env = "RATES_PROMETHEUS", value_name = "URL")]
    pub prometheus: Option<String>,

    /// Go on until it is ended, anew every 3 seconds; what a terminal gets by default
    #[arg(long, conflicts_with = "once")]
    pub watch: bool,

    /// Show it once; what is no terminal gets by default
    #[arg(long)]
    pub once: bool,

    /// The form of the output; json: one document, with --watch one a line
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// How one gets at a Prometheus; shown by --help, and where no address is given.
pub const FORWARD: &str = "\
A Prometheus in the cluster is reached through a forwarded port:
  kubectl port-forward -n monitoring service/prometheus 9090 &
  kubectl renv top NAME --prometheus http://127.0.0.1:9090
The variable RATES_PROMETHEUS does the same as --prometheus. `cargo xtask up --monitoring` prints the address of its own.";
