//! What a fault can do and see: the environment, its database, and the load on it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::database::{Database, Pod};
use crate::Load;
use crate::rollouts::Subject;
use client::http::Client;
use client::kubectl::Kubectl;
use client::wait::{Look, until_measured};

/// For what needs no other fault to heal.
pub const PATIENCE: Duration = Duration::from_mins(3);

pub struct Scene<'a> {
    pub subject: &'a mut Subject,
    pub load: &'a Load,
    /// Kubernetes' API.
    pub api: &'a Client,
    pub instances: usize,
    /// The primary before the fault.
    pub primary: Pod,
    /// What is worth knowing of this round.
    pub notes: Vec<String>,
}

impl Scene<'_> {
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        Database {
            environment: &self.subject.environment,
            api: self.api,
        }
    }

    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.subject.environment.kubectl
    }

    pub fn standbys(&self) -> Result<Vec<Pod>> {
        let mut pods = self.database().pods()?;
        pods.retain(|pod| pod.name != self.primary.name);
        ensure!(!pods.is_empty(), "there is no standby");
        Ok(pods)
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Waits until another instance than before holds the leader key; gives its name.
    pub fn promoted(&self) -> Result<String> {
        until_measured("another primary", PATIENCE, || {
            let leader = self.database().leader()?;
            Ok(if leader == self.primary.name {
                Look::NotYet(format!("still {leader}"))
            } else {
                Look::Holds(leader)
            })
        })
    }

    /// Waits until a batch is acknowledged from now on.
    pub fn written(&self) -> Result<()> {
        let since = Instant::now();
        until_measured("a batch is acknowledged", PATIENCE, || {
            Ok(if self.load.ledger().acknowledged_since(since) > 0 {
                Look::Holds(())
            } else {
                Look::NotYet("none".to_owned())
            })
        })
    }

    /// Waits until everything is healthy.
    pub fn healthy(&self) -> Result<()> {
        until_measured("the database is whole", PATIENCE, || {
            self.database().healthy(self.instances)
        })
    }

    /// The time is what this fault is about, not something that is waited for.
    pub fn hold(&self, seconds: u64) {
        thread::sleep(Duration::from_secs(seconds));
    }
}
