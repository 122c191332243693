//! What counts as use.

#[derive(Debug, Clone, Default, clap::Args)]
pub struct UsageSettings {
    /// Beginnings of the User-Agent of monitors, separated by commas: their requests do not count as use
    #[arg(
        long,
        env = "RATES_IDLE_USER_AGENTS",
        value_delimiter = ',',
        value_name = "PREFIXES"
    )]
    pub idle_user_agents: Vec<String>,
}
