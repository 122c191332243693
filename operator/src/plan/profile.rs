//! What a profile stands for: the defaults of everything that the spec leaves out.

use crate::crd::Profile;

/// The defaults of a profile.
pub struct Defaults {
    /// API pods; where they scale by themselves, the fewest.
    pub replicas: i32,
    /// The most API pods where their number follows the load.
    pub most_replicas: Option<i32>,
    /// API pods that a drain of nodes may take at once.
    pub disruption: Disruption,
    /// Whether API pods are spread over zones as well as over nodes.
    pub zones: bool,
    /// How long a batch may take, where the spec does not say.
    pub max_batch_seconds: i32,
    /// For how long a stop of the database waits for batches. Not what the spec gives them: another
    /// value would restart the server.
    pub database_drain_seconds: i32,
    /// The database instances of a new environment.
    pub instances: u8,
    /// Whether instances share no node, or only avoid to.
    pub separate_nodes: bool,
    /// The size of the database's volume.
    pub volume: &'static str,
    pub api: Amounts,
    pub database: Amounts,
    /// The server's shared buffers in MiB, less where its memory is limited to less than four times that.
    pub shared_buffers: u32,
    /// The server's parameters, beside what the image starts a cluster with.
    pub parameters: &'static [(&'static str, &'static str)],
}

/// How many API pods a drain of nodes may take at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disruption {
    One,
    All,
}

/// What a container asks for, and the memory it may use at most. The processor is not limited:
/// that costs latency and protects nobody.
pub struct Amounts {
    pub cpu: &'static str,
    pub memory: &'static str,
    pub memory_limit: &'static str,
}

pub const fn defaults(profile: Profile) -> Defaults {
    match profile {
        Profile::Production => Defaults {
            replicas: 3,
            most_replicas: Some(10),
            disruption: Disruption::One,
            zones: true,
            max_batch_seconds: 300,
            database_drain_seconds: 660,
            instances: 3,
            separate_nodes: true,
            volume: "20Gi",
            api: Amounts {
                cpu: "100m",
                memory: "64Mi",
                memory_limit: "512Mi",
            },
            database: Amounts {
                cpu: "500m",
                memory: "1Gi",
                memory_limit: "2Gi",
            },
            shared_buffers: 512,
            parameters: &[
                ("effective_cache_size", "1GB"),
                ("max_connections", "200"),
                ("max_wal_size", "2GB"),
            ],
        },
        Profile::Staging => Defaults {
            replicas: 2,
            most_replicas: None,
            disruption: Disruption::One,
            zones: false,
            max_batch_seconds: 300,
            database_drain_seconds: 660,
            instances: 1,
            separate_nodes: false,
            volume: "5Gi",
            api: Amounts {
                cpu: "50m",
                memory: "48Mi",
                memory_limit: "256Mi",
            },
            database: Amounts {
                cpu: "100m",
                memory: "256Mi",
                memory_limit: "1Gi",
            },
            shared_buffers: 128,
            parameters: &[],
        },
        // Small enough for dozens of them beside each other on a small machine.
        Profile::Preview => Defaults {
            replicas: 1,
            most_replicas: None,
            disruption: Disruption::All,
            zones: false,
            // A namespace that is deleted waits for half of the longest time that a pod may take to end.
            max_batch_seconds: 60,
            database_drain_seconds: 60,
            instances: 1,
            separate_nodes: false,
            volume: "1Gi",
            api: Amounts {
                cpu: "5m",
                memory: "24Mi",
                memory_limit: "256Mi",
            },
            database: Amounts {
                cpu: "20m",
                memory: "96Mi",
                memory_limit: "1Gi",
            },
            shared_buffers: 32,
            parameters: &[],
        },
    }
}
