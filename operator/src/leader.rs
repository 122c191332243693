//! One operator at a time: a Lease (coordination.k8s.io), as client-go's leader election keeps it.
//!
//! Another's lease counts as given up when it was not renewed for its duration by this process's
//! own clock, so that clocks need not agree. Whoever cannot renew in time ends.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

const DURATION: Duration = Duration::from_secs(15);
const DURATION_SECONDS: i32 = 15;
/// A holder that could not renew for this long must assume that another one leads.
const DEADLINE: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the lease could not be renewed for {} seconds", DEADLINE.as_secs())]
    Lost(#[source] kube::Error),
    #[error("the lease was taken by {0}")]
    Taken(String),
}

/// A candidate for the lease, or its holder.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
}

/// What another holder was last seen to have written, and when it was seen.
struct Sighting {
    renewed: Option<MicroTime>,
    holder: Option<String>,
    at: Instant,
}

impl Candidate {
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
        }
    }

    /// Waits until this process leads; `waiting` is told for whom it waits.
    pub async fn acquire(&self, waiting: impl Fn(String)) {
        let mut sighting: Option<Sighting> = None;
        loop {
            match self.try_acquire(&mut sighting).await {
                Ok(None) => return,
                Ok(Some(holder)) => waiting(format!("the lease that {holder} holds")),
                Err(error) => {
                    tracing::warn!(%error, lease = self.name, "the lease cannot be read or written");
                    waiting(format!("the lease {}: {error}", self.name));
                }
            }
            sleep(PERIOD).await;
        }
    }

    /// Keeps the lease for as long as it can.
    pub async fn keep(&self) -> Error {
        let mut renewed = Instant::now();
        loop {
            sleep(PERIOD).await;
            match self.renew().await {
                Ok(None) => renewed = Instant::now(),
                Ok(Some(other)) => return Error::Taken(other),
                Err(error) if renewed.elapsed() > DEADLINE => return Error::Lost(error),
                Err(error) => tracing::warn!(%error, "the lease could not be renewed, and is tried again"),
            }
        }
    }

    /// Gives the lease up, so that the next one need not wait for it to expire.
    pub async fn release(&self) {
        let released = async {
            let mut lease = self.leases.get(&self.name).await?;
            if let Some(spec) = lease.spec.as_mut().filter(|spec| self.is_mine(spec)) {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.leases
                    .replace(&self.name, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the lease could not be given up, and will expire");
        }
    }

    /// `None`: it is ours. Otherwise, whose.
    async fn try_acquire(&self, sighting: &mut Option<Sighting>) -> Result<Option<String>, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.held(0)),
            };
            self.leases.create(&PostParams::default(), &lease).await?;
            return Ok(None);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if let Some(holder) = spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty() && !self.is_mine(&spec))
        {
            let same = sighting
                .as_ref()
                .is_some_and(|seen| seen.renewed == spec.renew_time && seen.holder.as_ref() == Some(&holder));
            if !same {
                *sighting = Some(Sighting {
                    renewed: spec.renew_time,
                    holder: Some(holder.clone()),
                    at: Instant::now(),
                });
            }
            let wait = spec
                .lease_duration_seconds
                .and_then(|s| u64::try_from(s).ok())
                .map_or(DURATION, Duration::from_secs);
            if sighting.as_ref().is_some_and(|seen| seen.at.elapsed() <= wait) {
                return Ok(Some(holder));
            }
        }
        // With the version that was read: of two that try, one succeeds.
        lease.spec = Some(self.held(spec.lease_transitions.unwrap_or(0) + 1));
        self.leases
            .replace(&self.name, &PostParams::default(), &lease)
            .await?;
        Ok(None)
    }

    async fn renew(&self) -> Result<Option<String>, kube::Error> {
        let mut lease = self.leases.get(&self.name).await?;
        let spec = lease.spec.get_or_insert_default();
        if !self.is_mine(spec) {
            return Ok(Some(
                spec.holder_identity
                    .clone()
                    .unwrap_or_else(|| "nobody".to_owned()),
            ));
        }
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.leases
            .replace(&self.name, &PostParams::default(), &lease)
            .await?;
        Ok(None)
    }

    fn is_mine(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_ref() == Some(&self.identity)
    }

    fn held(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}
