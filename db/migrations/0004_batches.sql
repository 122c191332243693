-- Batches: taken in beside what readers see, and then visible as a whole by the change of one row. `prices` becomes
-- a view of the seed's rows and those of the applied batches. What programs of version 3 read stays; they see a batch
-- once its sums are folded, a moment later.
-- compatible-with: 3

CREATE TABLE rates_internal.batches (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT batches_pkey PRIMARY KEY,
    -- receiving: its content comes in; queued, running: its content is here, to be applied by any process;
    -- applied, rejected: done; abandoned: its process or its connection died, and nothing of it counts.
    status text NOT NULL DEFAULT 'receiving' CONSTRAINT batches_status_is_known
        CHECK (status IN ('receiving', 'queued', 'running', 'applied', 'rejected', 'abandoned')),
    -- SHA-256 of the token that it came with, and the key that makes sending it again safe.
    token bytea NOT NULL,
    idempotency_key text,
    asynchronous boolean NOT NULL,
    -- Whoever works on it has it until then; each who takes it over counts one up, and only the last may finish it.
    lease_until timestamptz,
    attempt integer NOT NULL DEFAULT 1,
    rows bigint NOT NULL DEFAULT 0,
    checksum text,
    -- The ports in it, and what is wrong with it.
    ports text[],
    findings jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    -- Applied: its sums are in `sums` for every pair up to this one, or, with a time, for all.
    folded_orig_code text,
    folded_dest_code text,
    folded_at timestamptz
);

CREATE UNIQUE INDEX batches_by_key ON rates_internal.batches (token, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- What reads look at: usually nothing.
CREATE INDEX batches_not_folded ON rates_internal.batches (id)
    INCLUDE (folded_orig_code, folded_dest_code) WHERE status = 'applied' AND folded_at IS NULL;
CREATE INDEX batches_not_finished ON rates_internal.batches (id)
    WHERE status IN ('receiving', 'queued', 'running', 'abandoned');

-- The prices of batches, grouped: a row holds prices of one pair in the order of their days, and for each of its days
-- their number and sum. A group, not a price, has the cost of a row and of an index entry, and reads of a batch that
-- is not folded yet take the sums as they are.
CREATE TABLE rates_internal.batch_prices (
    batch_id bigint NOT NULL,
    orig_code text NOT NULL,
    dest_code text NOT NULL,
    days date[] NOT NULL,
    totals bigint[] NOT NULL,
    counts integer[] NOT NULL,
    prices integer[] NOT NULL
);
CREATE INDEX batch_prices_by_batch_and_pair ON rates_internal.batch_prices (batch_id, orig_code, dest_code);
-- Groups are made to fit a page; compressing them costs more than it saves.
ALTER TABLE rates_internal.batch_prices
    ALTER COLUMN days SET STORAGE EXTERNAL,
    ALTER COLUMN totals SET STORAGE EXTERNAL,
    ALTER COLUMN counts SET STORAGE EXTERNAL,
    ALTER COLUMN prices SET STORAGE EXTERNAL;

-- The ports of all batches: they cannot be deleted, and checking that they exist costs a batch a few rows, not two
-- checks for each price.
CREATE TABLE rates_internal.batch_ports (
    code text CONSTRAINT batch_ports_pkey PRIMARY KEY,
    CONSTRAINT batch_ports_code_fkey FOREIGN KEY (code) REFERENCES public.ports (code)
);

ALTER TABLE public.prices SET SCHEMA rates_internal;
ALTER TABLE rates_internal.prices RENAME TO seed_prices;

CREATE VIEW public.prices AS
SELECT orig_code, dest_code, day, price
FROM rates_internal.seed_prices
UNION ALL
SELECT g.orig_code, g.dest_code, p.day, p.price
FROM rates_internal.batches AS b
JOIN rates_internal.batch_prices AS g ON g.batch_id = b.id
CROSS JOIN LATERAL unnest(
    ARRAY(
        SELECT d.day
        FROM unnest(g.days, g.counts) WITH ORDINALITY AS d (day, count, n)
        CROSS JOIN LATERAL generate_series(1, d.count)
        ORDER BY d.n
    ),
    g.prices
) AS p (day, price)
WHERE b.status = 'applied';

-- Single prices can still be added in SQL, as before; they count with the seed's.
CREATE FUNCTION rates_internal.add_price() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO rates_internal.seed_prices (orig_code, dest_code, day, price)
    VALUES (new.orig_code, new.dest_code, new.day, new.price);
    RETURN new;
END
$$;
CREATE TRIGGER add_price INSTEAD OF INSERT ON public.prices
    FOR EACH ROW EXECUTE FUNCTION rates_internal.add_price();
