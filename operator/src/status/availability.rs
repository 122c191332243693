//! `HighlyAvailable`: the primary's loss would lose nothing, and another instance can take over at once.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::conditions::Said;
use super::suspension;
use crate::apply::Applied;
use crate::identity::Component;
use crate::observed::Observed;
use crate::patroni::{Cluster, Member};
use crate::plan::{Activity, Environment};
use crate::pods::failure::{self, PodFailure};
use crate::pods::{self, is_ready, primary};
use crate::reason::Reason;

/// The name of the condition.
pub const KIND: &str = "HighlyAvailable";
/// After a change of the primary the others follow the new one within seconds.
const RECONNECTED_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// The standbys for which commits wait, and which stream from the primary now.
pub fn synchronous(observed: &Observed) -> Vec<String> {
    let cluster = Cluster::of(&observed.identity, &observed.config_maps);
    let leads = primary(observed).map(ResourceExt::name_any);
    if leads.is_none() || cluster.synchronised_with != leads {
        return Vec::new();
    }
    let has_all =
        |pod: &&Pod| cluster.standbys.contains(&pod.name_any()) && is_ready(pod) && Member::of(pod).streams();
    let mut names: Vec<String> = pods::of(observed, Component::Postgres)
        .filter(has_all)
        .map(ResourceExt::name_any)
        .collect();
    names.sort();
    names
}

/// Whether an instance is missing that is wanted, also where another one can take over.
pub fn lacks_instance(environment: &Environment, observed: &Observed) -> bool {
    synchronous(observed).len() + 1 < usize::from(environment.database.instances.wanted)
}

pub fn said(
    environment: &Environment,
    observed: &Observed,
    applied: &Applied,
    previous: &[Condition],
    now: Timestamp,
) -> Said {
    let wanted = environment.database.instances.wanted;
    if wanted == 1 {
        return Said::no(
            Reason::SingleInstance,
            "one instance: while it is away, no other takes over; set spec.database.instances to 3 for that",
        );
    }
    if environment.activity == Activity::Stopped {
        return Said::no(suspension::stopped(environment), "no pods are running");
    }
    let cluster = Cluster::of(&environment.identity, &observed.config_maps);
    if cluster.is_paused {
        let [config, ..] = environment.identity.patroni_state();
        return Said::no(
            Reason::Paused,
            format!(
                "Patroni is paused, so that no instance takes over by itself: take \"pause\" out of the annotation config of ConfigMap {config}"
            ),
        );
    }
    let Some(primary) = primary(observed).map(ResourceExt::name_any) else {
        return if lost_since(previous, now).is_some() {
            Said::no(Reason::NoPrimary, "no instance is the primary")
        } else {
            Said::no(Reason::WaitingForStandby, "no instance is the primary yet")
        };
    };
    let synchronous = synchronous(observed);
    let missing: Vec<Missing> = (0..wanted)
        .map(|ordinal| environment.identity.postgres_pod(ordinal))
        .filter(|name| *name != primary && !synchronous.contains(name))
        .map(|name| missing(environment, observed, applied, &name, now))
        .collect();
    let fails = missing.iter().any(|missing| missing.fails);
    let missing: Vec<String> = missing.into_iter().map(|missing| missing.why).collect();
    let missing = missing.join("; ");
    // One that takes over first hears of so many others that none of them has more.
    if synchronous.len() > cluster.quorum {
        let can = format!("{} can take over from {primary}", synchronous.join(" or "));
        let rest = if missing.is_empty() {
            String::new()
        } else {
            format!("; {missing}")
        };
        let reason = if fails {
            Reason::StandbyFailed
        } else {
            Reason::Replicated
        };
        return Said::yes(reason, format!("{can}{rest}"));
    }
    let message = format!("no standby can take over from {primary} at once: {missing}");
    let reason = match lost_since(previous, now) {
        None if fails => Reason::StandbyFailed,
        None => Reason::WaitingForStandby,
        Some(since) if lasts_from(since).is_some_and(|from| now < from) => Reason::Reconnecting,
        Some(_) => Reason::StandbyLost,
    };
    Said::no(reason, message)
}

/// When standbys that are not back yet count as lost.
pub fn reconsidered_at(conditions: &[Condition]) -> Option<Timestamp> {
    let mut conditions = conditions.iter();
    let known = conditions.find(|condition| condition.type_ == KIND)?;
    let reconnects = known.reason == Reason::Reconnecting.as_str();
    lasts_from(known.last_transition_time.0).filter(|_| reconnects)
}

fn lasts_from(since: Timestamp) -> Option<Timestamp> {
    since.checked_add(RECONNECTED_WITHIN).ok()
}

/// Since when the database is not highly available any more; none if it never was.
fn lost_since(previous: &[Condition], now: Timestamp) -> Option<Timestamp> {
    let known = previous.iter().find(|condition| condition.type_ == KIND)?;
    if known.status == "True" {
        return Some(now);
    }
    let was_lost = matches!(
        Reason::parse(&known.reason),
        Some(Reason::StandbyLost | Reason::Reconnecting | Reason::NoPrimary)
    );
    was_lost.then_some(known.last_transition_time.0)
}

/// An instance that is no standby that commits wait for.
struct Missing {
    why: String,
    /// Whether that will hardly pass by itself.
    fails: bool,
}

impl Missing {
    fn waits(why: String) -> Self {
        Self { why, fails: false }
    }
}

impl From<PodFailure> for Missing {
    fn from(failure: PodFailure) -> Self {
        Self {
            why: failure.message,
            fails: true,
        }
    }
}

fn missing(
    environment: &Environment,
    observed: &Observed,
    applied: &Applied,
    name: &str,
    now: Timestamp,
) -> Missing {
    let Some(pod) = pods::of(observed, Component::Postgres).find(|pod| pod.name_any() == name) else {
        let set = applied.stateful_set.as_ref();
        let refused = set.and_then(|set| observed.refusals.get(&set.metadata));
        return match refused {
            Some(why) => failure::refused("StatefulSet", &environment.identity.postgres(), why).into(),
            None => Missing::waits(format!("{name} is not there yet")),
        };
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return Missing::waits(format!("{name} is stopping"));
    }
    let claim = format!("data-{name}");
    let is_unbound = applied
        .claims
        .iter()
        .any(|existing| existing.name_any() == claim && !is_bound(existing));
    let failure = failure::of(pod, now).or_else(|| failure::of_server(pod));
    if let Some(waits) = failure::waits_for_node(pod) {
        return Missing {
            why: if is_unbound {
                format!("{waits} (its volume {claim} is not bound yet)")
            } else {
                waits
            },
            fails: failure.is_some(),
        };
    }
    if let Some(failure) = failure {
        return failure.into();
    }
    if is_unbound {
        return Missing::waits(format!("{name} waits for volume {claim}"));
    }
    let member = Member::of(pod);
    if member.streams() && is_ready(pod) {
        return Missing::waits(format!("{name} streams, and commits do not wait for it yet"));
    }
    Missing::waits(match member.state.as_str() {
        "" => format!("{name} is starting"),
        "running" => format!("{name} gets nothing from the primary"),
        // `creating replica`, `starting`, `stopped` and the like.
        state => format!("{name}: {state}"),
    })
}

pub fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}
