//! What came of batches, counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::refusal::Refusal;
use super::store::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Every outcome; each is there from the beginning, so that its first increase is seen.
const OUTCOMES: [&str; 7] = [
    "applied", "rejected", "queued", "repeated", "refused", "given_up", "failed",
];

#[derive(Clone)]
pub struct Tally {
    batches: Family<Outcome, Counter>,
    rows: Counter,
}

impl Default for Tally {
    fn default() -> Self {
        let batches = Family::default();
        for outcome in OUTCOMES {
            drop(batches.get_or_create(&Outcome { outcome }));
        }
        Self {
            batches,
            rows: Counter::default(),
        }
    }
}

impl Tally {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "batches",
            "Batches by what came of them here: applied or rejected, also of those queued before; queued; \
             repeated, with the key of one before; refused for what they are; given up by their client; \
             failed for want of the database, a place or time",
            self.batches.clone(),
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
                self.count("applied");
                self.rows.inc_by(rows.unsigned_abs());
            }
            Status::Rejected => self.count("rejected"),
            _ => self.count("queued"),
        }
    }

    /// A batch was answered as the one with its key was.
    pub fn repeated(&self) {
        self.count("repeated");
    }

    /// A batch was not taken in.
    pub fn refused(&self, refusal: &Refusal) {
        self.count(match refusal {
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

    fn count(&self, outcome: &'static str) {
        self.batches.get_or_create(&Outcome { outcome }).inc();
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
            assert_eq!(
                tally.batches.get_or_create(&Outcome { outcome }).get(),
                1,
                "{outcome}"
            );
        }
    }
}
