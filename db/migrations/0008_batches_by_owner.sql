-- A key counts once for its owner, with whichever of its tokens it comes.
-- compatible-with: 3
-- transaction: none, as PostgreSQL builds an index concurrently only outside of one
-- builds-index: rates_internal.batches_by_owner

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS batches_by_owner
    ON rates_internal.batches (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
