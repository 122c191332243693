//! That an environment is about to be deleted.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::Said;
use crate::crd::RatesEnvironment;
use crate::plan::Expiry;
use crate::reason::Reason;

/// The condition that is there before the end.
pub const KIND: &str = "Expiring";

/// When the environment ends, and what is to be said of it once that is near.
pub fn said(environment: &RatesEnvironment, now: Timestamp) -> (Option<Time>, Option<Said>) {
    let expiry = Expiry::of(environment);
    let announced = expiry.filter(|expiry| expiry.is_announced(now));
    let said = announced.map(|expiry| {
        let at = expiry.at;
        Said::yes(
            Reason::LifetimeEnds,
            format!("deleted at {at}, the end of spec.lifetime.ttl; a longer one keeps it"),
        )
    });
    (expiry.map(|expiry| Time(expiry.at)), said)
}
