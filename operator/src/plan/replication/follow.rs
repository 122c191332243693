//! Goes on with what has begun, until it is done, declined, or takes too long.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::act::{Act, Kind, Notice};
use super::situation::{AGAIN, Acting, DONE_WITHIN, Situation, Step};
use super::view::ordinal_of;
use crate::annotations::{FAILOVER, REPLACE, SWITCHOVER};
use crate::pods::{is_ready, is_running};

impl Situation<'_> {
    /// Goes on with what has begun.
    pub(super) fn follow(&self, act: &Act) -> Acting {
        let annotation = match act.kind {
            Kind::Switchover => Some(SWITCHOVER),
            Kind::Failover => Some(FAILOVER),
            Kind::Replace => Some(REPLACE),
            Kind::ScaleDown => None,
        };
        let annotation = annotation.map(|annotation| (annotation, act.asked.clone()));
        let end = |tells: Option<Notice>| {
            Acting::step(Step::End {
                annotation: annotation.clone(),
                tells,
            })
        };
        // Whoever asked for it may change their mind.
        let is_wanted = annotation.as_ref().is_none_or(|(annotation, asked)| {
            self.observed.environment.annotations().get(*annotation) == Some(asked)
        });
        if !is_wanted {
            return Acting::step(Step::End {
                annotation: None,
                tells: None,
            });
        }
        if act.kind == Kind::Replace {
            return self.follow_replacement(act, end);
        }
        let (view, now) = (self.view, self.now);
        let (from, to) = (act.from.as_ref(), act.to.as_ref());
        let to_whom = to.map_or("a standby", String::as_str);
        let reason =
            |done: &'static str, refused: &'static str, is_done: bool| if is_done { done } else { refused };
        let (done, refused) = match act.kind {
            Kind::Failover => ("FailoverForced", "FailoverRefused"),
            Kind::Switchover | Kind::ScaleDown | Kind::Replace => ("SwitchoverDone", "SwitchoverRefused"),
        };
        if let Some(primary) = view.primary().filter(|primary| Some(&primary.name) != from) {
            let is_other = to.is_some_and(|to| *to != primary.name);
            let note = if is_other {
                format!(
                    "{} is the primary, and not {to_whom} as was asked for",
                    primary.name
                )
            } else if act.cost.is_empty() {
                format!("{} is the primary", primary.name)
            } else {
                format!(
                    "{} is the primary, and what it lacked is lost: {}",
                    primary.name, act.cost
                )
            };
            let warning = is_other || act.kind == Kind::Failover;
            let notice = Notice {
                warning,
                reason: reason(done, refused, !is_other),
                note,
            };
            return end(Some(notice).filter(|_| act.kind != Kind::ScaleDown));
        }
        let since = now.duration_since(act.at);
        let declined = view.primary().is_some() && !view.order.is_given();
        if act.kind == Kind::ScaleDown && declined {
            let again = act.at.saturating_add(AGAIN).unwrap_or(now);
            return if since >= AGAIN {
                end(None)
            } else {
                Acting::waits(
                    format!("Patroni did not move the primary to {to_whom}; it is tried again"),
                    again,
                )
            };
        }
        if declined {
            let note =
                format!("Patroni did not make {to_whom} the primary: it found none that could take over");
            return end(Some(Notice::warning(refused, note)));
        }
        if since >= DONE_WITHIN {
            let note = format!(
                "{to_whom} did not become the primary within {} s: the order is withdrawn",
                DONE_WITHIN.as_secs()
            );
            return end(Some(Notice::warning(refused, note)));
        }
        let what = match act.kind {
            Kind::Failover => format!("promoting {to_whom}, by {FAILOVER}"),
            _ => format!("moving the primary to {to_whom}"),
        };
        Acting::waits(what, act.at.saturating_add(DONE_WITHIN).unwrap_or(now))
    }

    pub(super) fn follow_replacement(&self, act: &Act, end: impl Fn(Option<Notice>) -> Acting) -> Acting {
        let (view, identity) = (self.view, &self.observed.identity);
        let name = act.to.clone().unwrap_or_default();
        let again = self.now.saturating_add(DONE_WITHIN).unwrap_or(self.now);
        let Some(primary) = view.primary().filter(|primary| primary.name != name) else {
            return Acting::waits(
                format!("{name} is not replaced while no other instance is the primary"),
                again,
            );
        };
        let Some(ordinal) = ordinal_of(&identity.postgres(), &name) else {
            return end(None);
        };
        let claim_name = identity.claim(ordinal);
        let claim = self
            .observed
            .claims
            .iter()
            .find(|claim| claim.name_any() == claim_name);
        let old = claim.filter(|claim| claim.metadata.uid == act.claim);
        if let Some(old) = old.filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
            return Acting::step(Step::DeleteClaim {
                claim: claim_name,
                uid: old.uid().unwrap_or_default(),
            });
        }
        let instance = view.instance(&name);
        let before = instance.filter(|instance| instance.pod.metadata.uid == act.pod);
        if let Some(instance) = before {
            let pod = instance.pod;
            let force = !is_ready(pod) && !is_stopping_in_order(pod, self.now);
            let is_forced = pod.metadata.deletion_grace_period_seconds == Some(0);
            if !instance.is_leaving() || (force && !is_forced) {
                return Acting::step(Step::DeletePod {
                    pod: name,
                    uid: pod.uid().unwrap_or_default(),
                    force,
                    why: format!("{REPLACE} gives it another volume"),
                });
            }
            let soon = self.now.saturating_add(AGAIN).unwrap_or(self.now);
            return Acting::waits(format!("{name} is stopping, and gets a new volume"), soon);
        }
        let is_new = claim.is_some_and(|claim| claim.metadata.uid != act.claim);
        match instance.filter(|_| is_new) {
            Some(instance) => match view.lacks(instance, primary) {
                None => end(Some(Notice::normal(
                    "InstanceReplaced",
                    format!(
                        "{name} has a new volume with all data of {}; the copy in the one before is gone",
                        primary.name
                    ),
                ))),
                Some(why) => Acting::waits(format!("{name} gets its data anew: {why}"), again),
            },
            None => Acting::waits(format!("{name} gets a new volume"), again),
        }
    }
}

/// Whether a pod was told to stop while it was ready, and has time left for it.
fn is_stopping_in_order(pod: &Pod, now: Timestamp) -> bool {
    let until = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
    let is_running = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .any(is_running);
    until.is_some_and(|until| until > now) && is_running
}
