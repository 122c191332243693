//! How often the operator writes again what somebody else changes, and who that is.
//!
//! The first corrections of an object follow at once. If somebody goes on writing against them, the
//! pauses grow, the rest of the environment is cared for all the same, and the status says who.

use std::collections::HashMap;
use std::fmt::{Display, Formatter};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use super::compare::Path;
use crate::identity::MANAGER;

/// So many corrections follow at once.
const AT_ONCE: u32 = 3;
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// An object that nobody changed for so long is corrected at once again.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// What was applied and corrected lately, by kind, namespace and name.
#[derive(Default)]
pub struct Corrections(Mutex<HashMap<String, Applied>>);

struct Applied {
    digest: String,
    corrections: u32,
    last: Instant,
    contest: Option<Contest>,
}

/// A field that somebody else changes again and again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Contest {
    pub kind: String,
    pub name: String,
    pub field: String,
    /// The field manager, where the object says which.
    pub manager: Option<String>,
}

impl Display for Contest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let Self {
            kind,
            name,
            field,
            manager,
        } = self;
        let manager = manager.as_deref().unwrap_or("another writer");
        write!(
            formatter,
            "{manager} changes {field} of {kind} {name} again and again, and the operator restores it with growing \
             pauses: make one of them stop"
        )
    }
}

/// Whether an object may be written now.
#[derive(Debug, Eq, PartialEq)]
pub enum Turn {
    /// This is the correction with this number in a row; 0: something else is wanted than before.
    Now(u32),
    Later(Duration),
}

impl Corrections {
    /// Takes a turn to write an object. `written` says that the object has the digest already, so
    /// that somebody else has changed it since.
    pub fn turn(&self, object: &str, digest: &str, written: bool, now: Instant) -> Turn {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = objects.get_mut(object);
        let known =
            known.filter(|known| now.duration_since(known.last) < FORGOTTEN && known.digest == digest);
        let Some(known) = known else {
            objects.retain(|_, known| now.duration_since(known.last) < FORGOTTEN);
            let corrections = u32::from(written);
            let applied = Applied {
                digest: digest.to_owned(),
                corrections,
                last: now,
                contest: None,
            };
            objects.insert(object.to_owned(), applied);
            return Turn::Now(corrections);
        };
        let since = now.duration_since(known.last);
        let pause = pause(known.corrections);
        if since < pause {
            return Turn::Later(pause.saturating_sub(since));
        }
        known.corrections = known.corrections.saturating_add(1);
        known.last = now;
        Turn::Now(known.corrections)
    }

    /// Whether so many corrections in a row are for people to know.
    #[must_use]
    pub const fn is_contest(corrections: u32) -> bool {
        corrections >= AT_ONCE
    }

    /// Notes who changes an object.
    pub fn note(&self, object: &str, contest: Contest) {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = objects.get_mut(object) {
            known.contest = Some(contest);
        }
    }

    /// Who changes an object again and again, and has done so lately.
    pub fn contest(&self, object: &str, now: Instant) -> Option<Contest> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = objects.get(object)?;
        let lately = now.duration_since(known.last) < FORGOTTEN;
        known.contest.clone().filter(|_| lately)
    }
}

fn pause(corrections: u32) -> Duration {
    match corrections.checked_sub(AT_ONCE) {
        None => Duration::ZERO,
        Some(more) => SHORTEST_PAUSE
            .saturating_mul(1 << more.min(16))
            .min(LONGEST_PAUSE),
    }
}

/// The field manager that wrote a field last, as `managedFields` tell, or any other field if none
/// did: what somebody removed belongs to nobody.
pub fn writer_of(fields: &[ManagedFieldsEntry], path: &Path) -> Option<String> {
    let others = || {
        fields.iter().filter(|entry| {
            let manager = entry.manager.as_deref().unwrap_or_default();
            !manager.starts_with(MANAGER) && entry.subresource.as_deref().unwrap_or_default().is_empty()
        })
    };
    let has = |entry: &&ManagedFieldsEntry| {
        let step = |fields: Value, step: &String| fields.get(format!("f:{step}")).cloned();
        let all = entry.fields_v1.as_ref().map(|fields| fields.0.clone());
        all.and_then(|all| path.iter().try_fold(all, step)).is_some()
    };
    let latest = |entry: &&ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
    let writer = others()
        .filter(has)
        .max_by_key(latest)
        .or_else(|| others().max_by_key(latest));
    writer?.manager.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pauses_between_corrections_grow_and_are_forgotten() {
        let (corrections, mut now) = (Corrections::default(), Instant::now());
        let turn = |digest: &str, now| corrections.turn("Service/quay/pier", digest, true, now);
        for number in 1..=3 {
            assert_eq!(turn("a", now), Turn::Now(number));
        }
        for (number, seconds) in [(4, 1), (5, 2), (6, 4)] {
            assert_eq!(turn("a", now), Turn::Later(Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
            assert_eq!(turn("a", now), Turn::Now(number));
        }
        assert_eq!(turn("b", now), Turn::Now(1), "something else is wanted");
        assert_eq!(turn("b", now + FORGOTTEN), Turn::Now(1));
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn an_object_whose_digest_somebody_removes_is_corrected_no_more_often() {
        let (corrections, now) = (Corrections::default(), Instant::now());
        let turn = || corrections.turn("Service/quay/pier", "a", false, now);
        assert_eq!(turn(), Turn::Now(0), "made or changed by the operator");
        for number in 1..=3 {
            assert_eq!(turn(), Turn::Now(number));
        }
        assert_eq!(turn(), Turn::Later(Duration::from_secs(1)));
    }

    #[test]
    fn the_writer_of_a_field_is_the_last_other_manager_that_has_it() {
        let fields: Vec<ManagedFieldsEntry> = serde_json::from_value(json!([
            {"manager": MANAGER, "time": "2026-01-01T00:00:09Z", "fieldsV1": {"f:spec": {"f:ports": {}}}},
            {"manager": "earlier", "time": "2026-01-01T00:00:01Z", "fieldsV1": {"f:spec": {"f:ports": {}}}},
            {"manager": "mesh", "time": "2026-01-01T00:00:02Z", "fieldsV1": {"f:spec": {"f:ports": {}}}},
            {"manager": "labels", "time": "2026-01-01T00:00:03Z", "fieldsV1": {"f:metadata": {"f:labels": {}}}},
            {"manager": "kubelet", "time": "2026-01-01T00:00:08Z", "subresource": "status", "fieldsV1": {"f:status": {}}},
        ]))
        .unwrap();
        let writer = |path: &[&str]| writer_of(&fields, &path.iter().map(|&step| step.to_owned()).collect());
        assert_eq!(writer(&["spec", "ports"]).as_deref(), Some("mesh"));
        assert_eq!(
            writer(&["spec", "selector"]).as_deref(),
            Some("labels"),
            "removed"
        );
    }
}
