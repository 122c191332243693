//! What a reconcile knows beside the objects of its environment.

use std::time::Duration;

/// What is there around an environment, and what its pods say when they are asked.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The operator's own namespace; unknown where it runs outside of the cluster.
    pub operator_namespace: Option<String>,
    /// The activator's pods that are ready; `None` until they were listed once.
    pub activator: Option<Vec<ActivatorPod>>,
    pub idle: Idle,
}

/// A pod of the activator that is ready.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ActivatorPod {
    /// One of each family that the cluster has.
    pub addresses: Vec<String>,
    pub name: String,
    pub node: Option<String>,
}

/// For how long an environment was not in use.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Idle {
    /// It is not due.
    #[default]
    NotAsked,
    /// As its pods have just said.
    For(Duration),
    /// Not all of them answer.
    Unknown {
        why: String,
        /// Whether it is so for a while.
        lasts: bool,
    },
}
