//! What is said of an environment that waits until it may run.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{Said, condition};
use super::expiring;
use crate::crd::{Phase, RatesEnvironmentStatus};
use crate::observed::Observed;
use crate::previews::QUEUED;
use crate::reason::Reason;

/// The status of one that has no pods and waits: what was made for it before stays as it is.
#[must_use]
pub fn status(observed: &Observed, why: &str, now: Timestamp) -> RatesEnvironmentStatus {
    let previous = observed.environment.status.clone().unwrap_or_default();
    let (expires_at, expiring) = expiring::said(&observed.environment, now);
    let generation = observed.environment.metadata.generation;
    let told = ["Ready", "Progressing", expiring::KIND];
    let mut conditions: Vec<Condition> = previous.conditions.clone();
    conditions.retain(|kept| !told.contains(&kept.type_.as_str()));
    let wait = Said::no(Reason::WaitingForTurn, why);
    let said = [
        ("Ready", Some(wait.clone())),
        ("Progressing", Some(wait)),
        (expiring::KIND, expiring),
    ];
    for (kind, said) in said {
        conditions.extend(said.map(|said| condition(&previous.conditions, kind, said, generation, now)));
    }
    let mut status = RatesEnvironmentStatus {
        profile: Some(observed.environment.spec.profile),
        observed_generation: generation,
        expires_at,
        conditions,
        wake_request: None,
        ..previous
    };
    wait_for_turn(&mut status, observed, why, now);
    status
}

/// Says in a status that the environment waits.
pub fn wait_for_turn(status: &mut RatesEnvironmentStatus, observed: &Observed, why: &str, now: Timestamp) {
    let previous = observed.environment.status.as_ref();
    let previous = previous
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let generation = observed.environment.metadata.generation;
    let said = Said::yes(Reason::WaitingForTurn, why);
    status.conditions.retain(|condition| condition.type_ != QUEUED);
    status
        .conditions
        .push(condition(previous, QUEUED, said, generation, now));
    status.phase = Some(Phase::Queued);
    status.message = Some(why.to_owned());
}
