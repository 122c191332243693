//! What `kubectl renv logs` is asked for.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::duration;
use crate::flags::One;
use crate::parts;

#[derive(Args, Clone, Debug)]
pub struct Logs {
    #[command(flatten)]
    pub one: One,

    /// Go on with what is logged from now on, also by pods that come later
    #[arg(long, short)]
    pub follow: bool,

    /// Only what is younger, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub since: Option<Duration>,

    /// Only so many of the last lines of each container
    #[arg(long, value_name = "LINES")]
    pub tail: Option<i64>,

    /// Only of these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    pub part: Vec<PartName>,

    /// Of containers that were restarted, what the one before said
    #[arg(long, conflicts_with = "follow")]
    pub previous: bool,

    /// Each line with its time
    #[arg(long)]
    pub timestamps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PartName {
    Api,
    Database,
    Seed,
    Migrate,
}

impl PartName {
    /// The label of its pods.
    #[must_use]
    pub const fn component(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Database => parts::POSTGRES,
            Self::Seed => "seed",
            Self::Migrate => "migrate",
        }
    }
}
