//! `SleepsWhenIdle`: whether `spec.lifetime.sleepAfter` is followed, or what keeps the environment awake.

use super::conditions::Said;
use crate::observed::Observed;
use crate::plan::{Activity, Environment};
use crate::reason::Reason;
use crate::surroundings::{Idle, Surroundings};

/// The name of the condition.
pub const KIND: &str = "SleepsWhenIdle";

/// None where it sleeps only by hand.
pub fn said(environment: &Environment, observed: &Observed) -> Option<Said> {
    let lifetime = observed.environment.spec.lifetime.as_ref()?;
    let sleep_after = lifetime.sleep_after.as_ref()?;
    let Surroundings { activator, idle, .. } = &observed.surroundings;
    if environment.activity == Activity::Stopped {
        let reason = super::suspension::stopped(environment);
        return Some(Said::yes(reason, "no pods are running"));
    }
    if activator.as_ref().is_some_and(Vec::is_empty) {
        return Some(Said::no(
            Reason::NoActivator,
            "it stays awake, as no request would wake it: no pod of the activator is ready in the operator's namespace",
        ));
    }
    match idle {
        Idle::Unknown { why, lasts: true } => Some(Said::no(
            Reason::IdleUnknown,
            format!("it stays awake, as a pod does not say for how long it was not in use: {why}"),
        )),
        Idle::Unknown { lasts: false, .. } | Idle::NotAsked | Idle::For(_) => Some(Said::yes(
            Reason::WaitingForIdleness,
            format!("it sleeps once it was not in use for {sleep_after}"),
        )),
    }
}
