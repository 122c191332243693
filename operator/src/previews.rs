//! How many previews run at once in a namespace, and in which order the others wait.
//!
//! First come, first served: a new environment by its creation, one that wakes or resumes by when it first had to wait.
//! What runs keeps its place until it sleeps, is suspended, or is deleted.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::annotations::WAKE;
use crate::cache::{Cache, Key};
use crate::crd::{Phase, Profile, RatesEnvironment, RatesEnvironmentStatus};
use crate::observed::Observed;

/// The condition that is there while an environment waits; since when it waits is its time.
pub const QUEUED: &str = "Queued";

/// The previews of each namespace.
pub struct Previews {
    /// 0: all of them run.
    limit: usize,
    namespaces: Mutex<HashMap<String, Namespace>>,
}

/// Those that run or wait, by name.
type Namespace = BTreeMap<String, Standing>;

/// How an environment stands to the limit.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Standing {
    Runs,
    /// By the time and the uid, those who wait are ordered.
    Waits(Timestamp, String),
}

/// The place of an environment among those that wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    number: usize,
    of: usize,
    limit: usize,
}

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { number, of, limit } = self;
        write!(
            formatter,
            "place {number} of {of}: {limit} previews run in this namespace, as many as may at once; the next starts when one \
             of them sleeps, is suspended or is deleted"
        )
    }
}

impl Previews {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            namespaces: Mutex::default(),
        }
    }

    /// The place of an environment that has to wait; one that need not has a place among those that run from now on.
    pub fn place(&self, observed: &Observed, cache: &Cache, now: Timestamp) -> Option<Place> {
        if self.limit == 0 {
            return None;
        }
        let (identity, environment) = (&observed.identity, &observed.environment);
        let mut namespaces = self.namespaces();
        let known = namespaces
            .entry(identity.namespace.clone())
            .or_insert_with(|| listed(&identity.namespace, cache, now));
        let status = environment.status.clone().unwrap_or_default();
        let standing = match (standing(environment, &status, now), known.get(&identity.name)) {
            (None, _) => return None,
            // It may run already, and its status does not say so yet.
            (Some(Standing::Waits(..)), Some(Standing::Runs)) => Standing::Runs,
            (Some(Standing::Waits(..)), _) if observed.has_started() => Standing::Runs,
            // It goes on waiting since it was first seen to.
            (Some(Standing::Waits(_, uid)), Some(Standing::Waits(since, before))) if uid == *before => {
                Standing::Waits(*since, uid)
            }
            (Some(standing), _) => standing,
        };
        known.insert(identity.name.clone(), standing.clone());
        if standing == Standing::Runs {
            return None;
        }
        let running = known.values().filter(|other| **other == Standing::Runs).count();
        let free = self.limit.saturating_sub(running);
        let waiting = waiting(known);
        let before = waiting.iter().position(|name| *name == identity.name)?;
        if before < free {
            known.insert(identity.name.clone(), Standing::Runs);
            return None;
        }
        Some(Place {
            number: before - free + 1,
            of: waiting.len() - free,
            limit: self.limit,
        })
    }

    /// Takes the status that was written; gives those that are to be looked at because a place is free.
    pub fn record(&self, observed: &Observed, status: &RatesEnvironmentStatus, now: Timestamp) -> Vec<Key> {
        let identity = &observed.identity;
        let standing = standing(&observed.environment, status, now);
        let runs_on = matches!(standing, Some(Standing::Runs | Standing::Waits(..)));
        if runs_on {
            Vec::new()
        } else {
            self.gone(&identity.namespace, &identity.name)
        }
    }

    /// Takes that an environment needs no place any more; gives those that are to be looked at.
    pub fn gone(&self, namespace: &str, name: &str) -> Vec<Key> {
        let mut namespaces = self.namespaces();
        let Some(known) = namespaces.get_mut(namespace) else {
            return Vec::new();
        };
        if known.remove(name).is_none() {
            return Vec::new();
        }
        let waiting = waiting(known).into_iter();
        waiting
            .map(|name| Key::from(format!("{namespace}/{name}")))
            .collect()
    }

    fn namespaces(&self) -> MutexGuard<'_, HashMap<String, Namespace>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that are there when the first of a namespace is looked at.
fn listed(namespace: &str, cache: &Cache, now: Timestamp) -> Namespace {
    let keys = cache.versions::<RatesEnvironment>(namespace).into_keys();
    let environments = keys.filter_map(|name| {
        cache
            .of::<RatesEnvironment>(&format!("{namespace}/{name}"))
            .ok()?
            .pop()
    });
    environments
        .filter_map(|environment| {
            let status = environment.status.clone().unwrap_or_default();
            let standing = standing(&environment, &status, now)?;
            Some((environment.name_any(), standing))
        })
        .collect()
}

