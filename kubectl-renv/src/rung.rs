//! The nine rungs of the ladder, in the order in which load climbs them, and what to do about each.

/// One resource that load can exhaust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    ApiProcessors,
    Connections,
    DatabaseProcessors,
    Log,
    Replication,
    Locks,
    Fold,
    DiskReads,
    Volume,
}

/// From this value on a rung counts as saturated, as in the alerts of manifests/monitoring.
pub const SATURATED: f64 = 0.9;

impl Rung {
    pub const ALL: [Self; 9] = [
        Self::ApiProcessors,
        Self::Connections,
        Self::DatabaseProcessors,
        Self::Log,
        Self::Replication,
        Self::Locks,
        Self::Fold,
        Self::DiskReads,
        Self::Volume,
    ];

    /// The rung of a recorded series; `None` where this command knows no such rung.
    #[must_use]
    pub fn of_series(series: &str) -> Option<Self> {
        let name = series.strip_prefix(PREFIX)?;
        Self::ALL.into_iter().find(|rung| rung.name() == name)
    }

    /// The last part of the recorded series' name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiProcessors => "api_processors",
            Self::Connections => "connections",
            Self::DatabaseProcessors => "database_processors",
            Self::Log => "log",
            Self::Replication => "replication",
            Self::Locks => "locks",
            Self::Fold => "fold",
            Self::DiskReads => "disk_reads",
            Self::Volume => "volume",
        }
    }

    /// Its number, from 1 at the bottom.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ApiProcessors => "API processors",
            Self::Connections => "connections",
            Self::DatabaseProcessors => "database processors",
            Self::Log => "write-ahead log",
            Self::Replication => "replication",
            Self::Locks => "locks",
            Self::Fold => "fold",
            Self::DiskReads => "reads from disk",
            Self::Volume => "volume",
        }
    }

    /// What a person does once it is saturated, in one line.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ApiProcessors => {
                "raise spec.api.replicas, spec.api.autoscaling.maxReplicas or spec.api.resources.limits.cpu"
            }
            Self::Connections => "raise spec.api.config.readConnections or maxBatches, or spec.api.replicas",
            Self::DatabaseProcessors => {
                "raise spec.database.resources.limits.cpu, or spec.database.instances so that standbys answer reads"
            }
            Self::Log => {
                "move the volume to a faster storage class, or raise max_wal_size in spec.database.parameters"
            }
            Self::Replication => {
                "look at the standbys: their processors, their volumes, the network between the nodes"
            }
            Self::Locks => {
                "find who holds them: SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity"
            }
            Self::Fold => {
                "send larger batches less often, and look for what keeps the fold waiting in the API's log"
            }
            Self::DiskReads => {
                "raise spec.database.resources.limits.memory, and shared_buffers in spec.database.parameters"
            }
            Self::Volume => {
                "raise spec.database.storage.size, and look for replication slots that keep the log"
            }
        }
    }
}

/// What every recorded series of a rung begins with.
pub const PREFIX: &str = "rates:saturation:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_is_found_by_the_name_of_its_series() {
        for rung in Rung::ALL {
            assert_eq!(Rung::of_series(&format!("{PREFIX}{}", rung.name())), Some(rung));
        }
        assert_eq!(Rung::of_series("rates:saturation:unheard_of"), None);
        assert_eq!(Rung::of_series("up"), None);
    }

    #[test]
    fn rungs_are_numbered_in_their_order() {
        let numbers: Vec<_> = Rung::ALL.into_iter().map(Rung::number).collect();
        assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    }
}
