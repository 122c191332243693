-- Prices of rejected batches are deleted after the decision, some at a time: their batch says when all are gone, as
-- abandoned batches do by being deleted. Programs of version 4 delete them with the decision, and look at none of this.
-- compatible-with: 3

ALTER TABLE rates_internal.batches ADD COLUMN cleared_at timestamptz;
UPDATE rates_internal.batches SET cleared_at = finished_at WHERE status = 'rejected';

-- What is left to be cleared: usually nothing.
CREATE INDEX batches_not_cleared ON rates_internal.batches (id)
    WHERE status IN ('abandoned', 'rejected') AND cleared_at IS NULL;
