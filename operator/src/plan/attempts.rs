//! Attempts at a Job's inputs. An attempt that was lost is replaced under its name.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use crate::annotations::{ATTEMPT, LAST_FAILURE, REFUSED};

/// Enough for psql's own words.
const LONGEST_FAILURE: usize = 2000;
/// Between attempts at a copy that was refused: nobody tells when the source's tables are others.
const REFUSED_PAUSES: RangeInclusive<i64> = 15..=300;

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
    /// Whether the attempt before this one was refused, so that a person is to do something.
    pub refused: bool,
}

impl JobRun {
    pub(super) fn first(hash: String) -> Self {
        Self {
            hash,
            attempt: 1,
            replaces: None,
            not_before: None,
            failure: None,
            refused: false,
        }
    }

    pub(super) fn current(hash: String, job: &Job) -> Self {
        Self {
            attempt: attempt_of(job),
            failure: job.annotations().get(LAST_FAILURE).cloned(),
            refused: job.annotations().contains_key(REFUSED),
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
        Self::after(pause, hash, job, ended, failure, now)
    }

    /// The attempt after one that was refused, after growing pauses.
    pub(super) fn after_refusal(
        hash: String,
        job: &Job,
        ended: Timestamp,
        failure: String,
        now: Timestamp,
    ) -> Self {
        let (first, longest) = REFUSED_PAUSES.into_inner();
        let pause = (first << attempt_of(job).saturating_sub(1).min(6)).min(longest);
        Self {
            refused: true,
            ..Self::after(pause, hash, job, ended, Some(failure), now)
        }
    }

    fn after(
        pause: i64,
        hash: String,
        job: &Job,
        ended: Timestamp,
        failure: Option<String>,
        now: Timestamp,
    ) -> Self {
        let due = ended
            .saturating_add(SignedDuration::from_secs(pause))
            .unwrap_or(now);
        Self {
            attempt: attempt_of(job) + 1,
            replaces: (due <= now).then(|| job.uid()).flatten(),
            not_before: (due > now).then_some(due),
            failure: failure.map(|message| message.chars().take(LONGEST_FAILURE).collect()),
            ..Self::first(hash)
        }
    }
}

fn attempt_of(job: &Job) -> u32 {
    job.annotations()
        .get(ATTEMPT)
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_copy_is_tried_again_after_growing_pauses_and_at_last_every_five_minutes() {
        let now: Timestamp = "2031-03-04T05:06:07Z".parse().unwrap();
        let pause = |attempt: u32| {
            let mut job = Job::default();
            let attempt = (ATTEMPT.to_owned(), attempt.to_string());
            job.metadata.annotations = Some([attempt].into());
            let run = JobRun::after_refusal("h".to_owned(), &job, now, "refused".to_owned(), now);
            assert!(run.refused && run.replaces.is_none());
            run.not_before.unwrap().duration_since(now).as_secs()
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 99].map(pause),
            [15, 30, 60, 120, 240, 300, 300]
        );
    }
}
