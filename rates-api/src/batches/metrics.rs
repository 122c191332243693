//! What came of batches, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::batch::Status;
use super::error::BatchError;
use crate::counters::Outcomes;

const OUTCOMES: [&str; 8] = [
    "applied",
    "rejected",
    "queued",
    "repeated",
    "refused",
    "given_up",
    "unconfirmed",
    "failed",
];

#[derive(Clone)]
pub struct BatchMetrics {
    batches: Outcomes,
    rows: Counter,
}

impl Default for BatchMetrics {
    fn default() -> Self {
        Self {
            batches: Outcomes::of(&OUTCOMES),
            rows: Counter::default(),
        }
    }
}

impl BatchMetrics {
    pub fn register(&self, registry: &mut Registry) {
        self.batches.register(
            registry,
            "batches",
            "Batches by what came of them here: applied or rejected; queued, which is answered 202 and counted as \
             applied or rejected too; repeated, with the key of one before; refused for what they are; given up by their client; \
             unconfirmed, which are decided while no standby has said that it has them; failed for want of the database, a place or time",
        );
        registry.register(
            "batch_rows",
            "Rows of the batches that were applied here",
            self.rows.clone(),
        );
    }

    /// A batch was decided here.
    pub fn decided(&self, status: Status, rows: i64) {
        match status {
            Status::Applied => {
                self.batches.count("applied");
                self.rows.inc_by(rows.unsigned_abs());
            }
            Status::Rejected => self.batches.count("rejected"),
            // Nothing was decided.
            Status::Receiving | Status::Queued | Status::Abandoned => self.batches.count("failed"),
        }
    }

    /// A batch was answered 202, and counted as decided too.
    pub fn accepted(&self) {
        self.batches.count("queued");
    }

    /// A batch was answered as the one with its key was.
    pub fn repeated(&self) {
        self.batches.count("repeated");
    }

    /// A batch was not taken in.
    pub fn failed(&self, error: &BatchError) {
        self.batches.count(match error {
            BatchError::Content(_) | BatchError::InProgress | BatchError::KeyReused => "refused",
            BatchError::Disconnected | BatchError::Silent(_) => "given_up",
            BatchError::Unconfirmed { .. } => "unconfirmed",
            BatchError::Busy
            | BatchError::TooLong(_)
            | BatchError::Stopping
            | BatchError::PortVanished
            | BatchError::DatabaseLost(_)
            | BatchError::InDoubt { .. }
            | BatchError::Failed(_) => "failed",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_applied_batches_count_and_every_outcome_is_there_from_the_beginning() {
        let metrics = BatchMetrics::default();
        metrics.decided(Status::Applied, 7);
        metrics.decided(Status::Rejected, 5);
        metrics.accepted();
        metrics.failed(&BatchError::Busy);
        metrics.repeated();
        assert_eq!(metrics.rows.get(), 7);
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(text.matches("batches_total{").count(), OUTCOMES.len(), "{text}");
        for outcome in ["applied", "rejected", "queued", "repeated", "failed"] {
            assert_eq!(metrics.batches.get(outcome), 1, "{outcome}");
        }
    }
}
