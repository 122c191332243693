-- Whether privileges.sql was run in this database, and has nothing left to do.
SELECT NOT coalesce(has_schema_privilege('rates_service', to_regnamespace('public'), 'CREATE'), false)
    AND NOT has_database_privilege('rates_service', current_database(), 'TEMPORARY')
    AND NOT coalesce(has_schema_privilege('rates_load', to_regnamespace('public'), 'CREATE'), false)
    AND (
        to_regnamespace('rates_internal') IS NULL
        OR EXISTS (
            SELECT FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
            WHERE p.oid = to_regprocedure('rates_internal.receiver_timeline()') AND r.rolsuper
                AND has_function_privilege('rates_service', p.oid, 'EXECUTE')
        )
    )
    AND 3 = (
        SELECT count(*) FROM pg_default_acl WHERE defaclrole = to_regrole('rates_owner') AND defaclnamespace = 0
    )
    AND NOT EXISTS (
        SELECT
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (
            SELECT n.nspname = 'rates_internal' AND c.relname IN ('migrations', 'seed') AS read_only
        ) AS table_of
        WHERE n.nspname IN ('public', 'rates_internal') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT (
                has_schema_privilege('rates_service', n.oid, 'USAGE')
                AND has_table_privilege('rates_service', c.oid, 'SELECT')
                AND has_table_privilege('rates_service', c.oid, 'INSERT') = NOT read_only
                AND has_table_privilege('rates_service', c.oid, 'UPDATE') = NOT read_only
                AND has_table_privilege('rates_service', c.oid, 'DELETE') = NOT read_only
                AND NOT has_table_privilege('rates_service', c.oid, 'TRUNCATE, REFERENCES, TRIGGER')
            )
    );
