//! What is judged by what, and what comes of it.

use jiff::{SignedDuration, Timestamp};

use super::act::{Act, Notice};
use super::view::View;
use crate::observed::Observed;

/// Patroni looks for an order every few seconds, and a stop of the primary has an end too.
pub const DONE_WITHIN: SignedDuration = SignedDuration::from_secs(180);
/// How soon a move that Patroni declined is tried again where nobody asked for it.
pub const AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// One step, carried out by the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Tells of it, notes it, and gives Patroni an order where there is one.
    Begin {
        act: Act,
        gives_order: bool,
        tells: Option<Notice>,
    },
    /// Removes the annotation and the note, and an order that Patroni has not carried out; tells how it ended.
    End {
        annotation: Option<(&'static str, String)>,
        tells: Option<Notice>,
    },
    DeletePod {
        pod: String,
        uid: String,
        /// Its node does not answer: nobody waits for its containers.
        force: bool,
        why: String,
    },
    DeleteClaim {
        claim: String,
        uid: String,
    },
}

/// What is to be done about the acts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Acting {
    pub step: Option<Step>,
    /// What is under way, in words.
    pub under_way: Option<String>,
    /// When to look again although nothing changed.
    pub again: Option<Timestamp>,
}

impl Acting {
    pub(super) fn step(step: Step) -> Self {
        Self {
            step: Some(step),
            ..Self::default()
        }
    }

    pub(super) fn waits(what: impl Into<String>, again: Timestamp) -> Self {
        Self {
            under_way: Some(what.into()),
            again: Some(again),
            ..Self::default()
        }
    }
}

/// What an act is judged by.
pub struct Situation<'a> {
    pub observed: &'a Observed,
    pub view: &'a View<'a>,
    /// How many instances are wanted.
    pub wanted: u8,
    /// Whether the environment runs, and is not suspended or about to be.
    pub runs: bool,
    pub now: Timestamp,
}

impl Situation<'_> {
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self
            .view
            .instances
            .iter()
            .map(|instance| instance.name.as_str())
            .collect();
        names.join(", ")
    }

    /// One more than the highest ordinal that has a pod.
    pub(super) fn highest(&self) -> u8 {
        self.view
            .instances
            .last()
            .map_or(0, |last| last.ordinal.saturating_add(1))
    }
}
