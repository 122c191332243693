//! What `manifests/monitoring/` asks Prometheus: the rules as they are written there, and the Grafana dashboards, which
//! are generated here. It knows nothing of a running Prometheus.

pub mod dashboards;
pub mod metric_names;
pub mod rules;

/// The rungs of the ladder from its bottom to its top, as `rates:saturation:RUNG` names them.
pub const RUNGS: [&str; 9] = [
    "api_processors",
    "connections",
    "database_processors",
    "log",
    "replication",
    "locks",
    "fold",
    "disk_reads",
    "volume",
];

/// A `PromQL` expression and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expression {
    /// Such as `dashboard Rates: operator, panel Queue`.
    pub place: String,
    pub text: String,
    /// What an environment or cluster must have for it to return anything, such as `a limit of the processors`; none if
    /// every one does.
    pub only: Option<&'static str>,
}
