//! Attempts at a Job's inputs. An attempt that was lost is replaced under its name.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use crate::annotations::{ATTEMPT, LAST_FAILURE};

/// Enough for psql's own words.
const LONGEST_FAILURE: usize = 2000;

/// One attempt at a Job's inputs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobRun {
    pub hash: String,
    pub attempt: u32,
    /// The lost attempt, by uid, that this one takes the place of.
    pub replaces: Option<String>,
    /// Not to be started earlier; the lost attempt stays until then.
    pub not_before: Option<Timestamp>,
    /// What the attempt before this one said.
    pub failure: Option<String>,
}

impl JobRun {
    pub(super) fn first(hash: String) -> Self {
        Self {
            hash,
            attempt: 1,
            replaces: None,
            not_before: None,
            failure: None,
        }
    }

    pub(super) fn current(hash: String, job: &Job) -> Self {
        Self {
            attempt: attempt_of(job),
            failure: job.annotations().get(LAST_FAILURE).cloned(),
            ..Self::first(hash)
        }
    }

    /// The attempt after a lost one: twice at once, then after growing pauses.
    pub(super) fn next(
        hash: String,
        job: &Job,
        ended: Timestamp,
        failure: Option<String>,
        now: Timestamp,
    ) -> Self {
        let lost = attempt_of(job);
        let failure = failure.or_else(|| job.annotations().get(LAST_FAILURE).cloned());
        let pause = if lost < 2 { 0 } else { 1_i64 << (lost - 2).min(6) };
        let due = ended
            .saturating_add(SignedDuration::from_secs(pause))
            .unwrap_or(now);
        Self {
            hash,
            attempt: lost + 1,
            replaces: (due <= now).then(|| job.uid()).flatten(),
            not_before: (due > now).then_some(due),
            failure: failure.map(|message| message.chars().take(LONGEST_FAILURE).collect()),
        }
    }
}

fn attempt_of(job: &Job) -> u32 {
    job.annotations()
        .get(ATTEMPT)
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or(1)
}
