-- What the roles may do in a database: the owner everything, the application's logins rows alone, whoever else nothing.
-- The superuser runs it in `template1`, which the application's database is made from, and in `rates`, for one that was
-- made before; any number of times. No psql commands are in it, so that tests of the API use it, too.
-- What a dump makes is rates_load's first, and the owner takes it over.
ALTER DEFAULT PRIVILEGES FOR ROLE rates_owner, rates_load GRANT USAGE ON SCHEMAS TO rates_service;
ALTER DEFAULT PRIVILEGES FOR ROLE rates_owner, rates_load GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rates_service;
ALTER DEFAULT PRIVILEGES FOR ROLE rates_owner, rates_load GRANT USAGE, SELECT ON SEQUENCES TO rates_service;

DO $$
DECLARE
    object record;
    is_template boolean := (SELECT datistemplate FROM pg_database WHERE datname = current_database());
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    FOR object IN SELECT nspname AS name FROM pg_namespace WHERE nspname IN ('public', 'rates_internal') LOOP
        EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', object.name);
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO rates_owner', object.name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO rates_service', object.name);
        -- A dump makes its tables there; what is served takes no dump.
        EXECUTE format(
            CASE WHEN is_template THEN 'GRANT USAGE, CREATE ON SCHEMA %I TO rates_load'
                 ELSE 'REVOKE ALL ON SCHEMA %I FROM rates_load' END, object.name
        );
    END LOOP;
    FOR object IN
        SELECT c.oid::regclass AS name, c.relkind AS kind, n.nspname AS schema, c.relname
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'rates_internal') AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM rates_service', object.name);
        IF object.kind = 'S' THEN
            EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE %s TO rates_service', object.name);
        ELSIF object.schema = 'rates_internal' AND object.relname IN ('migrations', 'seed') THEN
            EXECUTE format('GRANT SELECT ON %s TO rates_service', object.name);
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO rates_service', object.name);
        END IF;
    END LOOP;
    -- Which timeline a standby's log comes from: its control file says that late. One that somebody else made is not trusted.
    IF NOT is_template AND to_regnamespace('rates_internal') IS NOT NULL THEN
        IF EXISTS (
            SELECT FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
            WHERE p.oid = to_regprocedure('rates_internal.receiver_timeline()') AND NOT r.rolsuper
        ) THEN
            DROP FUNCTION rates_internal.receiver_timeline();
        END IF;
        CREATE OR REPLACE FUNCTION rates_internal.receiver_timeline() RETURNS integer
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
            AS 'SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver';
        REVOKE ALL ON FUNCTION rates_internal.receiver_timeline() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION rates_internal.receiver_timeline() TO rates_service;
    END IF;
END
$$;
