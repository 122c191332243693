-- What is read and what is counted agree after TRUNCATE too, and after changes of the batches' tables by hand.
-- compatible-with: 3

-- Only the removed prices leave the sums: those of folded batches are in there as well. Before the rows are gone, and
-- with the table locked, so that nobody adds one in between.
CREATE FUNCTION rates_internal.subtract_all_seed_prices() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- TRUNCATE also removes rows that are too new for the snapshot of such a transaction.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'prices can be truncated only at isolation level read committed'
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Begin with BEGIN ISOLATION LEVEL READ COMMITTED, or use DELETE.';
    END IF;
    PERFORM FROM rates_internal.sums AS s
    JOIN (SELECT DISTINCT orig_code, dest_code, day FROM rates_internal.seed_prices) AS touched
        USING (orig_code, dest_code, day)
    ORDER BY s.orig_code, s.dest_code, s.day
    FOR UPDATE OF s;
    UPDATE rates_internal.sums AS s
    SET total = s.total - gone.total, count = s.count - gone.count
    FROM (
        SELECT orig_code, dest_code, day, sum(price) AS total, count(*) AS count
        FROM rates_internal.seed_prices
        GROUP BY orig_code, dest_code, day
    ) AS gone
    WHERE (gone.orig_code, gone.dest_code, gone.day) = (s.orig_code, s.dest_code, s.day);
    DELETE FROM rates_internal.sums WHERE count = 0;
    RETURN NULL;
END
$$;
DROP TRIGGER keep_sums_after_truncate ON rates_internal.seed_prices;
CREATE TRIGGER keep_sums_before_truncate BEFORE TRUNCATE ON rates_internal.seed_prices
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.subtract_all_seed_prices();

-- The prices of an applied batch are partly in the sums and partly not: they stay as they were taken in.
CREATE FUNCTION rates_internal.refuse_change_of_batches() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'prices of applied batches cannot be changed or removed (% of %)', lower(tg_op), tg_table_name
        USING ERRCODE = 'feature_not_supported', HINT = 'Prices of the seed are in rates_internal.seed_prices.';
END
$$;
CREATE FUNCTION rates_internal.refuse_delete_of_applied_prices() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM rates_internal.batches AS b
        WHERE b.status = 'applied' AND b.id IN (SELECT batch_id FROM removed)
    ) THEN
        RAISE EXCEPTION 'prices of applied batches cannot be changed or removed (delete of batch_prices)'
            USING ERRCODE = 'feature_not_supported', HINT = 'Prices of the seed are in rates_internal.seed_prices.';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER applied_stays_applied BEFORE UPDATE OF id, status ON rates_internal.batches
    FOR EACH ROW WHEN (old.status = 'applied' AND (new.status, new.id) IS DISTINCT FROM (old.status, old.id))
    EXECUTE FUNCTION rates_internal.refuse_change_of_batches();
CREATE TRIGGER applied_is_not_deleted BEFORE DELETE ON rates_internal.batches
    FOR EACH ROW WHEN (old.status = 'applied') EXECUTE FUNCTION rates_internal.refuse_change_of_batches();
CREATE TRIGGER batches_are_not_truncated BEFORE TRUNCATE ON rates_internal.batches
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.refuse_change_of_batches();
CREATE TRIGGER prices_are_not_updated BEFORE UPDATE ON rates_internal.batch_prices
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.refuse_change_of_batches();
CREATE TRIGGER prices_are_not_truncated BEFORE TRUNCATE ON rates_internal.batch_prices
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.refuse_change_of_batches();
CREATE TRIGGER applied_prices_are_not_deleted AFTER DELETE ON rates_internal.batch_prices
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION rates_internal.refuse_delete_of_applied_prices();
