//! What `kubectl renv preview` is asked for, and which environment that is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use kube::ResourceExt as _;

use crate::cluster::Cluster;
use crate::create::Specification;
use crate::duration;
use crate::environment::Environment;
use crate::flags::{Format, Target};

/// Of an environment: of which pull request it is.
pub const PULL_REQUEST: &str = "rates.internal/pull-request";
/// Of an environment: the commit that it was last made of.
pub const COMMIT: &str = "rates.internal/commit";

#[derive(Args, Clone, Debug)]
pub struct Preview {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make or update the environment of a pull request, and wait until it is Ready
    Up(Box<Up>),
    /// Delete the environment of a pull request, and wait until nothing of it is left
    Down(Down),
    /// Print what a comment on the pull request says of its environment, as Markdown
    Comment(Comment),
}

/// The environment of a pull request.
#[derive(Args, Clone, Debug)]
pub struct Numbered {
    /// The pull request's number
    pub number: u64,

    /// What the environment's name begins with; the number follows
    #[arg(long, default_value = "pr-")]
    pub prefix: String,

    #[command(flatten)]
    pub target: Target,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = TEMPLATE)]
pub struct Up {
    #[command(flatten)]
    pub numbered: Numbered,

    /// A file with the environment's manifest
    #[arg(long, short = 'f', value_name = "FILE")]
    pub template: Option<PathBuf>,

    /// The commit that it is made of
    #[arg(long)]
    pub commit: Option<String>,

    #[command(flatten)]
    pub specification: Specification,

    /// Apply it and return
    #[arg(long)]
    pub no_wait: bool,

    /// For how long to wait at most until it is Ready
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub timeout: Duration,

    /// The form of the output: a sentence, or what `list` has of one environment
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Args, Clone, Debug)]
pub struct Down {
    #[command(flatten)]
    pub numbered: Numbered,

    /// For how long to wait at most until nothing is left
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub timeout: Duration,
}

#[derive(Args, Clone, Debug)]
pub struct Comment {
    #[command(flatten)]
    pub numbered: Numbered,

    /// The pull request's newest commit; the comment says where the environment is of another one
    #[arg(long)]
    pub commit: Option<String>,
}

const TEMPLATE: &str = "\
The template is a RatesEnvironment. In its texts ${NUMBER}, ${NAME} and ${COMMIT} are replaced; its name and namespace
are those of the command. Flags count more than what it says. A lifetime.ttl begins anew with each `up`. An environment
that sleeps is woken. To run it again changes nothing that is as it should be.";

impl Numbered {
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}{}", self.prefix, self.number)
    }

    /// The environment, if there is one; an error where it is somebody else's.
    pub async fn found(&self, cluster: &Cluster) -> Result<Option<Environment>> {
        let name = self.name();
        let found = cluster.environments().get_opt(&name).await;
        let found = found.map_err(|error| cluster.explain(error, &format!("read environment {name}")))?;
        let Some(environment) = found.map(Environment::new) else {
            return Ok(None);
        };
        let label = environment.object.labels().get(PULL_REQUEST);
        ensure!(
            label.is_some_and(|label| *label == self.number.to_string()),
            "environment {} was not made for pull request {}, as its label {PULL_REQUEST} would say: it is left alone; \
             --prefix chooses other names",
            environment.key(),
            self.number
        );
        Ok(Some(environment))
    }
}
