//! Whether what is asked for begins or is refused: to move the primary, to promote in spite of a loss, to replace a volume.
//! And the move of the primary that scaling down needs.

use kube::ResourceExt;

use super::act::{Act, Kind, Notice};
use super::roll;
use super::situation::{AGAIN, Acting, Situation, Step};
use super::view::{Instance, ordinal_of};
use crate::annotations::{FAILOVER, REPLACE, SWITCHOVER};
use crate::patroni_keys::log_end;
use crate::pods::is_ready;

impl Situation<'_> {
    pub(super) fn refused(annotation: &'static str, asked: &str, reason: &'static str, why: &str) -> Step {
        Step::End {
            annotation: Some((annotation, asked.to_owned())),
            tells: Some(Notice::warning(
                reason,
                format!("{annotation}: {asked} was refused: {why}"),
            )),
        }
    }

    pub(super) fn begin(&self, kind: Kind, asked: &str, from: Option<String>, to: Option<String>) -> Act {
        Act {
            kind,
            asked: asked.to_owned(),
            from,
            to,
            claim: None,
            pod: None,
            cost: String::new(),
            at: self.now,
        }
    }

    pub(super) fn switchover(&self, asked: &str) -> Step {
        let refused = |why: &str| Self::refused(SWITCHOVER, asked, "SwitchoverRefused", why);
        let view = self.view;
        if !self.runs {
            return refused("the environment does not run");
        }
        if view.instances.len() < 2 {
            return refused("there is no other instance; set spec.database.instances to 2 or 3 first");
        }
        let Some(primary) = view.primary() else {
            return refused(
                "there is no primary at present; Patroni promotes a standby by itself as soon as one has everything",
            );
        };
        if let Some((current, all)) = roll::under_way(self.observed, view) {
            return refused(&format!(
                "a roll is under way ({current} of {all} pods are current), which moves the primary by itself"
            ));
        }
        if self.wanted < self.highest() {
            return refused(
                "instances are being removed, which moves the primary by itself where that is needed",
            );
        }
        let to = if asked == "any" {
            if view.cluster.is_paused {
                return refused("Patroni is paused, and chooses nobody by itself: name a standby");
            }
            if view.complete(primary).next().is_none() {
                let lacks: Vec<String> = view
                    .standbys(primary)
                    .filter_map(|standby| view.lacks(standby, primary))
                    .collect();
                return refused(&lacks.join("; "));
            }
            None
        } else {
            let Some(standby) = view.instance(asked) else {
                return refused(&format!("it must be any, or a standby of {}", self.names()));
            };
            if standby.name == primary.name {
                return refused("it is the primary already");
            }
            if let Some(why) = view.lacks(standby, primary) {
                return refused(&why);
            }
            Some(standby.name.clone())
        };
        let note = match &to {
            Some(to) => format!("moving the primary from {} to {to}", primary.name),
            None => format!("moving the primary from {} to a standby", primary.name),
        };
        Step::Begin {
            act: self.begin(Kind::Switchover, asked, Some(primary.name.clone()), to),
            gives_order: true,
            tells: Some(Notice::normal("SwitchoverStarted", note)),
        }
    }

    pub(super) fn failover(&self, asked: &str) -> Step {
        let refused = |why: &str| Self::refused(FAILOVER, asked, "FailoverRefused", why);
        let view = self.view;
        if !self.runs {
            return refused("the environment does not run");
        }
        let Some(standby) = view.instance(asked) else {
            return refused(&format!("it must be one of {}", self.names()));
        };
        if let Some(primary) = view.primary() {
            return refused(&format!(
                "{} is the primary and works; {SWITCHOVER} moves it without a loss",
                primary.name
            ));
        }
        if view.leader_key.holder.as_ref() == Some(&standby.name) {
            return refused(
                "it was the primary, has all of its own writes and is being started: there is nothing to promote",
            );
        }
        if !standby.runs() {
            return refused("its server does not run");
        }
        let cost = self.loss(standby);
        Step::Begin {
            act: Act {
                cost: cost.clone(),
                ..self.begin(
                    Kind::Failover,
                    asked,
                    view.leader_key.holder.clone(),
                    Some(standby.name.clone()),
                )
            },
            gives_order: true,
            tells: Some(Notice::warning(
                "ForcingFailover",
                format!(
                    "promoting {asked} although something that was acknowledged may be missing: {cost}; \
                     what it lacks is lost, and the others are made like it"
                ),
            )),
        }
    }

    /// How much a standby may lack, as far as anybody said.
    pub(super) fn loss(&self, standby: &Instance<'_>) -> String {
        let view = self.view;
        let said = view.instances.iter().filter_map(|instance| log_end(instance.pod));
        let end = said.chain(view.leader_key.log_end).max();
        let name = &standby.name;
        let known = match (end, log_end(standby.pod)) {
            (Some(end), Some(has)) if end > has => format!(
                "{name} is {} bytes of log behind the last position known",
                end - has
            ),
            (Some(_), Some(_)) => format!("{name} has the last position known"),
            _ => format!("it is not known how far behind {name} is"),
        };
        let at = view.leader_key.renewed;
        match at {
            Some(at) => format!("{known}, of {at:.0}; of what was written after that nothing is known"),
            None => known,
        }
    }

    pub(super) fn replace(&self, asked: &str) -> Step {
        let refused = |why: &str| Self::refused(REPLACE, asked, "ReplaceRefused", why);
        let (view, identity) = (self.view, &self.observed.identity);
        if !self.runs {
            return refused("the environment does not run");
        }
        let ordinal = ordinal_of(&identity.postgres(), asked).filter(|ordinal| *ordinal < self.wanted);
        let Some(ordinal) = ordinal else {
            let prefix = identity.postgres();
            let last = self.wanted.saturating_sub(1);
            return refused(&format!("it must be an instance, {prefix}-0 to {prefix}-{last}"));
        };
        let Some(primary) = view.primary() else {
            return refused("there is no primary at present, so that nobody is known to have everything");
        };
        if primary.name == asked {
            return refused(&format!("it is the primary; {SWITCHOVER} moves that first"));
        }
        let name = identity.claim(ordinal);
        let claim = self.observed.claims.iter().find(|claim| claim.name_any() == name);
        let Some(claim) = claim else {
            return refused(&format!(
                "it has no volume: {name} is not there, and is made by itself"
            ));
        };
        let pod = view.instance(asked).map(|instance| instance.pod);
        let others = view
            .complete(primary)
            .filter(|standby| standby.name != asked)
            .count();
        let alone = if others == 0 {
            format!("; until it has a copy again, {} alone has the data", primary.name)
        } else {
            String::new()
        };
        let frozen = match pod {
            Some(pod) if !is_ready(pod) => {
                "; its pod is not ready and is not waited for: if its node still runs, it must not come back with that pod"
            }
            _ => "",
        };
        Step::Begin {
            act: Act {
                claim: claim.uid(),
                pod: pod.and_then(ResourceExt::uid),
                ..self.begin(
                    Kind::Replace,
                    asked,
                    Some(primary.name.clone()),
                    Some(asked.to_owned()),
                )
            },
            gives_order: false,
            tells: Some(Notice::warning(
                "ReplacingInstance",
                format!(
                    "deleting {name} and its copy of the data, to be copied anew from {}{alone}{frozen}",
                    primary.name
                ),
            )),
        }
    }

    pub(super) fn scale_down(&self) -> Option<Acting> {
        let view = self.view;
        if !self.runs {
            return None;
        }
        let primary = view.primary().filter(|primary| primary.ordinal >= self.wanted)?;
        let again = self.now.saturating_add(AGAIN).unwrap_or(self.now);
        let stays = view
            .complete(primary)
            .find(|standby| standby.ordinal < self.wanted);
        let Some(standby) = stays else {
            let lacks = view
                .standbys(primary)
                .filter(|standby| standby.ordinal < self.wanted)
                .find_map(|standby| view.lacks(standby, primary));
            let why = lacks.unwrap_or_else(|| "it has no pod yet".to_owned());
            return Some(Acting::waits(
                format!(
                    "{} is the primary and is to go; an instance that stays cannot take over yet: {why}",
                    primary.name
                ),
                again,
            ));
        };
        let note = format!(
            "moving the primary from {} to {}, as {} instances are to stay",
            primary.name, standby.name, self.wanted
        );
        Some(Acting::step(Step::Begin {
            act: self.begin(
                Kind::ScaleDown,
                "",
                Some(primary.name.clone()),
                Some(standby.name.clone()),
            ),
            gives_order: true,
            tells: Some(Notice::normal("SwitchoverStarted", note)),
        }))
    }
}
