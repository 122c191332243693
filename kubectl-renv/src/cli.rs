//! What the command line says.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::create::Create;
use crate::database::{Restart, Rotate, Switchover};
use crate::flags::{One, Several};
use crate::lifetime::{Extend, Sleeping};
use crate::list::List;
use crate::logs::Logs;
use crate::plan::Plan;
use crate::preview::Preview;
use crate::psql::Psql;
use crate::report::Report;
use crate::status::Status;

/// Makes, shows and changes rates environments.
#[derive(Parser)]
#[command(name = "kubectl-renv", bin_name = "kubectl renv", version, about, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 it failed; 2 the arguments are wrong; 3 there is no such environment; 4 what was waited for did not
come. `psql` has psql's own.";

#[derive(Subcommand)]
pub enum Command {
    /// Make an environment
    Create(Box<Create>),
    /// Show an environment as a tree: what is there, what is going on, and since when
    Status(Status),
    /// Show environments, a line each
    List(List),
    /// Print where the API answers
    Url(One),
    /// Show the logs of all parts in one stream
    Logs(Logs),
    /// Open psql at the primary, read-only unless --write
    Psql(Psql),
    /// Stop all pods until somebody asks for the environment; the data are kept
    Sleep(Sleeping),
    /// Start an environment that sleeps
    Wake(Sleeping),
    /// Let an environment end later
    Extend(Extend),
    /// Move the database's primary to a standby
    Switchover(Switchover),
    /// Replace the pods of the API or of the database
    Restart(Restart),
    /// Replace a password or the token
    Rotate(Rotate),
    /// Show what an apply would change, and what it would restart
    Plan(Plan),
    /// The environment of a pull request
    Preview(Preview),
    /// Collect what a bug report needs, without secrets
    Report(Report),
    /// Show what limits an environment: the ladder of nine rungs, or of several environments the worst rung of each
    Top(Top),
    /// Print the completion of a shell for kubectl-renv, or the program by which kubectl completes `kubectl renv`
    Completion {
        /// For whom
        #[arg(value_enum)]
        shell: Completed,
    },
    /// Answers kubectl while somebody types
    #[command(name = "__complete", hide = true)]
    Complete {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Who completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Completed {
    Kubectl,
    Bash,
    Zsh,
    Fish,
    Elvish,
    PowerShell,
}

impl Completed {
    /// `None` is kubectl.
    #[must_use]
    pub const fn shell(self) -> Option<Shell> {
        Some(match self {
            Self::Kubectl => return None,
            Self::Bash => Shell::Bash,
            Self::Zsh => Shell::Zsh,
            Self::Fish => Shell::Fish,
            Self::Elvish => Shell::Elvish,
            Self::PowerShell => Shell::PowerShell,
        })
    }
}

#[derive(Args, Clone, Debug)]
#[command(after_help = FORWARD)]
pub struct Top {
    /// The environment; without a name all of the namespace, a line each
    #[arg(conflicts_with = "all_namespaces")]
    pub name: Option<String>,

    #[command(flatten)]
    pub several: Several,

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
