//! Several instances of one database: what the operator does about who is the primary, and about the pods and volumes of
//! the instances. Pure functions of what is observed; `apply` carries them out.
//!
//! Replication itself, and who is promoted when a primary is lost, is Patroni's.

mod act;
mod acts;
mod follow;
mod killed;
mod leader_key;
mod primary_change;
mod requests;
mod roll;
mod scale;
mod situation;
#[cfg(test)]
mod tests;
mod view;

use jiff::Timestamp;

use crate::observed::Observed;
use crate::pods::failure::PodFailure;

pub use act::{Act, Notice};
pub use leader_key::{DeadLeader, dead_leader, former_primaries};
pub use primary_change::{PrimaryChange, PrimaryHistory};
use roll::Roll;
pub use scale::Leftover;
pub use situation::Step;
use situation::{Acting, Situation};
pub use view::View;

/// What is done about the instances.
#[derive(Clone, Debug, Default)]
pub struct Replication {
    /// How many pods are kept: more than are wanted until the primary is one of those that stay.
    pub kept: u8,
    /// What is done next; one thing at a time.
    pub step: Option<Step>,
    /// Volumes of instances that are gone.
    pub leftovers: Vec<Leftover>,
    /// How far a roll is, and what it waits for.
    pub rolling: Option<Rolling>,
    /// What else is under way.
    pub acting: Option<String>,
    /// When to look again although nothing changed.
    pub again: Option<Timestamp>,
}

/// A roll under way.
#[derive(Clone, Debug)]
pub struct Rolling {
    pub so_far: String,
    /// Why it will hardly go on by itself.
    pub stuck: Option<PodFailure>,
}

impl Replication {
    /// How many instances are `wanted`, and how many ordinals are in use, by a pod or a copy of the data; `runs` says that the
    /// environment is not suspended, stopping or without its volume.
    #[must_use]
    pub fn plan(observed: &Observed, (wanted, present): (u8, u8), runs: bool, now: Timestamp) -> Self {
        let view = View::of(observed);
        let kept = scale::kept(observed, &view, (wanted, present));
        let situation = Situation {
            observed,
            view: &view,
            wanted,
            runs,
            now,
        };
        let Acting {
            mut step,
            under_way,
            again,
        } = situation.acting();
        if runs
            && wanted > 1
            && let Some(made_anew) = killed::waiting(observed, &view)
        {
            step = Some(made_anew);
        }
        let mut rolling = None;
        if runs && kept == wanted && step.is_none() && under_way.is_none() {
            let under_way = roll::under_way(observed, &view);
            let next = roll::roll(observed, &view, now).filter(|_| under_way.is_some());
            let (current, all) = under_way.unwrap_or_default();
            let roll = |what: &str, stuck| Rolling {
                so_far: format!("{current} of {all} instances are current; {what}"),
                stuck,
            };
            match next {
                Some(Roll::Delete { pod, uid, why }) => {
                    rolling = Some(roll(&format!("{pod} is next"), None));
                    step = Some(Step::DeletePod {
                        pod,
                        uid,
                        force: false,
                        why,
                    });
                }
                Some(Roll::Waits(why, stuck)) => rolling = Some(roll(&format!("waiting: {why}"), stuck)),
                Some(Roll::Complete) | None => {}
            }
        }
        let leftovers = if runs && kept == wanted && wanted > 0 {
            scale::leftovers(observed, &view, wanted)
        } else {
            Vec::new()
        };
        Self {
            kept,
            step,
            leftovers,
            rolling,
            acting: under_way,
            again,
        }
    }
}
