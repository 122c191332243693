//! When another instance became the primary, and for how long there was none.
//!
//! Kept in memory: after a restart of the operator it is known who was the primary, and not since when it is away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::act::{Act, Notice};
use super::view::View;

/// A key that was not given up expired after this time, Patroni's `ttl`.
const TTL: SignedDuration = SignedDuration::from_secs(20);

/// That another instance became the primary.
#[derive(Clone, Debug, PartialEq)]
pub struct PrimaryChange {
    pub from: String,
    pub to: String,
    /// For how long there was none; unknown where the operator was away.
    pub seconds: Option<f64>,
    /// Whether the one before was told to hand over, or to stop.
    pub ordered: bool,
}

impl PrimaryChange {
    #[must_use]
    pub fn notice(&self) -> Notice {
        let Self {
            from, to, seconds, ..
        } = self;
        let without = match seconds {
            Some(seconds) => format!("{seconds:.1} s without a primary"),
            None => "the operator was away, so that it is not known for how long there was none".to_owned(),
        };
        if self.ordered {
            Notice::normal("SwitchedOver", format!("{to} took over from {from}; {without}"))
        } else {
            Notice::warning(
                "FailedOver",
                format!("{to} took over from {from}, which was lost; {without}"),
            )
        }
    }
}

/// Who was the primary last, by environment.
#[derive(Default)]
pub struct PrimaryHistory(Mutex<HashMap<String, Last>>);

#[derive(Clone, Debug, Default)]
struct Last {
    primary: Option<String>,
    /// Since when it is away.
    away: Option<Timestamp>,
    ordered: bool,
}

impl PrimaryHistory {
    /// Takes note of what is seen of an environment; gives the change, until it was [`told`](Self::told). `recorded` is the
    /// primary by the status.
    pub fn look(
        &self,
        environment: &str,
        recorded: Option<&str>,
        view: &View<'_>,
        now: Timestamp,
    ) -> Option<PrimaryChange> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = all.entry(environment.to_owned()).or_insert_with(|| Last {
            primary: recorded.map(str::to_owned),
            ..Last::default()
        });
        let before = last.primary.clone();
        let was_told_to_go = before.as_ref().is_some_and(|before| {
            let leaves = view
                .instance(before)
                .is_some_and(super::view::Instance::is_leaving);
            let act = view.order.act.as_deref().and_then(Act::parse);
            let moves = act.is_some_and(|act| act.moves_primary_from(before));
            leaves || moves || view.order.from.as_ref() == Some(before)
        });
        last.ordered |= was_told_to_go;
        match (view.serving(), before) {
            (None, None) => None,
            (None, Some(before)) => {
                let away = last.away.unwrap_or_else(|| away_since(view, &before, now));
                last.away = Some(away);
                None
            }
            (Some(primary), None) => {
                last.primary = Some(primary.name.clone());
                None
            }
            (Some(primary), Some(before)) if primary.name == before => {
                last.away = None;
                last.ordered = was_told_to_go;
                None
            }
            (Some(primary), Some(from)) => Some(PrimaryChange {
                from,
                to: primary.name.clone(),
                seconds: last.away.map(|away| now.duration_since(away).as_secs_f64()),
                ordered: last.ordered,
            }),
        }
    }

    /// Takes note that a change is in the status.
    pub fn told(&self, environment: &str, primary: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(
            environment.to_owned(),
            Last {
                primary: Some(primary.to_owned()),
                ..Last::default()
            },
        );
    }

    /// Forgets an environment that is gone.
    pub fn forget(&self, environment: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(environment);
    }
}

/// Since when a primary is away that was there at the last look.
fn away_since(view: &View<'_>, before: &str, now: Timestamp) -> Timestamp {
    let key = &view.leader_key;
    // Nobody had it in between: it expired, as the one before was frozen or cut off.
    let expired = key.holder.as_ref().is_some_and(|holder| holder != before);
    let renewed = key.renewed.filter(|_| expired);
    let silent = renewed.and_then(|renewed| renewed.checked_sub(TTL).ok());
    silent.map_or(now, |silent| silent.min(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patroni::Cluster;
    use crate::patroni_keys::{LeaderKey, Order};

    fn view<'a>(holder: Option<&str>, from: Option<&str>, renewed: &str) -> View<'a> {
        View {
            cluster: Cluster::default(),
            leader_key: LeaderKey {
                holder: holder.map(str::to_owned),
                renewed: Some(renewed.parse().unwrap()),
                ..LeaderKey::default()
            },
            order: Order {
                from: from.map(str::to_owned),
                ..Order::default()
            },
            instances: Vec::new(),
        }
    }

    #[test]
    fn a_key_that_was_given_up_is_missed_since_then_and_one_that_expired_since_it_was_renewed() {
        let now: Timestamp = "2031-01-01T00:00:30Z".parse().unwrap();
        let given_up = view(None, None, "2031-01-01T00:00:29Z");
        assert_eq!(away_since(&given_up, "a-0", now), now);
        let expired = view(Some("a-1"), None, "2031-01-01T00:00:29Z");
        assert_eq!(
            away_since(&expired, "a-0", now),
            "2031-01-01T00:00:09Z".parse().unwrap()
        );
    }

    #[test]
    fn a_change_says_whether_it_was_ordered_and_how_long_it_took() {
        let change = |ordered, seconds| PrimaryChange {
            from: "a-0".to_owned(),
            to: "a-1".to_owned(),
            seconds,
            ordered,
        };
        let notice = change(true, Some(1.25)).notice();
        assert_eq!((notice.warning, notice.reason), (false, "SwitchedOver"));
        assert_eq!(notice.note, "a-1 took over from a-0; 1.2 s without a primary");
        let notice = change(false, None).notice();
        assert_eq!((notice.warning, notice.reason), (true, "FailedOver"));
        assert!(notice.note.contains("which was lost") && notice.note.contains("the operator was away"));
    }
}
