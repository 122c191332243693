//! The bounds of the server.

use std::time::Duration;

use crate::duration::{seconds, some_seconds};

#[derive(Debug, Clone, clap::Args)]
pub struct ServerSettings {
    /// Seconds from SIGTERM until whatever is still open is closed
    #[arg(long, env = "RATES_DRAIN_SECONDS", default_value = "25", value_parser = seconds, value_name = "SECONDS")]
    pub drain_seconds: Duration,

    /// Seconds without a request, after SIGTERM, until no new connection is taken
    #[arg(long, env = "RATES_DRAIN_QUIET_SECONDS", default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    pub drain_quiet_seconds: Duration,

    /// Seconds after SIGTERM for which an idle connection is kept, in case its client sends one more request
    #[arg(long, env = "RATES_DRAIN_IDLE_SECONDS", default_value = "5", value_parser = seconds, value_name = "SECONDS")]
    pub drain_idle_seconds: Duration,

    /// Connections that are served at once; more wait to be accepted
    #[arg(long, env = "RATES_MAX_CONNECTIONS", default_value = "4096", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Seconds that a connection may be idle, or take to send the head of a request
    #[arg(long, env = "RATES_IDLE_TIMEOUT_SECONDS", default_value = "75", value_parser = some_seconds, value_name = "SECONDS")]
    pub idle_timeout_seconds: Duration,
}
