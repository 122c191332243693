//! The images that there are.

/// An image of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Image {
    Operator,
    Api,
    Pause,
    Postgres13,
    Postgres17,
    Exporter,
    /// Prometheus and Alertmanager, for `up --monitoring`.
    Monitoring,
    /// Releases of the API that do not exist, for tests.
    #[value(skip)]
    StandIn(StandIn),
}

/// What a stand-in for a release of the API does; see `e2e/src/bin/stand_in.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// As the API, in an image of another name.
    Plain,
    /// The same with a migration.
    Next,
    /// Starts late.
    Slow,
    Crashes,
    Hangs,
    MigrationFails,
}

impl StandIn {
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Next,
        Self::Slow,
        Self::Crashes,
        Self::Hangs,
        Self::MigrationFails,
    ];

    /// The name by which the image's program knows it.
    #[must_use]
    pub fn mode(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Next => "next",
            Self::Slow => "slow",
            Self::Crashes => "crashes",
            Self::Hangs => "hangs",
            Self::MigrationFails => "migration-fails",
        }
    }
}

impl Image {
    /// What a cluster runs in any case.
    pub const ALL: [Self; 6] = [
        Self::Pause,
        Self::Operator,
        Self::Api,
        Self::Postgres13,
        Self::Postgres17,
        Self::Exporter,
    ];

    /// The image's name without its tag.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "localhost/rates-operator",
            Self::Api => "localhost/rates-api",
            Self::Pause => "localhost/rates-pause",
            Self::Postgres13 => "localhost/rates-postgres-13.5",
            Self::Postgres17 => "localhost/rates-postgres-17",
            Self::Exporter => "localhost/rates-exporter",
            Self::Monitoring => "localhost/rates-monitoring",
            Self::StandIn(StandIn::Plain) => "localhost/rates-api-plain",
            Self::StandIn(StandIn::Next) => "localhost/rates-api-next",
            Self::StandIn(StandIn::Slow) => "localhost/rates-api-slow",
            Self::StandIn(StandIn::Crashes) => "localhost/rates-api-crashes",
            Self::StandIn(StandIn::Hangs) => "localhost/rates-api-hangs",
            Self::StandIn(StandIn::MigrationFails) => "localhost/rates-api-migration-fails",
        }
    }

    /// The value of `spec.database.version` that selects this image.
    #[must_use]
    pub fn postgres_version(self) -> Option<&'static str> {
        match self {
            Self::Postgres13 => Some("13.5"),
            Self::Postgres17 => Some("17"),
            Self::Operator
            | Self::Api
            | Self::Pause
            | Self::Exporter
            | Self::Monitoring
            | Self::StandIn(_) => None,
        }
    }

    #[must_use]
    pub fn archive_stem(self) -> &'static str {
        self.name().trim_start_matches("localhost/")
    }
}
