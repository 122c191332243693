//! Which Events an environment gets, each from how its status changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::copies::shared_with;
use crate::crd::{CopyStatus, RatesEnvironment, RatesEnvironmentStatus, Sharing};
use crate::plan::replication::Notice;
use crate::plan::warnings;
use crate::reason::Reason;
use crate::status::{CONTESTED, SLEEPS_WHEN_IDLE};

/// Publishes the Events of one environment. One that cannot be recorded is only logged.
pub struct Reporter<'a> {
    pub recorder: &'a Recorder,
    pub environment: &'a RatesEnvironment,
}

impl Reporter<'_> {
    /// An Event for every part that came to be, and one for each thing that went wrong, however many conditions tell
    /// of it; for a restart, and for the end of a rotation; and, once a specification was taken, for what in it is
    /// unwise.
    pub async fn tell(&self, before: &RatesEnvironmentStatus, after: &RatesEnvironmentStatus) {
        for (type_, condition, reason) in news(&before.conditions, &after.conditions) {
            self.publish(type_, reason, condition.message.clone()).await;
        }
        self.tell_of_the_database(before, after).await;
        if after.observed_generation != before.observed_generation {
            let instances = after.database.as_ref().map_or(1, |database| database.instances);
            for warning in warnings(&self.environment.spec, instances) {
                self.publish(EventType::Warning, warning.reason, warning.message)
                    .await;
            }
        }
    }

    async fn tell_of_the_database(&self, before: &RatesEnvironmentStatus, after: &RatesEnvironmentStatus) {
        let (Some(before), Some(after)) = (&before.database, &after.database) else {
            return;
        };
        if !after.pending_restart.is_empty() && after.pending_restart != before.pending_restart {
            let names = after.pending_restart.join(", ");
            let note = format!("restarting for {names}");
            self.publish(EventType::Normal, Reason::Restarting.as_str(), note)
                .await;
        }
        self.tell_of_copies(&before.copies, &after.copies).await;
        if before.rotation.is_some() && after.rotation.is_none() {
            let note = "the application uses another login, and the old one is shut".to_owned();
            self.publish(EventType::Normal, "PasswordRotated", note).await;
        }
    }

    /// Publishes what is done about the instances of the database.
    pub async fn notice(&self, notice: &Notice) {
        let type_ = if notice.warning {
            EventType::Warning
        } else {
            EventType::Normal
        };
        self.publish(type_, notice.reason, notice.note.clone()).await;
    }

    /// Who copies the data, who has a copy, and that consent was withdrawn where there are copies.
    async fn tell_of_copies(&self, before: &[CopyStatus], after: &[CopyStatus]) {
        let sharing = &self.environment.spec.sharing;
        for copy in after {
            let known = before.iter().find(|known| known.environment == copy.environment);
            let reader = &copy.environment;
            let namespace = reader.split('/').next().unwrap_or_default();
            let terms = shared_with(sharing, namespace).map(terms).unwrap_or_default();
            let (reason, note) = match known {
                None if !copy.complete => (
                    "CopyStarted",
                    format!("{reader} copies the data of this environment{terms}"),
                ),
                Some(known) if copy.complete && !known.complete => (
                    "CopyComplete",
                    format!("{reader} has a copy of this environment's data"),
                ),
                Some(known) if copy.complete && known.shared && !copy.shared => (
                    "SharingWithdrawn",
                    format!(
                        "spec.sharing does not name namespace {namespace} any more: {reader} keeps the copy that it has, and no other is made there; delete it if it is not to have the data"
                    ),
                ),
                _ => continue,
            };
            self.publish(EventType::Normal, reason, note).await;
        }
    }

    async fn publish(&self, type_: EventType, reason: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.chars().take(900).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let reference = self.environment.object_ref(&());
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::warn!(%error, "cannot record an event");
        }
    }
}

/// What of the data an entry of `spec.sharing` shares, in words.
fn terms(sharing: &Sharing) -> String {
    let sample = sharing
        .sample
        .map(|percent| format!(": {percent} % of the pairs of ports"));
    let mask = sharing.mask.as_ref().map(|mask| {
        let mask = serde_json::to_string(mask).unwrap_or_default();
        format!(", masked {mask}")
    });
    format!("{}{}", sample.unwrap_or_default(), mask.unwrap_or_default())
}

/// Why `Ready` is false without anything being wrong.
const STOPPED: [Reason; 2] = [Reason::Suspended, Reason::Asleep];

/// What a person should hear of, each by its reason.
fn news<'a>(before: &[Condition], after: &'a [Condition]) -> Vec<(EventType, &'a Condition, &'a str)> {
    // Those that sum others up come last.
    let sums_up = |condition: &&Condition| matches!(condition.type_.as_str(), "Ready" | "Progressing");
    let (sums, parts): (Vec<&Condition>, Vec<&Condition>) = after.iter().partition(sums_up);
    let mut news: Vec<(EventType, &Condition, &str)> = Vec::new();
    for condition in parts.into_iter().chain(sums) {
        let same =
            |earlier: &&Condition| earlier.type_ == condition.type_ && earlier.status == condition.status;
        let earlier = before.iter().find(same);
        let reason = condition.reason.as_str();
        if condition.type_ == CONTESTED {
            if before.iter().all(|earlier| earlier.type_ != condition.type_) {
                news.push((EventType::Warning, condition, &condition.type_));
            }
        } else if condition.status == "True" {
            let is_of_a_part = !matches!(
                condition.type_.as_str(),
                "Progressing" | "Reconciled" | SLEEPS_WHEN_IDLE
            );
            if is_of_a_part && earlier.is_none_or(|earlier| earlier.reason != reason) {
                // It holds although something failed.
                let failed = Reason::parse(reason).is_some_and(Reason::is_failure);
                news.push(if failed {
                    (EventType::Warning, condition, reason)
                } else {
                    (EventType::Normal, condition, &condition.type_)
                });
            }
        } else if condition.type_ == "Ready" && STOPPED.map(Reason::as_str).contains(&reason) {
            // RotationInput for.
            if before.iter().all(|earlier| earlier.reason != reason) {
                news.push((EventType::Normal, condition, reason));
            }
        } else if Reason::parse(reason).is_some_and(Reason::is_failure)
            && before.iter().all(|earlier| earlier.reason != reason)
            && news.iter().all(|(_, _, told)| *told != reason)
        {
            news.push((EventType::Warning, condition, reason));
        }
    }
    news
}
