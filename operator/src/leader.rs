//! One operator at a time: a Lease (coordination.k8s.io), as client-go's leader election keeps it.
//!
//! Who gives the lease up is followed at once, as the others watch it. Who vanishes is followed when
//! the lease was not renewed for its duration, measured from when this process saw the last renewal,
//! by its own clock: what a holder's clock says is never read. A holder counts from before it asked
//! for the renewal, and stops earlier than the others may start.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::fence::Fence;

/// How long what takes how long. The defaults are client-go's, which Kubernetes' own controllers use.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a lease counts after its last renewal: whoever vanishes is followed after this.
    pub lease_seconds: u16,
    /// A holder that could not renew for this long stops. Less than the lease, so that what it had
    /// sent has arrived before another one leads.
    pub deadline: Duration,
    /// How often a lease is renewed, and how soon an attempt is made again.
    pub period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease_seconds: 15,
            deadline: Duration::from_secs(10),
            period: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// From when a holder stops until the lease has expired.
    #[must_use]
    pub fn until_expiry(self) -> Duration {
        Duration::from_secs(self.lease_seconds.into()).saturating_sub(self.deadline)
    }
}

/// Why a holder holds the lease no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the lease could not be renewed in time")]
    Lost(#[source] Attempt),
    #[error("the lease was taken by {0}")]
    Taken(String),
}

/// Why a request about the lease came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Attempt {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server did not answer in time")]
    Slow,
    #[error("the watch of the lease ended")]
    Unwatched,
}

/// What a candidate waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Waiting {
    /// For this one to go.
    Holder(String),
    /// For the lease to be readable and writable; what went wrong.
    Trouble(String),
}

/// A candidate for the lease, or its holder.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    fence: Fence,
}

/// The lease as its holder wrote it last.
pub struct HeldLease {
    lease: Lease,
    /// Before the request that renewed it was sent: nobody can have seen it earlier.
    since: Instant,
}

/// What another holder was last seen to have written, and when it was seen.
struct Sighting {
    spec: LeaseSpec,
    at: Instant,
}

/// How a lease stands for somebody who wants it.
enum Standing {
    Free,
    HeldBy { holder: String, until: Instant },
}

type Changes = Pin<Box<dyn Stream<Item = Result<WatchEvent<Lease>, kube::Error>> + Send>>;

