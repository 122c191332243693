//! When an environment is looked at again.
//!
//! It reads what a reconcile observed, planned and applied, and writes nothing.

use std::time::Duration;

use jiff::Timestamp;

use crate::apply::{self, Applied};
use crate::identity::Component;
use crate::observed::Observed;
use crate::plan::{Environment, Expiry, Migration, Seeding};
use crate::pods::{self, failure, is_ready};
use crate::reason::Reason;

/// Watches tell of every change; this is for what they might miss.
pub const SAFETY_NET: Duration = Duration::from_mins(10);
/// A foreign object in the way has no label to watch it by.
pub const BLOCKED: Duration = Duration::from_secs(15);
/// An environment was changed just when it was to be deleted, and the watch has not told yet.
pub const CHANGED: Duration = Duration::from_secs(1);
/// Why a pod does not come is told by Events, which are not watched.
const MISSING: Duration = Duration::from_secs(6);
const LEAVING: Duration = Duration::from_secs(2);
/// This process's clock is ahead of the API server's.
const AHEAD: Duration = Duration::from_mins(1);

/// When to look at an environment again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// There is nothing to look at any more, or nothing to be done until something changes.
    Gone,
    /// After this time, unless something changes.
    Settled(Duration),
    /// At once: what was written may make more possible, and no watch tells of one's own writes.
    Wrote,
}

impl Next {
    /// The same, but no later than the environment's end has something to be done about it.
    #[must_use]
    pub fn before(self, expiry: Expiry, now: Timestamp) -> Self {
        match self {
            Self::Settled(wait) => Self::Settled(wait.min(expiry.due_after(now).unwrap_or(AHEAD))),
            Self::Gone | Self::Wrote => self,
        }
    }
}

/// After which time a reconcile that wrote nothing is repeated; `problem` is what stopped it or a part of it.
#[must_use]
pub fn requeue_after(
    environment: &Environment,
    observed: &Observed,
    applied: &Applied,
    problem: Option<Reason>,
    now: Timestamp,
) -> Duration {
    let seed = match &environment.seeding {
        Seeding::Run { run, .. } => run.not_before,
        Seeding::Done(_) | Seeding::Waiting(_) | Seeding::Blocked(_) | Seeding::Failed { .. } => None,
    };
    let migrate = match &environment.migration {
        Migration::Run(run) => run.not_before,
        Migration::Done(_) | Migration::Waiting => None,
    };
    let tokens = environment.ingest_tokens.as_ref().ok();
    let overlap = tokens.and_then(|tokens| Some(tokens.previous.as_ref()?.until));
    let acting = environment.replication.again;
    let due = [seed, migrate, overlap, unready(observed, now), acting]
        .into_iter()
        .flatten()
        .min();
    let due = due.map(|due| {
        let wait = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
        wait + Duration::from_millis(50)
    });
    let blocked = problem.or_else(|| hindered(applied)).map(|problem| {
        if problem == Reason::WaitingForDeletion {
            LEAVING
        } else {
            BLOCKED
        }
    });
    let missing = observed.refusals.is_missing.then_some(MISSING);
    due.into_iter()
        .chain(missing)
        .chain(blocked)
        .chain(applied.held_back)
        .fold(SAFETY_NET, Duration::min)
}

/// When a pod that is not ready counts as one that fails.
fn unready(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let unready = pods::of(observed, Component::Api)
        .filter(|pod| !is_ready(pod))
        .filter_map(failure::unready_at);
    // What may pass counts once it lasts.
    let lasting = observed.pods.iter().filter(|pod| !is_ready(pod));
    let lasting = lasting.flat_map(|pod| {
        [failure::unplaced_at(pod), failure::unstarted_at(pod)]
            .into_iter()
            .flatten()
    });
    unready.chain(lasting).filter(|at| *at > now).min()
}

/// What keeps a part of an environment away that serves without it, and may pass without a word.
fn hindered(applied: &Applied) -> Option<Reason> {
    let errors = [&applied.unexposed, &applied.unmonitored];
    let mut reasons = errors.into_iter().flatten().filter_map(apply::Error::reason);
    // A cluster without the Prometheus operator usually stays one.
    reasons.find(|reason| *reason != Reason::PodMonitorMissing)
}
