//! What came of batches, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::refusal::Refusal;
use super::store::Status;
use crate::counters::Outcomes;

const OUTCOMES: [&str; 7] = [
    "applied", "rejected", "queued", "repeated", "refused", "given_up", "failed",
];

#[derive(Clone)]
pub struct Tally {
    batches: Outcomes,
    rows: Counter,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            batches: Outcomes::of(&OUTCOMES),
            rows: Counter::default(),
        }
    }
}

impl Tally {
    pub fn register(&self, registry: &mut Registry) {
        self.batches.register(
            registry,
            "batches",
            "Batches by what came of them here: applied or rejected, also of those queued before; queued; \
             repeated, with the key of one before; refused for what they are; given up by their client; \
             failed for want of the database, a place or time",
        );
        registry.register(
            "batch_rows",
            "Rows of the batches that were applied here",
            self.rows.clone(),
        );
    }

    /// A batch was decided here, or queued.
    pub fn decided(&self, status: Status, rows: i64) {
        match status {
            Status::Applied => {
                self.batches.count("applied");
                self.rows.inc_by(rows.unsigned_abs());
            }
            Status::Rejected => self.batches.count("rejected"),
            Status::Queued | Status::Running => self.batches.count("queued"),
            // Nothing was decided.
            Status::Receiving | Status::Abandoned => self.batches.count("failed"),
        }
    }

    /// A batch was answered as the one with its key was.
    pub fn repeated(&self) {
        self.batches.count("repeated");
    }

    /// A batch was not taken in.
    pub fn refused(&self, refusal: &Refusal) {
        self.batches.count(match refusal {
            Refusal::Content(_) | Refusal::InProgress | Refusal::KeyReused => "refused",
            Refusal::Disconnected | Refusal::Silent(_) => "given_up",
            Refusal::Busy
            | Refusal::TooLong(_)
            | Refusal::Stopping
            | Refusal::PortVanished
            | Refusal::DatabaseLost(_)
            | Refusal::InDoubt { .. }
            | Refusal::Failed(_) => "failed",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_applied_batches_count_and_every_outcome_is_there_from_the_beginning() {
        let tally = Tally::default();
        tally.decided(Status::Applied, 7);
        tally.decided(Status::Rejected, 5);
        tally.decided(Status::Queued, 3);
        tally.refused(&Refusal::Busy);
        tally.repeated();
        assert_eq!(tally.rows.get(), 7);
        let mut registry = Registry::default();
        tally.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(text.matches("batches_total{").count(), OUTCOMES.len(), "{text}");
        for outcome in ["applied", "rejected", "queued", "repeated", "failed"] {
            assert_eq!(tally.batches.get(outcome), 1, "{outcome}");
        }
    }
}
