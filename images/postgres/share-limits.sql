-- What a login needs no right for, and could harm others with: locks that batches wait for, large objects and messages
-- that fill the disk. The application and the owner keep them. Run in each database that the login of a copy can reach,
-- before there is one.
DO $$
DECLARE
    open_to_all record;
BEGIN
    FOR open_to_all IN
        SELECT p.oid::regprocedure AS name
        FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS granted
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND granted.grantee = 0
            AND (p.proname ~ '^(pg_(try_)?advisory_|lo_)' OR p.proname IN ('lowrite', 'pg_notify', 'pg_logical_emit_message'))
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', open_to_all.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO rates_owner, rates_service', open_to_all.name);
    END LOOP;
END
$$;
