-- Reads of one pair over some days touch only those rows, and only the index.
-- compatible-with: 1
-- transaction: none, as PostgreSQL builds an index concurrently only outside of one
-- builds-index: public.prices_by_pair_and_day

CREATE INDEX CONCURRENTLY IF NOT EXISTS prices_by_pair_and_day
    ON public.prices (orig_code, dest_code, day) INCLUDE (price);
