//! What is to be said while an environment does not run, or starts again.

use kube::ResourceExt;

use super::conditions::Said;
use crate::identity::Component;
use crate::observed::Observed;
use crate::plan::{Activity, Environment};
use crate::pods;
use crate::reason::Reason;

/// How far stopping or starting is; it holds while that goes on. `None` for an environment that runs.
pub fn said(environment: &Environment, observed: &Observed) -> Option<Said> {
    let sleeps = environment.sleep.stops();
    let (stopping, what) = if sleeps {
        (Reason::FallingAsleep, "falling asleep")
    } else {
        (Reason::Suspending, "suspending")
    };
    match environment.activity {
        Activity::Running => None,
        Activity::Stopping => Some(Said::yes(stopping, format!("{what}: {}", ending(observed)))),
        Activity::Stopped => Some(match pods::of(observed, Component::Postgres).next() {
            Some(pod) => Said::yes(stopping, format!("{what}: {} is stopping", pod.name_any())),
            None if sleeps => Said::no(Reason::Asleep, asleep(environment)),
            None => Said::no(
                Reason::Suspended,
                "suspended, its data are kept; set spec.suspend to false to resume",
            ),
        }),
        Activity::Resuming => Some(Said::yes(
            Reason::Resuming,
            "resuming: the database starts, then the API",
        )),
        Activity::Waking => Some(Said::yes(
            Reason::Waking,
            "waking: the database and the API start",
        )),
    }
}

/// Why there are no pods.
pub const fn stopped(environment: &Environment) -> Reason {
    if environment.sleep.stops() {
        Reason::Asleep
    } else {
        Reason::Suspended
    }
}

/// `ApiAvailable` while the environment does not run.
pub fn api(environment: &Environment, observed: &Observed) -> Option<Said> {
    let sleeps = environment.sleep.stops();
    match environment.activity {
        Activity::Running | Activity::Waking => None,
        Activity::Stopping if sleeps => Some(Said::no(Reason::FallingAsleep, ending(observed))),
        Activity::Stopping => Some(Said::no(Reason::Suspending, ending(observed))),
        Activity::Stopped if sleeps => Some(Said::no(Reason::Asleep, "no pods while the environment sleeps")),
        Activity::Stopped => Some(Said::no(
            Reason::Suspended,
            "no pods while the environment is suspended",
        )),
        Activity::Resuming => Some(Said::no(Reason::Resuming, "waiting for the database")),
    }
}

/// Who wakes it.
fn asleep(environment: &Environment) -> String {
    let by_hand = format!(
        "kubectl annotate renv/{} rates.internal/wake=now",
        environment.identity.name
    );
    let is_taken_over = environment
        .sleep
        .detour
        .as_ref()
        .is_some_and(|detour| !detour.pods.is_empty());
    if is_taken_over {
        format!("asleep, its data are kept; a request to the API wakes it, or {by_hand}")
    } else {
        format!(
            "asleep, its data are kept; no request wakes it, as no pod of the activator is ready; {by_hand} does"
        )
    }
}

/// Who still uses the database.
fn ending(observed: &Observed) -> String {
    let count = |component| pods::of(observed, component).count();
    let jobs = count(Component::Seed) + count(Component::Migrate);
    match (count(Component::Api), jobs) {
        (0, jobs) => format!("{jobs} pods of Jobs are ending"),
        (1, _) => "1 API pod is ending".to_owned(),
        (pods, _) => format!("{pods} API pods are ending"),
    }
}
