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
    match environment.activity {
        Activity::Running => None,
        Activity::Suspending => Some(Said::yes(
            Reason::Suspending,
            format!("suspending: {}", ending(observed)),
        )),
        Activity::Suspended => Some(match pods::of(observed, Component::Postgres).next() {
            Some(pod) => Said::yes(
                Reason::Suspending,
                format!("suspending: {} is stopping", pod.name_any()),
            ),
            None => Said::no(
                Reason::Suspended,
                "suspended, its data are kept; set spec.suspend to false to resume",
            ),
        }),
        Activity::Resuming => Some(Said::yes(
            Reason::Resuming,
            "resuming: the database starts, then the API",
        )),
    }
}

/// `ApiAvailable` while the environment does not run.
pub fn api(environment: &Environment, observed: &Observed) -> Option<Said> {
    match environment.activity {
        Activity::Running => None,
        Activity::Suspending => Some(Said::no(Reason::Suspending, ending(observed))),
        Activity::Suspended => Some(Said::no(
            Reason::Suspended,
            "no pods while the environment is suspended",
        )),
        Activity::Resuming => Some(Said::no(Reason::Resuming, "waiting for the database")),
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
