-- Sums and counts per pair and day: reads do not pay for the number of prices. Kept exact by the database itself,
-- whoever changes prices and however.
-- compatible-with: 1

-- Writers wait until the sums are complete; readers do not.
LOCK TABLE public.prices IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE rates_internal.sums (
    orig_code text NOT NULL,
    dest_code text NOT NULL,
    day date NOT NULL,
    total bigint NOT NULL,
    count bigint NOT NULL,
    CONSTRAINT sums_pkey PRIMARY KEY (orig_code, dest_code, day) INCLUDE (total, count),
    CONSTRAINT sums_count_is_not_negative CHECK (count >= 0)
);

INSERT INTO rates_internal.sums (orig_code, dest_code, day, total, count)
SELECT orig_code, dest_code, day, sum(price), count(*)
FROM public.prices
GROUP BY orig_code, dest_code, day
ORDER BY orig_code, dest_code, day;

-- Rows of sums are locked in the order of their key, so that two changes cannot block each other for ever.
CREATE FUNCTION rates_internal.keep_sums() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE rates_internal.sums;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        PERFORM FROM rates_internal.sums AS s
        JOIN (
            SELECT orig_code, dest_code, day FROM removed
            UNION
            SELECT orig_code, dest_code, day FROM added
        ) AS touched USING (orig_code, dest_code, day)
        ORDER BY s.orig_code, s.dest_code, s.day
        FOR UPDATE OF s;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM FROM rates_internal.sums AS s
        JOIN (SELECT DISTINCT orig_code, dest_code, day FROM removed) AS touched USING (orig_code, dest_code, day)
        ORDER BY s.orig_code, s.dest_code, s.day
        FOR UPDATE OF s;
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO rates_internal.sums AS s (orig_code, dest_code, day, total, count)
        SELECT orig_code, dest_code, day, sum(price), count(*)
        FROM added
        GROUP BY orig_code, dest_code, day
        ORDER BY orig_code, dest_code, day
        ON CONFLICT (orig_code, dest_code, day) DO UPDATE
        SET total = s.total + excluded.total, count = s.count + excluded.count;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        UPDATE rates_internal.sums AS s
        SET total = s.total - gone.total, count = s.count - gone.count
        FROM (
            SELECT orig_code, dest_code, day, sum(price) AS total, count(*) AS count
            FROM removed
            GROUP BY orig_code, dest_code, day
        ) AS gone
        WHERE (gone.orig_code, gone.dest_code, gone.day) = (s.orig_code, s.dest_code, s.day);
        DELETE FROM rates_internal.sums AS s
        USING removed AS r
        WHERE (r.orig_code, r.dest_code, r.day) = (s.orig_code, s.dest_code, s.day) AND s.count = 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER keep_sums_after_insert AFTER INSERT ON public.prices
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.keep_sums();
CREATE TRIGGER keep_sums_after_update AFTER UPDATE ON public.prices
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.keep_sums();
CREATE TRIGGER keep_sums_after_delete AFTER DELETE ON public.prices
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.keep_sums();
CREATE TRIGGER keep_sums_after_truncate AFTER TRUNCATE ON public.prices
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.keep_sums();