/// Their names, in the order in which they start.
fn waiting(namespace: &Namespace) -> Vec<String> {
    let mut waiting: Vec<_> = namespace
        .iter()
        .filter_map(|(name, standing)| match standing {
            Standing::Waits(since, uid) => Some((since, uid, name)),
            Standing::Runs => None,
        })
        .collect();
    waiting.sort_unstable();
    waiting.into_iter().map(|(_, _, name)| name.clone()).collect()
}

/// `None` for one that has no need of a place: it is no preview, or is to be without pods and is.
fn standing(
    environment: &RatesEnvironment,
    status: &RatesEnvironmentStatus,
    now: Timestamp,
) -> Option<Standing> {
    if environment.spec.profile != Profile::Preview || environment.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let is_stopped = matches!(
        status.phase,
        None | Some(Phase::Queued | Phase::Asleep | Phase::Suspended)
    );
    if !is_stopped {
        return Some(Standing::Runs);
    }
    let is_to_wake = status.sleep.as_ref().is_none_or(|sleep| {
        let asked = environment
            .status
            .as_ref()
            .and_then(|status| status.wake_request.as_ref());
        asked == Some(&sleep.since) || environment.annotations().contains_key(WAKE)
    });
    (is_to_wake && !environment.spec.suspend).then(|| {
        let since = since(environment, status).unwrap_or(now);
        Standing::Waits(since, environment.uid().unwrap_or_default())
    })
}

/// Since when it waits: one that never ran, since its creation.
fn since(environment: &RatesEnvironment, status: &RatesEnvironmentStatus) -> Option<Timestamp> {
    if status.database.is_none() {
        return environment.creation_timestamp().map(|created| created.0);
    }
    let mut conditions = status.conditions.iter();
    let queued = conditions.find(|condition| condition.type_ == QUEUED)?;
    Some(queued.last_transition_time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn standing_of(more: &Value) -> Option<Standing> {
        let mut environment = json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": "pier", "uid": "u", "creationTimestamp": "2026-03-01T10:00:00Z"},
            "spec": {},
        });
        for part in ["metadata", "spec", "status"] {
            for (key, value) in more[part].as_object().into_iter().flatten() {
                environment[part][key] = value.clone();
            }
        }
        let environment: RatesEnvironment = serde_json::from_value(environment).unwrap();
        let status = environment.status.clone().unwrap_or_default();
        standing(&environment, &status, Timestamp::UNIX_EPOCH)
    }

    fn waits(since: &str) -> Standing {
        Standing::Waits(since.parse().unwrap(), "u".to_owned())
    }

    #[test]
    fn what_has_no_pods_and_wants_none_needs_no_place() {
        let sleep = json!({"since": "s"});
        for (what, expected) in [
            (json!({}), Some(waits("2026-03-01T10:00:00Z"))),
            (json!({"spec": {"profile": "Staging"}}), None),
            (json!({"spec": {"suspend": true}}), None),
            (json!({"status": {"phase": "Ready"}}), Some(Standing::Runs)),
            (json!({"status": {"phase": "Degraded"}}), Some(Standing::Runs)),
            (
                json!({"spec": {"suspend": true}, "status": {"phase": "Progressing"}}),
                Some(Standing::Runs),
            ),
            (
                json!({"spec": {"suspend": true}, "status": {"phase": "Suspended"}}),
                None,
            ),
            (
                json!({"status": {"phase": "Progressing", "sleep": sleep}}),
                Some(Standing::Runs),
            ),
            (json!({"status": {"phase": "Asleep", "sleep": sleep}}), None),
            (
                json!({"status": {"phase": "Asleep", "sleep": sleep, "wakeRequest": "an earlier one"}}),
                None,
            ),
        ] {
            assert_eq!(standing_of(&what), expected, "{what}");
        }
    }

    #[test]
    fn one_that_wakes_waits_since_it_was_first_told_to() {
        let condition = json!({
            "type": "Queued", "status": "True", "reason": "WaitingForTurn", "message": "",
            "lastTransitionTime": "2026-03-02T10:00:00Z",
        });
        let status = json!({
            "phase": "Queued", "sleep": {"since": "s"}, "wakeRequest": "s", "database": {"instances": 1},
            "conditions": [condition],
        });
        assert_eq!(
            standing_of(&json!({"status": status})),
            Some(waits("2026-03-02T10:00:00Z"))
        );
        let mut new = status;
        new["conditions"] = json!([]);
        new["phase"] = json!("Asleep");
        assert_eq!(
            standing_of(&json!({"status": new})),
            Some(waits("1970-01-01T00:00:00Z"))
        );
    }
}
