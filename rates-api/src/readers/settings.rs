//! How reads use the database.

use std::time::Duration;

use crate::duration::seconds;

#[derive(Debug, Clone, clap::Args)]
pub struct ReaderSettings {
    /// Connections that all reads share; each has many queries under way at once
    #[arg(long, env = "RATES_READ_CONNECTIONS", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub read_connections: u16,

    /// Reads of regions over many pairs and days that are made at once, each on a connection of its own; more wait
    #[arg(long, env = "RATES_REGION_READ_CONNECTIONS", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub region_read_connections: u16,

    /// Seconds that a query on a shared connection may take; a connection that is silent for longer is replaced
    #[arg(
        long,
        env = "RATES_QUERY_TIMEOUT_SECONDS",
        default_value = "5",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub query_timeout_seconds: Duration,

    /// Seconds that making a connection may take
    #[arg(
        long,
        env = "RATES_CONNECT_TIMEOUT_SECONDS",
        default_value = "3",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub connect_timeout_seconds: Duration,
}