impl Candidate {
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, timing: Timing) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            timing,
            fence: Fence::default(),
        }
    }

    /// With a fence that opens for as long as the lease is held.
    #[must_use]
    pub fn with_fence(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Waits until this process leads; `waiting` is told what for.
    pub async fn acquire(&self, waiting: impl Fn(Waiting)) -> HeldLease {
        let mut seen = None;
        loop {
            match self.campaign(&mut seen, &waiting).await {
                Ok(held) => {
                    self.fence.set(held.since + self.timing.deadline);
                    return held;
                }
                // The server ends every watch after some minutes.
                Err(Attempt::Unwatched) => {}
                Err(error) => {
                    tracing::warn!(%error, lease = self.name, "the lease cannot be had, and is tried again");
                    waiting(Waiting::Trouble(format!("lease {}: {error}", self.name)));
                }
            }
            sleep(self.timing.period).await;
        }
    }

    /// Keeps the lease for as long as it can.
    pub async fn keep(&self, mut held: HeldLease) -> Error {
        loop {
            let stop = held.since + self.timing.deadline;
            let mut failed = Attempt::Slow;
            // Whatever hangs, hangs no longer than this.
            let renewed = timeout_at(stop, async {
                loop {
                    sleep(self.timing.period).await;
                    // A connection that died is not the last attempt.
                    let answer = timeout(self.timing.deadline / 2, self.renew(&held)).await;
                    match answer.map_or(Err(Attempt::Slow), |answer| answer.map_err(Attempt::Api)) {
                        Ok(renewed) => return renewed,
                        Err(error) => {
                            tracing::warn!(%error, "the lease could not be renewed, and is tried again");
                            failed = error;
                        }
                    }
                }
            });
            match renewed.await {
                Ok(Ok(renewed)) => {
                    self.fence.set(renewed.since + self.timing.deadline);
                    held = renewed;
                }
                Ok(Err(other)) => return Error::Taken(other),
                Err(_) => return Error::Lost(failed),
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
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                self.replace(&lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        let outcome = timeout(self.timing.period, released).await;
        if let Err(error) = outcome.unwrap_or(Ok(())) {
            tracing::warn!(%error, "the lease could not be given up, and will expire");
        }
    }

    /// Reads the lease and follows its changes until it can be taken.
    async fn campaign(
        &self,
        seen: &mut Option<Sighting>,
        waiting: &impl Fn(Waiting),
    ) -> Result<HeldLease, Attempt> {
        let Some(mut lease) = self.answered(self.leases.get_opt(&self.name)).await? else {
            return self.create().await;
        };
        let mut changes: Option<Changes> = None;
        let mut gone = false;
        loop {
            let Standing::HeldBy { holder, until } = self.standing(&lease, seen) else {
                return self.take(lease).await;
            };
            waiting(Waiting::Holder(holder));
            let following = match &mut changes {
                Some(following) => following,
                none => none.insert(self.changes_after(&lease).await?),
            };
            tokio::select! {
                () = sleep_until(until) => return if gone {
                    self.create().await
                } else {
                    // If it was renewed meanwhile and that was not heard of, the server refuses.
                    self.take(lease).await
                },
                change = following.try_next() => match change? {
                    Some(WatchEvent::Added(now) | WatchEvent::Modified(now)) => {
                        gone = false;
                        lease = now;
                    }
                    // Its holder leads on, and makes it again.
                    Some(WatchEvent::Deleted(_)) => gone = true,
                    Some(WatchEvent::Bookmark(_)) => {}
                    Some(WatchEvent::Error(_)) | None => return Err(Attempt::Unwatched),
                },
            }
        }
    }

    fn standing(&self, lease: &Lease, seen: &mut Option<Sighting>) -> Standing {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
        let Some(holder) = holder.filter(|_| !self.is_mine(&spec)) else {
            // A restarted container has its pod's name, and the lease with it.
            return Standing::Free;
        };
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or_else(|| u64::from(self.timing.lease_seconds));
        let sighting = match seen.take().filter(|sighting| sighting.spec == spec) {
            Some(sighting) => sighting,
            None => Sighting {
                spec,
                at: Instant::now(),
            },
        };
        let until = sighting.at + Duration::from_secs(duration);
        *seen = Some(sighting);
        if Instant::now() >= until {
            Standing::Free
        } else {
            Standing::HeldBy { holder, until }
        }
    }

    async fn changes_after(&self, lease: &Lease) -> Result<Changes, Attempt> {
        let only = WatchParams::default().fields(&format!("metadata.name={}", self.name));
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let changes = self.answered(self.leases.watch(&only, &version)).await?;
        Ok(changes.boxed())
    }

    async fn create(&self) -> Result<HeldLease, Attempt> {
        let since = Instant::now();
        let created = self.created(self.held(0));
        let lease = self.answered(created).await?;
        Ok(HeldLease { lease, since })
    }

    async fn created(&self, spec: LeaseSpec) -> Result<Lease, kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        self.leases.create(&PostParams::default(), &lease).await
    }

    /// With the version that was read: of two that try, one succeeds.
    async fn take(&self, mut lease: Lease) -> Result<HeldLease, Attempt> {
        let since = Instant::now();
        let transitions = lease.spec.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        lease.spec = Some(self.held(transitions.saturating_add(1)));
        let lease = self.answered(self.replace(&lease)).await?;
        Ok(HeldLease { lease, since })
    }

    /// Renews the lease as it was last written; if somebody has changed it since, as it is now; if
    /// somebody has deleted it, anew. The inner error is whose it is instead.
    async fn renew(&self, held: &HeldLease) -> Result<Result<HeldLease, String>, kube::Error> {
        let since = Instant::now();
        let mut lease = held.lease.clone();
        renew_now(&mut lease);
        match self.replace(&lease).await {
            Ok(lease) => return Ok(Ok(HeldLease { lease, since })),
            // A lease that is gone is a conflict too, as a uid that differs.
            Err(kube::Error::Api(refused)) if matches!(refused.code, 404 | 409) => {}
            Err(error) => return Err(error),
        }
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let lease = self.created(lease.spec.unwrap_or_default()).await?;
            return Ok(Ok(HeldLease { lease, since }));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if self.is_mine(&spec) {
            renew_now(&mut lease);
            let lease = self.replace(&lease).await?;
            return Ok(Ok(HeldLease { lease, since }));
        }
        let other = spec.holder_identity.filter(|holder| !holder.is_empty());
        Ok(Err(other.unwrap_or_else(|| "nobody".to_owned())))
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        self.leases
            .replace(&self.name, &PostParams::default(), lease)
            .await
    }

    async fn answered<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Attempt> {
        match timeout(self.timing.deadline, request).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Attempt::Slow),
        }
    }

    fn is_mine(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_ref() == Some(&self.identity)
    }

    fn held(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::from(self.timing.lease_seconds)),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn renew_now(lease: &mut Lease) {
    lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
}
